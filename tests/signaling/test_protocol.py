"""PROTOCOL.md names every event there is, in both directions, with an example that is valid."""

import json
import re

from signaling.classroom import EVENTS
from tests.product import ROOT

DOCUMENT = (ROOT / "PROTOCOL.md").read_text()
WEB = (ROOT / "web/src/pages/classroom/class-session.ts").read_text()


def _sections(heading: str) -> dict[str, str]:
    part = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    pieces = re.split(r"^### `([^`]+)`.*$", part, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _examples(text: str) -> list[object]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)]


def test_every_event_of_the_client_is_documented_with_a_valid_example() -> None:
    sections = _sections("What the client may ask")
    assert set(sections) == set(EVENTS)
    for event, (payload, _) in EVENTS.items():
        examples = _examples(sections[event])
        assert examples, event
        payload.model_validate(examples[0])


def test_every_event_of_the_server_is_documented_with_an_example() -> None:
    source = "".join(
        (ROOT / "signaling" / name).read_text() for name in ("hub.py", "telling.py", "reattaching.py")
    )
    told = set(
        re.findall(
            r'(?:\.to\(\s*\w+(?:\.sid)?,|_everybody\(\s*\w+(?:\["\w+"\])?,|_put_out\(\s*member,)\s*"([a-z.]+)"',
            source,
        )
    )
    sections = _sections("What the server tells")
    assert told
    assert set(sections) == told
    assert all(_examples(text) for text in sections.values())


def test_the_accounts_socket_is_documented() -> None:
    source = (ROOT / "signaling" / "account.py").read_text()
    told = set(re.findall(r'self\._to\(socket, "([a-z.]+)"', source))
    own = set(_sections("The account's socket"))
    assert told == own | {"auth.expiring", "auth.expired"}
    assert _examples(_sections("The account's socket")["notification"])


def test_the_page_listens_to_what_the_server_tells() -> None:
    listened = set(re.findall(r'current(?:<[^(]*>)?\(\s*"([a-z.]+)"', WEB)) - {"disconnect"}
    assert listened <= set(_sections("What the server tells"))
