"""One web process: builds every long-lived object once, runs their tasks, closes them in reverse."""

import asyncio
import os
import secrets
import signal
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import socketio
import structlog
from aiohttp import web

import api
import api.operator
from api.front import Front, Pace, own_names
from liveserver.assembly import Storage, StoreUnfit, allowed_origins, build_services, open_storage
from liveserver.config import Running, Settings
from liveserver.errors import Unavailable
from liveserver.models.hosts import Host
from liveserver.services import Services
from liveserver.services.mailing import NOTIFY, SEND
from liveserver.services.uploads import PREPARE_PORTRAIT, PREPARE_VIDEO, SCREEN_FILE
from liveserver.services.webhooks import DELIVER
from liveserver.storage.hosts import SECONDS_BELIEVED, HostRegistry
from liveserver.storage.jobs import Worker
from liveserver.storage.placement import Placement
from signaling import hub
from signaling.account import AccountSockets
from signaling.links import Links
from signaling.members import Members
from signaling.network_test import NetworkTestDoor
from signaling.rooms import Rooms
from signaling.telling import Telling
from signaling.whip import ProgramDoor
from signaling.workers import Workers

WEB_DIST = Path(__file__).parent.parent / "web" / "dist"
_SECONDS_TO_WORKERS = 30.0
_SECONDS_BETWEEN_SWEEPS = 10.0
_log = structlog.get_logger()


class Draining(Exception):
    """The process stops, or its host is to: it finishes what it has and takes nothing new."""


async def run(settings: Settings, running: Running, port: int) -> None:
    """Serve until SIGTERM or SIGINT. The port opens once a class can be held."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with (
        open_storage(settings, running) as storage,
        build_services(settings, running, storage) as services,
        asyncio.TaskGroup() as tasks,
    ):
        owned = _Tasks(tasks)
        app = api.application(services, front_of(settings))
        links = Links(timeout=hub.PING_TIMEOUT)
        sio = hub.server(app, allowed_origins(settings), links)
        api.serve_pages(app, WEB_DIST, settings.s3.public_endpoint or running.s3_endpoint)
        registry = HostRegistry(storage.redis)
        await meet(settings, registry)
        workers, telling = _signal(app, settings, running, services, storage, registry, sio, links, owned)
        await workers.ready(_SECONDS_TO_WORKERS)
        await services.live_sessions.reconcile()
        owned.start(
            _regularly("reconcile", 1, services.live_sessions.reconcile, services.seats.note_refused),
            "reconcile",
        )
        owned.start(services.platform.run(), "platform")
        owned.start(services.keys.run(), "keys")
        owned.start(
            _regularly(
                "remind", _SECONDS_BETWEEN_SWEEPS, services.scheduling.remind, services.payments.sweep
            ),
            "remind",
        )
        owned.start(_regularly("retain", _SECONDS_BETWEEN_SWEEPS, services.retention.sweep), "retain")
        owned.start(_jobs(services, running.database_url).run(), "jobs")
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=60, shutdown_timeout=3)
        await runner.setup()
        site = web.TCPSite(runner, settings.http.host, port, ssl_context=_tls(settings), backlog=2048)
        admin = await _open_admin(settings, storage, workers, stop, port - settings.http.port)
        try:
            await site.start()
            _log.info("web.ready", port=port)
            await stop.wait()
        finally:
            await telling.drain()
            await runner.cleanup()
            await admin.cleanup()
            owned.cancel()


def _jobs(services: Services, url: str) -> Worker:
    """Return who does the jobs: each kind its service's."""
    handlers = {
        PREPARE_VIDEO: services.videos.prepare,
        PREPARE_PORTRAIT: services.portraits.prepare,
        SCREEN_FILE: services.screening.screen,
        SEND: services.mailing.send,
        NOTIFY: services.mailing.notify,
        DELIVER: services.webhooks.deliver,
    }
    of_uploads = (PREPARE_VIDEO, PREPARE_PORTRAIT, SCREEN_FILE)
    return Worker(
        url,
        handlers,
        gave_up=dict.fromkeys(of_uploads, services.uploads.give_up),
        limits={PREPARE_VIDEO: 1, PREPARE_PORTRAIT: 1, SCREEN_FILE: 2},
    )


def front_of(settings: Settings) -> Front:
    http = settings.http
    return Front(
        trusted_proxies=http.trusted_proxies,
        allowed_origins=allowed_origins(settings),
        allowed_hosts=own_names(http.public_url, http.allowed_hosts),
        pace=Pace(rate=http.requests_per_second, burst=http.request_burst),
    )


class _Tasks:
    """The tasks of the process, by name; cancelled together."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[None, None, None], name: str) -> None:
        self._tasks.append(self._group.create_task(work, name=name))

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


def _signal(
    app: web.Application,
    settings: Settings,
    running: Running,
    services: Services,
    storage: Storage,
    registry: HostRegistry,
    sio: socketio.AsyncServer,
    links: Links,
    tasks: _Tasks,
) -> tuple[Workers, Telling]:
    """Wire the socket door: members, workers, and what is told to whom."""
    node = f"{os.getpid()}-{secrets.token_hex(4)}"
    members = Members()
    names = settings.worker_names(running.workers)
    workers = Workers(
        {name: str(running.control_socket(n)) for n, name in enumerate(names)},
        Host(name=settings.host_name(), is_alone=not settings.media.control_address),
        registry,
        running.hosts_secret(),
    )
    rooms = Rooms(workers, Placement(storage.redis))
    telling = Telling(
        sio,
        services,
        members,
        rooms,
        links=links,
        node=node,
        renew_seconds=settings.seats.renew_seconds,
        grace_seconds=settings.seats.grace_seconds,
    )
    workers.listen(telling.worker_said, telling.worker_lost)
    storage.bus.listen(telling.happened)
    hub.Hub(
        sio,
        services,
        members,
        rooms,
        telling,
        node=node,
        access_seconds=settings.auth.access_minutes * 60,
        links=links,
    )
    NetworkTestDoor(services, rooms).install(app)
    ProgramDoor(services, rooms, members, telling, node=node).install(app)
    accounts = AccountSockets(sio, services, links, access_seconds=settings.auth.access_minutes * 60)
    storage.bus.listen(accounts.happened)
    tasks.start(accounts.run(), "account")
    tasks.start(accounts.watch(), "account-watch")
    tasks.start(workers.run(), "workers")
    tasks.start(storage.bus.run(), "bus")
    tasks.start(telling.run(), "telling")
    tasks.start(telling.watch(), "watch")
    tasks.start(telling.follow(), "follow")
    tasks.start(telling.renew(), "renew")
    return workers, telling


async def meet(settings: Settings, registry: HostRegistry, *, seconds: int = SECONDS_BELIEVED + 1) -> None:
    """Raises StoreUnfit where another host uses our Redis and the two cannot reach each other's workers."""
    name = settings.host_name()
    for _ in range(seconds):  # one that was stopped, or was called otherwise, is soon forgotten
        others = [host for host in await registry.living() if host.name != name]
        deaf = [host.name for host in others if host.is_alone or not settings.media.control_address]
        if not deaf:
            return
        await asyncio.sleep(1)
    raise StoreUnfit(
        f"another host ({deaf[0]}) uses the same Redis: set media.control_address on both, so that each"
        " reaches the other's media workers"
    )


async def _regularly(name: str, seconds: float, *deeds: Callable[[], Awaitable[None]]) -> None:
    """Do each, again and again; one that fails keeps no other from being done."""
    while True:
        await asyncio.sleep(seconds)
        for deed in deeds:
            try:
                await deed()
            except Unavailable as error:
                _log.warning(f"{name}.unavailable", code=error.code)
            except Exception:
                _log.exception(f"{name}.internal")


async def _open_admin(
    settings: Settings, storage: Storage, workers: Workers, stop: asyncio.Event, number: int
) -> web.AppRunner:
    """Open the operator's listener of the host's web process of that number."""

    async def redis_answers() -> None:
        await storage.redis.ping()

    async def workers_answer() -> None:
        if not workers.connected:
            raise ConnectionError

    async def still_serves() -> None:
        if stop.is_set() or workers.draining:
            raise Draining

    checks = {
        "postgres": storage.database.ping,
        "redis": redis_answers,
        "store": storage.objects.ping,
        "media": workers_answer,
        "serving": still_serves,
    }
    runner = web.AppRunner(api.operator.application(checks, workers.figures), access_log=None)
    await runner.setup()
    if settings.http.admin_port:
        port = settings.http.admin_port + number
        await web.TCPSite(runner, settings.http.admin_host, port).start()
    return runner


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.http.secure:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.http.certificate, settings.http.key)
    return context
