"""Fuzzing the running server from its own OpenAPI document: no 5xx, no answer it does not name, no hang.

    python -m tests.api.fuzzing [requests]         `make fuzz-api`; 20 000 by default

Three callers (a student, an instructor, an admin) take turns. Real ids of a small school are given to the
generator, so that it gets past the first 404.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp

from tests.builders import Person, School
from tests.product import ROOT, UNHURRIED, Product

# Every check but the one that wants each well-formed request accepted: a password can be too common, a class
# in the past, a file of no kind we take. Such refusals are documented answers, not deviations.
_NOT_CHECKED = "positive_data_acceptance"
# These end the caller's own login, or the caller.
_EXCLUDED = r"^/api/(auth/(logout|logout-all|sessions/\{device\})|admin/users/\{user\}/(ban|role))$"


async def _school(product: Product) -> tuple[dict[str, Person], dict[str, str]]:
    async with aiohttp.ClientSession() as client:
        school = await School.open(product, client)
        teacher, student = await school.register("instructor"), await school.register()
        course = await school.course(teacher)
        await school.call("POST", f"/api/courses/{course}/enroll", student)
        session = await school.session(teacher, course)
        tree = (await school.call("GET", f"/api/instructor/courses/{course}", teacher)).body
        section = tree["sections"][0]
        ids = {
            "course": course,
            "session": session,
            "section": section["id"],
            "lesson": section["lessons"][0]["id"],
            "user": student.id,
        }
        people = {
            "student": student,
            "instructor": teacher,
            "admin": await school.login("admin@example.com"),
        }
        await school.close()
        return people, ids


# Its two workers would import this one at the same moment, on which CPython 3.11 may fail (ast and threads).
_COMMAND = "import anyio, schemathesis.cli; schemathesis.cli.schemathesis()"


def fuzz(product: Product, requests: int, report: Path) -> tuple[int, list[str]]:
    """Send about so many requests; return how many were, and what failed."""
    people, ids = asyncio.run(_school(product))
    sent, failures = 0, []
    for name, who in people.items():
        wanted, seed = requests // len(people), 1
        here = 0
        while here < wanted:
            more, failed = _run(product, who, ids, report, seed, wanted - here)
            failures += [f"{name}: {line}" for line in failed]
            if failed or not more:
                break
            here += more
            seed += 1
        sent += here
    return sent, failures


def _run(
    product: Product, who: Person, ids: dict[str, str], report: Path, seed: int, wanted: int
) -> tuple[int, list[str]]:
    config = report / "schemathesis.toml"
    parameters = "\n".join(f'"path.{name}" = "{value}"' for name, value in ids.items())
    config.write_text(f"[parameters]\n{parameters}\n")
    events = report / "events.ndjson"
    events.unlink(missing_ok=True)
    examples = max(1, min(40, wanted // 150))
    done = subprocess.run(
        [
            *(sys.executable, "-c", _COMMAND, "--config-file", str(config), "run"),
            f"{product.url()}/api/openapi.json",
            *("--checks", "all", "--exclude-checks", _NOT_CHECKED, "--phases", "coverage,fuzzing,stateful"),
            *("--max-examples", str(examples), "--seed", str(seed), "--workers", "2"),
            *("--request-timeout", "10", "--continue-on-failure", "--no-color", "--warnings", "off"),
            *("--suppress-health-check", "all", "--exclude-path-regex", _EXCLUDED),
            *("-H", f"Authorization: Bearer {who.token}"),
            *("--report", "ndjson", "--report-ndjson-path", str(events)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    count = re.search(r"(\d+) generated", done.stdout)
    total = int(count[1]) if count else 0
    if done.returncode == 0:
        return total, []
    part = done.stdout.partition("= FAILURES =")[2] or done.stdout + done.stderr
    return total, [part[-6000:]]


def main() -> int:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
        Product(Path(folder) / "state", settings={**UNHURRIED, "LIVE_AUTH__ACCESS_MINUTES": "15"}) as product,
    ):
        sent, failures = fuzz(product, requests, Path(folder))
        log = product.log.read_text()
    print("\n\n".join(failures))
    faults = log.count("http.internal")
    print(json.dumps({"requests": sent, "failures": len(failures), "faults_in_the_log": faults}))
    return 1 if failures or faults else 0


if __name__ == "__main__":
    sys.exit(main())
