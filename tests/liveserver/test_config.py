"""Settings: every one is in config.toml with its default, and a misspelt one stops the server."""

import base64
import hmac
import time
import tomllib
from uuid import UUID

import pytest
from pydantic import BaseModel

from liveserver import config
from liveserver.models.ids import UserId
from liveserver.services.relays import Relays
from tests.product import ROOT


def test_config_toml_says_every_setting_with_its_default() -> None:
    document = tomllib.loads((ROOT / "config.toml").read_text())
    defaults = config.Settings.model_construct()
    for section, info in config.Settings.model_fields.items():
        kind = info.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        names = {field.alias or key: key for key, field in kind.model_fields.items()}
        assert set(document[section]) == set(names), section
        for written, key in names.items():
            default = getattr(getattr(defaults, section), key)
            shown = list(default) if isinstance(default, tuple) else default
            assert document[section][written] == (str(shown) if section == "state" else shown)


def test_every_setting_in_config_toml_has_a_sentence() -> None:
    for line in (ROOT / "config.toml").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            assert line.partition(" # ")[2].strip(), line


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LIVE_HTTP__PORT", "9001")
    monkeypatch.setenv("LIVE_HTTP__TRUSTED_PROXIES", "10.0.0.1, 10.0.0.2")
    settings = config.load()
    assert settings.http.port == 9001
    assert settings.http.trusted_proxies == ("10.0.0.1/32", "10.0.0.2/32")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LIVE_HTTP__PROT", "1", "LIVE_HTTP__PROT"),
        ("LIVE_HTTP__PORT", "many", "http.port"),
        ("LIVE_AUTH__ACCESS_MINUTES", "60", "auth.access_minutes"),
        ("LIVE_HTTP__TRUSTED_PROXIES", "proxy.example", "http.trusted_proxies"),
        ("LIVE_HTTP__CERTIFICATE", "x.pem", "http.key"),
    ],
)
def test_a_wrong_setting_stops_the_server_and_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(name, value)
    with pytest.raises(config.ConfigError, match=said):
        config.load()


def test_secrets_do_not_show_in_a_printed_setting() -> None:
    settings = config.Settings(auth=config.Auth(secret="hush"), s3=config.S3(secret_key="hush"))
    assert "hush" not in repr(settings)


def test_turn_credentials_are_those_coturn_reckons() -> None:
    """The form of draft-uberti-behave-turn-rest-00: HMAC-SHA1 over `expiry:user`."""
    user = UserId(UUID("0199b1c2-0000-7000-8000-000000000000"))
    (relay,) = Relays(["turn:turn.example:3478"], "north").of(user)
    expiry, _, name = relay.username.partition(":")
    assert name == str(user)
    assert 590 <= int(expiry) - time.time() <= 601
    digest = hmac.new(b"north", relay.username.encode(), "sha1").digest()
    assert base64.b64decode(relay.credential) == digest
    assert Relays([], "").of(user) == []
