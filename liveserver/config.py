"""Settings: config.toml overridden by LIVE_<SECTION>__<KEY>, as frozen types.

An unknown key stops the server. Only the composition roots see the whole; every other part is given
the values it needs.
"""

import hmac
import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

Port = Annotated[int, Field(ge=0, le=65535)]
_SHORTEST_SECRET = 32
Positive = Annotated[int, Field(gt=0)]


def _listed(value: object) -> object:
    """Let the environment give a list as `a, b`, since JSON in a shell is a trap."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value, strict=False))


Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_listed)]


def _ip_and_port(value: str) -> str:
    if value:
        host, _, port = value.rpartition(":")
        address = ipaddress.ip_address(host.strip("[]"))
        if address.is_unspecified or address.is_multicast:
            raise ValueError("the address itself is needed by which other hosts reach this one")
        if not port.isdecimal() or not 0 < int(port) < 65_000:
            raise ValueError('an IP address and a port are needed, like "10.0.0.5:51000"')
    return value


class ConfigError(Exception):
    """The settings cannot be used; the text names each bad one."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Http(Section):
    host: str = "127.0.0.1"
    port: Port = 8080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 0
    public_url: str = ""
    certificate: str = ""
    key: str = ""
    trusted_proxies: Networks = ()
    allowed_origins: Names = ()
    allowed_hosts: Names = ()
    requests_per_second: Positive = 20
    request_burst: Positive = 60
    processes: Annotated[int, Field(ge=1, le=64)] = 1

    @property
    def secure(self) -> bool:
        return bool(self.certificate)

    def address(self) -> str:
        """Return the address a person opens."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


class Media(Section):
    host: str = ""
    udp_port: Port = 50000
    tcp_port: Port = 50000
    public_address: str = ""
    stun_server: Annotated[str, Field(pattern=r"^$|^[^\s@]+:\d{1,5}$")] = ""
    turn_urls: list[Annotated[str, Field(pattern=r"^turns?:[^\s@]+$")]] = []
    turn_secret: str = Field(default="", repr=False)
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    control_address: Annotated[str, AfterValidator(_ip_and_port)] = ""
    viewers_per_worker: Annotated[int, Field(ge=1, le=10_000)] = 300

    @model_validator(mode="after")
    def _relays_are_complete(self) -> Self:
        if bool(self.turn_urls) != bool(self.turn_secret):
            raise ValueError("turn_urls and turn_secret go together")
        return self

    def worker_count(self) -> int:
        return self.workers or max(1, (os.cpu_count() or 1) - 1)


class State(Section):
    dir: Path = Path(".state")


class Database(Section):
    url: str = ""
    pool: Annotated[int, Field(ge=2, le=500)] = 20


class Redis(Section):
    url: str = ""
    pool: Annotated[int, Field(ge=2, le=1000)] = 32


class S3(Section):
    endpoint: str = ""
    public_endpoint: str = ""
    bucket: str = "live-media"
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = Field(default="", repr=False)


class Uploads(Section):
    clamd: str = ""


class Auth(Section):
    secret: str = Field(default="", repr=False)
    keys_dir: str = ""
    rotate_days: Annotated[int, Field(ge=0)] = 90
    access_minutes: Annotated[int, Field(ge=5, le=15)] = 10
    refresh_idle_days: Positive = 14
    refresh_absolute_days: Positive = 60
    refresh_grace_seconds: Annotated[int, Field(ge=0, le=60)] = 10
    failed_logins: Positive = 10
    failed_login_minutes: Positive = 5
    registrations_per_minute: Positive = 600


class Mail(Section):
    smtp_url: str = Field(default="", repr=False)
    sender: str = "liveserver@localhost"


class Webhooks(Section):
    allow_private: bool = False


class Payments(Section):
    provider: Literal["none", "stripe", "paymob"] = "none"
    stripe_secret_key: str = Field(default="", repr=False)
    stripe_webhook_secret: str = Field(default="", repr=False)
    paymob_api_key: str = Field(default="", repr=False)
    paymob_hmac_secret: str = Field(default="", repr=False)
    paymob_integration: int = 0
    paymob_frame: int = 0
    api_base: str = ""


class Seats(Section):
    reservation_seconds: Positive = 20
    lease_seconds: Positive = 45
    renew_seconds: Positive = 10
    grace_seconds: Positive = 60
    offer_seconds: Positive = 30
    stall_seconds: Positive = 5


class Live(Section):
    start_window_minutes: Annotated[int, Field(ge=0)] = 15
    max_duration_minutes: Positive = 480
    max_students: Positive = 500
    gap_seconds: Annotated[int, Field(ge=0)] = 5


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = Field(default=False, alias="json")


class Settings(BaseSettings):
    """Every setting. Source: environment, then the TOML file, then the defaults here."""

    model_config = SettingsConfigDict(
        env_prefix="LIVE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    http: Http = Http()
    media: Media = Media()
    state: State = State()
    database: Database = Database()
    redis: Redis = Redis()
    s3: S3 = S3()
    uploads: Uploads = Uploads()
    auth: Auth = Auth()
    mail: Mail = Mail()
    webhooks: Webhooks = Webhooks()
    payments: Payments = Payments()
    seats: Seats = Seats()
    live: Live = Live()
    log: Log = Log()

    def host_name(self) -> str:
        """Return what this host is called among those that use the same stores."""
        return self.media.control_address or f"{socket.gethostname()} {self.state.dir.resolve()}"

    def control_addresses(self, workers: int) -> list[str]:
        """Return where other hosts ask each of this host's media workers; nowhere when it is alone."""
        if not self.media.control_address:
            return []
        host, _, port = self.media.control_address.rpartition(":")
        return [f"{host}:{int(port) + n}" for n in range(workers)]

    def worker_names(self, workers: int) -> list[str]:
        """Return what each media worker is called: the same on every host."""
        return self.control_addresses(workers) or [str(n) for n in range(workers)]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = Path(os.environ.get("LIVESERVER_CONFIG", "config.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path)


def load() -> Settings:
    """Read the settings once. Raises ConfigError with a line per bad setting."""
    _refuse_unknown_environment()
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors(include_url=False)
        ]
        raise ConfigError("\n".join(lines)) from None
    if settings.media.control_address and 0 < len(settings.auth.secret) < _SHORTEST_SECRET:
        raise ConfigError(f"auth.secret: hosts need one of {_SHORTEST_SECRET} characters or more")
    if bool(settings.http.certificate) != bool(settings.http.key):
        raise ConfigError("http.certificate and http.key go together: set both or neither")
    return settings


class Running(BaseModel):
    """What the supervisor found or started, for the processes that join it: `<state.dir>/run.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sockets: Path  # folder of the media workers' control sockets, private to the user
    workers: int
    database_url: str
    redis_url: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str = Field(repr=False)
    auth_secret: str = Field(repr=False)

    @staticmethod
    def path(settings: Settings) -> Path:
        return settings.state.dir / "run.json"

    def control_socket(self, index: int) -> Path:
        return self.sockets / f"media-{index}.sock"

    def hosts_secret(self) -> bytes:
        """Return what hosts of the same auth.secret share."""
        return hmac.digest(self.auth_secret.encode(), b"liveserver hosts", "sha256")

    def write(self, settings: Settings) -> None:
        path = self.path(settings)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.model_dump_json())


def join_running(settings: Settings) -> Running:
    """Read what a running supervisor of the same state.dir left. Raises ConfigError."""
    try:
        return Running.model_validate_json(Running.path(settings).read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(
            f"no liveserver runs on {settings.state.dir}: start one with `liveserver serve`"
        ) from None


def _refuse_unknown_environment() -> None:
    """Name a misspelt LIVE_... variable, which pydantic would pass over in silence."""
    known = {
        f"LIVE_{section}__{field.alias or key}".upper()
        for section, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
        for key, field in info.annotation.model_fields.items()
    }
    unknown = sorted(name for name in os.environ if name.startswith("LIVE_") and name not in known)
    if unknown:
        raise ConfigError(f"unknown settings in the environment: {', '.join(unknown)}")
