"""The commands: serve, web, media, migrate, create-admin, rotate-keys, drain, demo, openapi."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop

from liveserver import config, logs
from liveserver.config import Running, Settings


def main() -> int:
    """Run one command; return its exit status."""
    arguments = _parser().parse_args()
    try:
        settings = config.load()
        logs.configure(settings.log.level, json_lines=settings.log.json_lines, process=_name(arguments))
        status: int = arguments.run(settings, arguments)
    except config.ConfigError as error:
        print(f"liveserver: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="liveserver", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="everything of one host, embedded stores included")
    serve.add_argument("--demo", action="store_true", help="prepare the demo school")
    serve.add_argument("--lan", action="store_true", help="https for phones on this network")
    serve.set_defaults(run=_serve)
    web = commands.add_parser("web", help="one web process beside a running `serve`")
    web.add_argument("--port", type=int, default=None)
    web.set_defaults(run=_web)
    media = commands.add_parser("media", help="one media worker beside a running `serve`")
    media.add_argument("--index", type=int, default=0)
    media.set_defaults(run=_media)
    commands.add_parser("migrate", help="bring the database up to date").set_defaults(run=_migrate)
    admin = commands.add_parser("create-admin", help="make an account an admin, or make one")
    admin.add_argument("email")
    admin.set_defaults(run=_create_admin)
    rotate = commands.add_parser("rotate-keys", help="publish a new signing key")
    rotate.add_argument(
        "--at-once", action="store_true", help="void the old ones within a minute: they leaked"
    )
    rotate.set_defaults(run=_rotate_keys)
    drain = commands.add_parser("drain", help="give this host no new classes, those it has go on")
    drain.add_argument("--wait", action="store_true", help="return when its media workers are empty")
    drain.add_argument("--off", action="store_true", help="give it classes again")
    drain.set_defaults(run=_drain)
    commands.add_parser("demo", help="prepare the demo school").set_defaults(run=_demo)
    commands.add_parser("openapi", help="print the OpenAPI document").set_defaults(run=_openapi)
    return parser


def _name(arguments: argparse.Namespace) -> str:
    index = getattr(arguments, "index", None)
    return str(arguments.command) if index is None else f"{arguments.command}-{index}"


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    from liveserver.embedded.process import ServerFailed  # noqa: PLC0415 - a worker needs none of it
    from liveserver.storage.migrating import CannotMigrate  # noqa: PLC0415 - same
    from liveserver.supervisor import CannotStart, Supervisor  # noqa: PLC0415 - same

    async def run() -> None:
        await Supervisor(settings, with_demo=arguments.demo, lan=arguments.lan).run()

    try:
        asyncio.run(run())
    except (CannotStart, CannotMigrate, ServerFailed) as error:
        print(f"liveserver: {error}", file=sys.stderr)
        return 1
    except ExceptionGroup as group:
        failed = group.subgroup((CannotStart, CannotMigrate, ServerFailed))
        if failed is None:
            raise
        print(f"liveserver: {failed.exceptions[0]}", file=sys.stderr)
        return 1
    return 0


def _web(settings: Settings, arguments: argparse.Namespace) -> int:
    from liveserver import app  # noqa: PLC0415 - only this process needs the doors

    running = config.join_running(settings)
    port = settings.http.port if arguments.port is None else arguments.port
    uvloop.run(app.run(settings, running, port))
    return 0


def _media(settings: Settings, arguments: argparse.Namespace) -> int:
    from media import worker  # noqa: PLC0415 - only this process forwards media

    running = config.join_running(settings)
    media = settings.media
    addresses = settings.control_addresses(running.workers)
    worker.main(
        worker.WorkerSettings(
            index=arguments.index,
            host=media.host,
            udp_port=media.udp_port + arguments.index if media.udp_port else 0,
            tcp_port=media.tcp_port + arguments.index if media.tcp_port else 0,
            public_address=media.public_address,
            stun_server=media.stun_server,
            control=running.control_socket(arguments.index),
            others=[running.control_socket(n) for n in range(running.workers) if n != arguments.index],
            most_viewers=media.viewers_per_worker,
            other_hosts=addresses[arguments.index] if addresses else "",
            secret=running.hosts_secret(),
        )
    )
    return 0


def _stores(settings: Settings) -> Running:
    """Return the running stores, or those the settings name when nothing runs here."""
    if settings.database.url and not Running.path(settings).exists():
        return Running(
            sockets=Path(),
            workers=0,
            database_url=settings.database.url,
            redis_url=settings.redis.url,
            s3_endpoint=settings.s3.endpoint,
            s3_access_key=settings.s3.access_key,
            s3_secret_key=settings.s3.secret_key,
            auth_secret=settings.auth.secret,
        )
    return config.join_running(settings)


def _migrate(settings: Settings, _arguments: argparse.Namespace) -> int:
    from liveserver.storage.migrating import CannotMigrate, migrate  # noqa: PLC0415 - asyncpg is slow to load

    try:
        applied = asyncio.run(migrate(_stores(settings).database_url))
    except CannotMigrate as error:
        print(f"liveserver: {error}", file=sys.stderr)
        return 1
    print("\n".join(applied) or "nothing to do")
    return 0


def _create_admin(settings: Settings, arguments: argparse.Namespace) -> int:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - only here

    from api.scalars import Email  # noqa: PLC0415 - the other commands need no routes
    from liveserver import first_admin  # noqa: PLC0415 - asyncpg is slow to load

    try:
        email = TypeAdapter(Email).validate_python(arguments.email)
    except ValidationError:
        print(f"liveserver: {arguments.email} is no e-mail address", file=sys.stderr)
        return 2
    password = asyncio.run(first_admin.appoint(_stores(settings), email))
    print(f"{email} is an admin" + (f", password {password}" if password else " and signs in anew"))
    return 0


def _rotate_keys(settings: Settings, arguments: argparse.Namespace) -> int:
    from liveserver.assembly import signing_keys  # noqa: PLC0415 - asyncpg is slow to load
    from liveserver.storage.postgres import Database  # noqa: PLC0415 - same

    async def rotate() -> None:
        stores = _stores(settings)
        database = await Database.open(stores.database_url, 2)
        try:
            await signing_keys(settings, stores, database).rotate(at_once=arguments.at_once)
        finally:
            await database.close()

    if settings.auth.keys_dir:
        print(f"liveserver: lay a new <kid>.pem into {settings.auth.keys_dir}", file=sys.stderr)
        return 2
    asyncio.run(rotate())
    print("it signs " + ("now, and the others are void" if arguments.at_once else "in ten minutes"))
    return 0


def _drain(settings: Settings, arguments: argparse.Namespace) -> int:
    from liveserver import draining  # noqa: PLC0415 - redis is slow to load

    running = config.join_running(settings)
    if not settings.media.control_address:
        print("liveserver: this host is alone, no other could take its classes", file=sys.stderr)
        return 2
    asyncio.run(draining.drain(settings, running, off=arguments.off))
    if arguments.off:
        print("this host is given classes again")
        return 0
    print("this host is given no new classes")
    if arguments.wait:
        asyncio.run(draining.until_empty(running, lambda people: print(f"{people} are in classes here")))
        print("its media workers are empty")
    return 0


def _demo(settings: Settings, _arguments: argparse.Namespace) -> int:
    from liveserver import demo  # noqa: PLC0415 - asyncpg is slow to load

    asyncio.run(demo.prepare(settings, _stores(settings)))
    print("\n".join(demo.banner()))
    return 0


def _openapi(_settings: Settings, _arguments: argparse.Namespace) -> int:
    import api  # noqa: PLC0415 - the other commands need no routes
    from api.openapi import document  # noqa: PLC0415 - same

    print(json.dumps(document(api.ROUTES, api.VERSION), indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
