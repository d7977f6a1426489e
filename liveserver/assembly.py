"""What a web process is made of: its stores and every activity, built once, closed in reverse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import redis.asyncio

from liveserver.config import Running, Settings
from liveserver.outside.antivirus import Clamd
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
from liveserver.services.coupons import Coupons
from liveserver.services.courses import Courses
from liveserver.services.curriculum import Curriculum
from liveserver.services.enrollment import EnrollmentDesk
from liveserver.services.keys import SigningKeys
from liveserver.services.live_sessions import LiveSessions
from liveserver.services.mailing import NOTIFY, Mailing
from liveserver.services.media_keys import MediaKeys
from liveserver.services.moderation import Moderation
from liveserver.services.notifications import Notifications
from liveserver.services.passwords import PasswordHashing
from liveserver.services.payments import PaymentProvider, Payments
from liveserver.services.platform import Platform
from liveserver.services.playback import Watching
from liveserver.services.polls import Polls
from liveserver.services.portraits import Portraits
from liveserver.services.profiles import Profiles
from liveserver.services.progress import Progress
from liveserver.services.relays import Relays
from liveserver.services.retention import Retention
from liveserver.services.scheduling import Scheduling
from liveserver.services.screening import Screening
from liveserver.services.seats import Seats
from liveserver.services.statistics import Statistics
from liveserver.services.tokens import TokenSigner
from liveserver.services.uploads import Uploads
from liveserver.services.videos import Videos
from liveserver.services.webhooks import Webhooks
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Database
from liveserver.storage.presence import Presence
from liveserver.storage.redis_client import connect
from liveserver.storage.s3 import ObjectStore
from liveserver.storage.seats import Durations, SeatLedger
from liveserver.storage.throttle import Throttle


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
            await objects.prepare(
                ["*"] if not allowed_origins(settings) else sorted(allowed_origins(settings))
            )
            yield Storage(database=database, redis=client, ledger=ledger, bus=Bus(client), objects=objects)
    finally:
        await client.aclose()
        await database.close()


@asynccontextmanager
async def build_services(settings: Settings, running: Running, storage: Storage) -> AsyncIterator[Services]:
    """Build every activity of a process."""
    auth, live = settings.auth, settings.live
    keys = signing_keys(settings, running, storage.database)
    await keys.load()
    signer = TokenSigner(keys, access_seconds=auth.access_minutes * 60)
    hashing = PasswordHashing()
    throttle = Throttle(storage.redis)
    mailer = Mailer(settings.mail.smtp_url, settings.mail.sender) if settings.mail.smtp_url else None
    platform = Platform(storage.database, storage.bus, has_mail=mailer is not None)
    await platform.refresh()
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
    courses = Courses(storage.database, platform, notifications, classes, seats)
    desk = EnrollmentDesk(storage.database, seats, notifications, webhooks)
    progress = Progress(storage.database, platform, notifications, webhooks, documents)
    transcoder = Transcoder(settings.state.dir / "spool")
    portraits = Portraits(storage.database, storage.objects, transcoder, TranscodingFailed)
    try:
        yield Services(
            accounts=accounts,
            attendance=attendance,
            classroom=Classroom(storage.database, storage.ledger, presence, seats, storage.bus),
            coupons=Coupons(storage.database),
            courses=courses,
            curriculum=Curriculum(storage.database, scheduling, courses),
            enrollment=desk,
            keys=keys,
            live_sessions=classes,
            mailing=mailing,
            media_keys=MediaKeys(storage.database, accounts, signer, address=settings.http.address()),
            moderation=Moderation(storage.database, seats, storage.bus),
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
            polls=Polls(storage.database, seats, signer, storage.bus),
            portraits=portraits,
            profiles=Profiles(storage.database, hashing, throttle, portraits, storage.bus),
            progress=progress,
            relays=Relays(settings.media.turn_urls, settings.media.turn_secret),
            retention=Retention(storage.database, storage.objects, platform),
            scheduling=scheduling,
            screening=Screening(
                storage.database,
                storage.objects,
                Clamd(settings.uploads.clamd) if settings.uploads.clamd else None,
            ),
            seats=seats,
            statistics=Statistics(storage.database, attendance),
            uploads=Uploads(
                storage.database, storage.objects, platform, screens_files=bool(settings.uploads.clamd)
            ),
            videos=Videos(
                storage.database,
                storage.objects,
                transcoder,
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


def signing_keys(settings: Settings, running: Running, database: Database) -> SigningKeys:
    auth = settings.auth
    return SigningKeys(
        database,
        secret=running.auth_secret,
        directory=auth.keys_dir,
        rotate_after=timedelta(days=auth.rotate_days) if auth.rotate_days else None,
    )


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


def allowed_origins(settings: Settings) -> frozenset[str]:
    own = {settings.http.public_url.rstrip("/")} if settings.http.public_url else set()
    return frozenset({*settings.http.allowed_origins, *own})
