"""One web process: builds every long-lived object once, runs their tasks, closes them in reverse."""

import asyncio
import os
import secrets
import signal
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import redis.asyncio
import socketio
import structlog
from aiohttp import web

import api
import api.operator
from liveserver.config import Running, Settings
from liveserver.errors import Unavailable
from liveserver.outside.documents import Documents
from liveserver.outside.mail import Mailer
from liveserver.outside.payments.paymob import Paymob
from liveserver.outside.payments.stripe import Stripe
from liveserver.outside.posting import Poster
from liveserver.outside.transcoding import Transcoder, TranscodingFailed
from liveserver.services import Services
from liveserver.services.accounts import Accounts, Limits
from liveserver.services.attendance import Attendance
from liveserver.services.classroom import Classroom
from liveserver.services.courses import Courses
from liveserver.services.curriculum import Curriculum
from liveserver.services.enrollment import EnrollmentDesk
from liveserver.services.live_sessions import LiveSessions
from liveserver.services.mailing import NOTIFY, SEND, Mailing
from liveserver.services.moderation import Moderation
from liveserver.services.notifications import Notifications
from liveserver.services.passwords import PasswordHashing
from liveserver.services.payments import PaymentProvider, Payments
from liveserver.services.platform import Platform
from liveserver.services.playback import Watching
from liveserver.services.profiles import Profiles
from liveserver.services.progress import Progress
from liveserver.services.scheduling import Scheduling
from liveserver.services.seats import Seats
from liveserver.services.statistics import Statistics
from liveserver.services.tokens import TokenSigner
from liveserver.services.uploads import PREPARE_VIDEO, Uploads
from liveserver.services.videos import Videos
from liveserver.services.webhooks import DELIVER, Webhooks
from liveserver.storage.bus import Bus
from liveserver.storage.jobs import Worker
from liveserver.storage.postgres import Database
from liveserver.storage.presence import Presence
from liveserver.storage.redis_client import connect
from liveserver.storage.s3 import ObjectStore
from liveserver.storage.seats import Durations, SeatLedger
from liveserver.storage.throttle import Throttle
from signaling import hub
from signaling.account import AccountSockets
from signaling.links import Links
from signaling.members import Members
from signaling.rooms import Rooms
from signaling.telling import Telling

WEB_DIST = Path(__file__).parent.parent / "web" / "dist"
_SECONDS_TO_WORKERS = 30.0
_SECONDS_BETWEEN_REMINDERS = 10.0
_log = structlog.get_logger()


class StoreUnfit(Exception):
    """A configured server must not be used as it is; the text says why and what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The stores of a process, open."""

    database: Database
    redis: redis.asyncio.Redis
    ledger: SeatLedger
    bus: Bus
    objects: ObjectStore


@asynccontextmanager
async def open_storage(settings: Settings, running: Running) -> AsyncIterator[Storage]:
    """Connect, load the seat functions, refuse a Redis that would evict seats (StoreUnfit)."""
    database = await Database.open(running.database_url, settings.database.pool)
    client = connect(running.redis_url, settings.redis.pool)
    seats = settings.seats
    ledger = SeatLedger(
        client,
        Durations(
            lease=seats.lease_seconds * 1000,
            grace=seats.grace_seconds * 1000,
            reservation=seats.reservation_seconds * 1000,
            offer=seats.offer_seconds * 1000,
            wait=seats.lease_seconds * 1000,
            stall=seats.stall_seconds * 1000,
        ),
    )
    try:
        await ledger.load()
        unfit = await ledger.check_policy()
        if unfit:
            raise StoreUnfit(unfit)
        async with ObjectStore.open(
            endpoint=running.s3_endpoint,
            public_endpoint=settings.s3.public_endpoint,
            bucket=settings.s3.bucket,
            region=settings.s3.region,
            access_key=running.s3_access_key,
            secret_key=running.s3_secret_key,
        ) as objects:
            await objects.prepare(["*"] if not _origins(settings) else sorted(_origins(settings)))
            yield Storage(database=database, redis=client, ledger=ledger, bus=Bus(client), objects=objects)
    finally:
        await client.aclose()
        await database.close()


@asynccontextmanager
async def build_services(settings: Settings, running: Running, storage: Storage) -> AsyncIterator[Services]:
    """Build every activity of a process."""
    auth, live = settings.auth, settings.live
    signer = TokenSigner(
        storage.database,
        secret=running.auth_secret,
        keys_dir=auth.keys_dir,
        access_seconds=auth.access_minutes * 60,
    )
    await signer.load()
    hashing = PasswordHashing()
    throttle = Throttle(storage.redis)
    platform = Platform(storage.database, storage.bus)
    await platform.refresh()
    mailer = Mailer(settings.mail.smtp_url, settings.mail.sender) if settings.mail.smtp_url else None
    notifications = Notifications(storage.database, storage.bus, mailed_by=NOTIFY if mailer else None)
    mailing = Mailing(
        storage.database, mailer, hashing, throttle, storage.bus, address=settings.http.address()
    )
    presence = Presence(storage.redis)
    accounts = Accounts(
        storage.database,
        signer,
        hashing,
        throttle,
        storage.bus,
        platform,
        mailing,
        Limits(
            idle=timedelta(days=auth.refresh_idle_days),
            absolute=timedelta(days=auth.refresh_absolute_days),
            grace=timedelta(seconds=auth.refresh_grace_seconds),
            failed_logins=auth.failed_logins,
            failed_login_minutes=auth.failed_login_minutes,
            registrations_per_minute=auth.registrations_per_minute,
        ),
    )
    attendance = Attendance(
        storage.database, storage.ledger, presence, storage.bus, gap=timedelta(seconds=live.gap_seconds)
    )
    seats = Seats(
        storage.database,
        storage.ledger,
        presence,
        attendance,
        accounts,
        signer,
        throttle,
        storage.bus,
        reservation_seconds=settings.seats.reservation_seconds,
        start_window=timedelta(minutes=live.start_window_minutes),
    )
    documents = Documents(settings.http.address())
    webhooks = Webhooks(
        storage.database,
        Poster(allow_private=settings.webhooks.allow_private),
        secret=running.auth_secret,
    )
    classes = LiveSessions(
        storage.database,
        storage.ledger,
        presence,
        attendance,
        notifications,
        webhooks,
        storage.bus,
        start_window=timedelta(minutes=live.start_window_minutes),
    )
    scheduling = Scheduling(
        storage.database,
        classes,
        notifications,
        platform,
        storage.bus,
        documents,
        max_duration=live.max_duration_minutes,
        max_students=live.max_students,
    )
    desk = EnrollmentDesk(storage.database, seats, notifications, webhooks)
    progress = Progress(storage.database, platform, notifications, webhooks, documents)
    try:
        yield Services(
            accounts=accounts,
            attendance=attendance,
            classroom=Classroom(storage.database, storage.ledger, presence, seats, storage.bus),
            courses=Courses(storage.database, platform, notifications, classes),
            curriculum=Curriculum(storage.database, scheduling),
            enrollment=desk,
            live_sessions=classes,
            mailing=mailing,
            moderation=Moderation(storage.database, seats, classes, storage.bus),
            notifications=notifications,
            payments=Payments(
                storage.database,
                _payment_provider(settings),
                desk,
                seats,
                notifications,
                webhooks,
                address=settings.http.address(),
            ),
            platform=platform,
            profiles=Profiles(storage.database, hashing, storage.bus),
            progress=progress,
            scheduling=scheduling,
            seats=seats,
            statistics=Statistics(storage.database, attendance),
            uploads=Uploads(storage.database, storage.objects, platform),
            videos=Videos(
                storage.database,
                storage.objects,
                Transcoder(settings.state.dir / "spool"),
                TranscodingFailed,
                secret=running.auth_secret,
            ),
            watching=Watching(
                storage.database,
                storage.objects,
                signer,
                platform,
                progress,
                notifications,
                secret=running.auth_secret,
            ),
            webhooks=webhooks,
        )
    finally:
        hashing.close()


def _payment_provider(settings: Settings) -> PaymentProvider | None:
    wanted = settings.payments
    if wanted.provider == "stripe":
        return Stripe(wanted.stripe_secret_key, wanted.stripe_webhook_secret, wanted.api_base)
    if wanted.provider == "paymob":
        return Paymob(
            wanted.paymob_api_key,
            wanted.paymob_hmac_secret,
            integration=wanted.paymob_integration,
            frame=wanted.paymob_frame,
            api_base=wanted.api_base,
        )
    return None


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
        app = api.application(
            services,
            trusted_proxies=settings.http.trusted_proxies,
            allowed_origins=_origins(settings),
        )
        links = Links(timeout=hub.PING_TIMEOUT)
        sio = hub.server(app, _origins(settings), links)
        api.serve_pages(app, WEB_DIST, settings.s3.public_endpoint or running.s3_endpoint)
        rooms, telling = _signal(settings, running, services, storage, sio, links, owned)
        await rooms.ready(_SECONDS_TO_WORKERS)
        await services.live_sessions.reconcile()
        owned.start(_reconcile(services), "reconcile")
        owned.start(services.platform.run(), "platform")
        owned.start(_remind(services), "remind")
        handlers = {
            PREPARE_VIDEO: services.videos.prepare,
            SEND: services.mailing.send,
            NOTIFY: services.mailing.notify,
            DELIVER: services.webhooks.deliver,
        }
        jobs = Worker(running.database_url, handlers, limits={PREPARE_VIDEO: 1})
        owned.start(jobs.run(), "jobs")
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=60, shutdown_timeout=3)
        await runner.setup()
        site = web.TCPSite(runner, settings.http.host, port, ssl_context=_tls(settings), backlog=2048)
        admin = await _open_admin(settings, storage, rooms)
        try:
            await site.start()
            _log.info("web.ready", port=port)
            await stop.wait()
        finally:
            await admin.cleanup()
            await telling.drain()
            await runner.cleanup()
            owned.cancel()


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
    settings: Settings,
    running: Running,
    services: Services,
    storage: Storage,
    sio: socketio.AsyncServer,
    links: Links,
    tasks: _Tasks,
) -> tuple[Rooms, Telling]:
    """Wire the socket door: members, workers, and what is told to whom."""
    node = f"{os.getpid()}-{secrets.token_hex(4)}"
    members = Members()
    rooms = Rooms([str(running.control_socket(n)) for n in range(running.workers)])
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
    rooms.listen(telling.worker_said, telling.worker_lost)
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
    accounts = AccountSockets(sio, services, links, access_seconds=settings.auth.access_minutes * 60)
    storage.bus.listen(accounts.happened)
    tasks.start(accounts.run(), "account")
    tasks.start(accounts.watch(), "account-watch")
    for n, worker in enumerate(rooms.workers):
        tasks.start(worker.run(), f"worker-{n}")
    tasks.start(storage.bus.run(), "bus")
    tasks.start(telling.run(), "telling")
    tasks.start(telling.watch(), "watch")
    tasks.start(telling.renew(), "renew")
    return rooms, telling


async def _reconcile(services: Services) -> None:
    while True:
        await asyncio.sleep(1)
        try:
            await services.live_sessions.reconcile()
            await services.seats.note_refused()
        except Unavailable as error:
            _log.warning("reconcile.unavailable", code=error.code)
        except Exception:
            _log.exception("reconcile.internal")


async def _remind(services: Services) -> None:
    while True:
        await asyncio.sleep(_SECONDS_BETWEEN_REMINDERS)
        try:
            await services.scheduling.remind()
            await services.uploads.sweep()
        except Unavailable as error:
            _log.warning("remind.unavailable", code=error.code)
        except Exception:
            _log.exception("remind.internal")


async def _open_admin(settings: Settings, storage: Storage, rooms: Rooms) -> web.AppRunner:
    async def redis_answers() -> None:
        await storage.redis.ping()

    async def workers_answer() -> None:
        if not rooms.connected:
            raise ConnectionError

    checks = {
        "postgres": storage.database.ping,
        "redis": redis_answers,
        "store": storage.objects.ping,
        "media": workers_answer,
    }
    runner = web.AppRunner(api.operator.application(checks), access_log=None)
    await runner.setup()
    if settings.http.admin_port:
        await web.TCPSite(runner, settings.http.admin_host, settings.http.admin_port).start()
    return runner


def _origins(settings: Settings) -> frozenset[str]:
    own = {settings.http.public_url.rstrip("/")} if settings.http.public_url else set()
    return frozenset({*settings.http.allowed_origins, *own})


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.http.secure:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.http.certificate, settings.http.key)
    return context
