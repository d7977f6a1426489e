"""Buying a course: orders, what the provider tells, and the money that moved."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import structlog

from liveserver.errors import (
    AlreadyOwned,
    CheckoutExpired,
    CouponInvalid,
    InFlight,
    Invalid,
    KeyReused,
    NotFound,
    NothingToPay,
    PaymentsOff,
    ProviderDown,
    Removed,
    WrongState,
)
from liveserver.models.accounts import Role, User
from liveserver.models.courses import Course
from liveserver.models.ids import CourseId, OrderId
from liveserver.models.notifications import NotificationKind
from liveserver.models.payments import (
    SURELY_UNPAID,
    Checkout,
    EventKind,
    Order,
    OrderStatus,
    PaymentEvent,
    RevenueRow,
)
from liveserver.models.webhooks import WebhookEvent
from liveserver.services.enrollment import EnrollmentDesk
from liveserver.services.notifications import Notifications
from liveserver.services.seats import Seats
from liveserver.services.webhooks import Webhooks
from liveserver.storage import audit, coupons, courses, enrollments, orders, users
from liveserver.storage.postgres import Connection, Database

_log = structlog.get_logger()


class PaymentProvider(Protocol):
    """Who takes the money. `begin` raises ProviderDown, `read` BadSignature."""

    name: str

    async def begin(self, order: Order, *, email: str, back: str) -> Checkout: ...
    def read(self, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]) -> PaymentEvent: ...


class Payments:
    def __init__(
        self,
        database: Database,
        provider: PaymentProvider | None,
        desk: EnrollmentDesk,
        seats: Seats,
        notifications: Notifications,
        webhooks: Webhooks,
        *,
        address: str,
    ) -> None:
        self._database = database
        self._provider = provider
        self._desk = desk
        self._seats = seats
        self._notifications = notifications
        self._webhooks = webhooks
        self._address = address

    async def check_out(
        self, student: User, course_id: CourseId, *, coupon: str | None, key: str | None
    ) -> tuple[Order, bool]:
        """Make an order and say where to pay; return it and whether it is new.

        The price is the course's, the coupon's percent off. The same idempotency key, or an order that is
        still open, is the same order. Raises NotFound, AlreadyOwned, Removed, NothingToPay, CouponInvalid,
        KeyReused, CheckoutExpired, InFlight, PaymentsOff, ProviderDown.
        """
        if self._provider is None:
            raise PaymentsOff
        async with self._database.transaction() as conn:
            await users.lock(conn, student.id)  # two clicks take turns
            course = await courses.by_id(conn, course_id)
            if course is None or not course.is_public:
                raise NotFound
            known = await self._known_order(conn, student, course, coupon, key)
            if known is not None:
                return known, False
            order = await self._place(conn, student, course, coupon, key)
            keys = [] if order.amount else await self._settle(conn, order)
        for one in keys:
            await self._notifications.push(one)
        if not order.amount:
            return await self._current(order.id), True
        return await self._begin(student, order), True

    async def _known_order(
        self, conn: Connection, student: User, course: Course, coupon: str | None, key: str | None
    ) -> Order | None:
        if key is not None:
            same = await orders.by_key(conn, student.id, key)
            if same is not None:
                if (same.course_id, same.coupon) != (course.id, coupon):
                    raise KeyReused
                if same.is_dead(datetime.now(UTC)):
                    raise CheckoutExpired
                if same.status is OrderStatus.FAILED:
                    raise CheckoutExpired if same.checkout_url else ProviderDown
                return _payable(same)
        enrollment = await enrollments.of_student(conn, student.id, course.id)
        if enrollment is not None and enrollment.removed_at is None:
            raise AlreadyOwned
        if await enrollments.is_shut_out(conn, student.id, course.id):
            raise Removed
        open_order = await orders.open_of(conn, student.id, course.id)
        if open_order is not None and open_order.is_dead(datetime.now(UTC)):
            await orders.set_status(conn, open_order.id, OrderStatus.FAILED)
            # Its last minutes may still see it paid; but who comes back with the same coupon goes on with it.
            if open_order.checkout_url is None or open_order.coupon == coupon:
                await coupons.give_back(conn, open_order.id)
            return None
        return _payable(open_order) if open_order is not None else None

    async def _place(
        self, conn: Connection, student: User, course: Course, code: str | None, key: str | None
    ) -> Order:
        if not course.price:
            raise NothingToPay
        amount, coupon = course.price, None
        if code is not None:
            coupon = await coupons.lock(conn, course.id, code)
            if coupon is None or not coupon.counts(datetime.now(UTC)):
                raise CouponInvalid
            await coupons.use(conn, coupon.id)
            amount = coupon.of(course.price)
        assert self._provider is not None  # noqa: S101 - asked first of all
        order_id = await orders.insert(
            conn,
            student.id,
            course.id,
            amount=amount,
            currency=course.currency,
            coupon=coupon.id if coupon else None,
            provider=self._provider.name,
            key=key,
        )
        order = await orders.by_id(conn, order_id)
        assert order is not None  # noqa: S101 - inserted above
        return order

    async def _begin(self, student: User, order: Order) -> Order:
        assert self._provider is not None  # noqa: S101 - asked first of all
        back = f"{self._address}/courses/{order.course_id}"
        try:
            checkout = await self._provider.begin(order, email=student.email, back=back)
        except ProviderDown:
            async with self._database.transaction() as conn:
                await _give_up(conn, order.id)
            raise
        async with self._database.transaction() as conn:
            await orders.set_checkout(conn, order.id, checkout)
        return await self._current(order.id)

    async def _current(self, order_id: OrderId) -> Order:
        async with self._database.connection() as conn:
            order = await orders.by_id(conn, order_id)
        assert order is not None  # noqa: S101 - orders are never deleted
        return order

    # What the provider tells

    async def told(self, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Take an event of the provider's; each has its effect once, in whatever order they come.

        Raises BadSignature before anything is written.
        """
        if self._provider is None:
            raise NotFound
        event = self._provider.read(body, headers, query)
        name = self._provider.name
        keys: list[str] = []
        async with self._database.transaction() as conn:
            order = await _order_of(conn, name, event)
            if not await orders.note_event(conn, name, event, order.id if order else None) or order is None:
                return
            had = await enrollments.is_enrolled(conn, order.student_id, order.course_id)
            if event.kind is EventKind.PAID:
                keys += await self._paid(conn, order, event)
                if event.payment_ref is not None:
                    for early in await orders.claim_early(conn, name, event.payment_ref, order.id):
                        keys += await self._returned(conn, order.id, early)
            else:
                keys += await self._returned(conn, order.id, event)
            has = await enrollments.is_enrolled(conn, order.student_id, order.course_id)
        if had and not has:
            await self._seats.evict(order.student_id, order.course_id)
        for key in keys:
            await self._notifications.push(key)

    async def _paid(self, conn: Connection, order: Order, event: PaymentEvent) -> list[str]:
        payment = event.payment_ref
        paid = await orders.id_of_payment(conn, order.provider, payment) if payment is not None else None
        is_anothers = paid is not None and paid != order.id
        if is_anothers or (event.amount, event.currency) != (order.amount, order.currency):
            _log.warning("payment.held", order=str(order.id), amount=event.amount, currency=event.currency)
            if order.status in {OrderStatus.CREATED, OrderStatus.FAILED}:
                ref = None if is_anothers else payment
                await orders.set_status(conn, order.id, OrderStatus.HELD, payment_ref=ref)
                await audit.write(
                    conn,
                    None,
                    "payment.held",
                    order.id,
                    amount=event.amount,
                    currency=event.currency,
                    paid=str(paid) if is_anothers else None,
                )
            return []
        if not await orders.entered(conn, order.id, "charge"):
            await orders.enter(conn, order, "charge", order.amount)
        if order.status not in {OrderStatus.CREATED, OrderStatus.FAILED}:
            return []  # a refund came first: it is never undone
        if await enrollments.is_shut_out(conn, order.student_id, order.course_id):
            # Removed between ordering and paying: an admin decides, the payment does not.
            await orders.set_status(conn, order.id, OrderStatus.HELD, payment_ref=event.payment_ref)
            await audit.write(conn, None, "payment.held", order.id, removed=True)
            return []
        return await self._settle(conn, order, event.payment_ref)

    async def _settle(self, conn: Connection, order: Order, payment_ref: str | None = None) -> list[str]:
        """The order is paid: the student is in."""
        await orders.set_status(conn, order.id, OrderStatus.PAID, payment_ref=payment_ref)
        await coupons.take_again(conn, order.id)
        await self._webhooks.emit(
            conn,
            WebhookEvent.PAYMENT_RECEIVED,
            orderId=order.id,
            studentId=order.student_id,
            courseId=order.course_id,
            amount=order.amount,
            currency=order.currency,
        )
        fresh = await enrollments.insert(conn, order.student_id, order.course_id)
        if fresh is None:
            await enrollments.set_removed(conn, order.student_id, order.course_id, removed=False)
        return [
            await self._desk.tell_enrolled(conn, order.student_id, order.course_id, order.course_title),
            await self._notifications.tell(
                conn,
                [order.student_id],
                NotificationKind.PAYMENT_RECEIVED,
                f"payment_received:{order.id}",
                courseId=order.course_id,
                title=order.course_title,
            ),
        ]

    async def _returned(self, conn: Connection, order_id: OrderId, event: PaymentEvent) -> list[str]:
        """Money went back, in part or whole; with all of it the access ends, the history stays."""
        order = await orders.by_id(conn, order_id)
        if order is None or event.kind not in {EventKind.REFUNDED, EventKind.DISPUTED}:
            return []
        if event.kind is EventKind.REFUNDED:
            before = await orders.entered(conn, order.id, "refund")
            earned = order.status is not OrderStatus.HELD or await orders.entered(conn, order.id, "charge")
            if event.amount > before and earned:
                await orders.enter(conn, order, "refund", event.amount - before)
            if event.amount < order.amount and earned:
                return []
        status = OrderStatus.REFUNDED if event.kind is EventKind.REFUNDED else OrderStatus.DISPUTED
        await orders.set_status(conn, order.id, status)
        # What another order paid for stays open; what this one did not open is not its to close.
        if order.status is OrderStatus.PAID and not await orders.has_paid(
            conn, order.student_id, order.course_id
        ):
            await enrollments.set_removed(conn, order.student_id, order.course_id, removed=True, by="refund")
        key = await self._notifications.tell(
            conn,
            [order.student_id],
            NotificationKind.PAYMENT_REFUNDED,
            f"payment_refunded:{order.id}",
            courseId=order.course_id,
            title=order.course_title,
        )
        return [key]

    async def accept(self, admin: User, order_id: OrderId) -> Order:
        """Let what was paid count for a held order: the student is in. Again: the same. Raises WrongState.

        Who does not want that gives the money back at the provider, which tells us.
        """
        async with self._database.transaction() as conn:
            order = await orders.by_id(conn, order_id)
            if order is None:
                raise NotFound
            await users.lock(conn, order.student_id)
            order = await orders.lock(conn, order_id)
            assert order is not None  # noqa: S101 - orders are never deleted
            if order.status is OrderStatus.PAID:
                return order
            if order.status is not OrderStatus.HELD:
                raise WrongState(state=order.status)
            amount, currency = await orders.paid_of(conn, order_id) or (order.amount, order.currency)
            if not await orders.entered(conn, order_id, "charge"):
                await orders.enter(conn, order, "charge", amount, currency)
            await audit.write(conn, admin.id, "payment.accepted", order_id, amount=amount, currency=currency)
            keys = await self._settle(conn, order)
        for key in keys:
            await self._notifications.push(key)
        return await self._current(order_id)

    async def all_orders(self, *, status: OrderStatus | None, before: UUID | None, limit: int) -> list[Order]:
        async with self._database.connection() as conn:
            return await orders.of_status(conn, status, before=before, limit=limit)

    async def sweep(self) -> None:
        """Give up the orders that nobody can have paid; their coupons may be used again."""
        async with self._database.transaction() as conn:
            for order_id in await orders.lock_unpaid(conn, datetime.now(UTC) - SURELY_UNPAID):
                await _give_up(conn, order_id)

    # Looking back

    async def history(self, user: User, *, before: UUID | None, limit: int) -> list[Order]:
        """Return a student's orders, an instructor's sales; newest first."""
        async with self._database.connection() as conn:
            if user.role is Role.INSTRUCTOR:
                return await orders.of_instructor(conn, user.id, before=before, limit=limit)
            return await orders.of_student(conn, user.id, before=before, limit=limit)

    @staticmethod
    def today(timezone: str) -> date:
        """Return the day it is in a time zone. Raises Invalid."""
        if timezone not in available_timezones():
            raise Invalid(("query.timezone", "unknown_timezone"))
        return datetime.now(ZoneInfo(timezone)).date()

    async def revenue(
        self,
        *,
        start: date,
        end: date,
        timezone: str,
        course_id: CourseId | None,
        currency: str | None,
    ) -> Sequence[RevenueRow]:
        """Return what moved on each day of a time zone that `today` knows, both ends included."""
        async with self._database.connection() as conn:
            return await orders.revenue(
                conn, start=start, end=end, timezone=timezone, course_id=course_id, currency=currency
            )


def _payable(order: Order) -> Order:
    """Return an order that has its address, or is past it. Raises InFlight while it is being made."""
    if order.status is OrderStatus.CREATED and order.checkout_url is None:
        raise InFlight
    return order


async def _give_up(conn: Connection, order_id: OrderId) -> None:
    """Nobody will pay it; money that comes all the same still opens the course."""
    await orders.set_status(conn, order_id, OrderStatus.FAILED)
    await coupons.give_back(conn, order_id)


async def _order_of(conn: Connection, provider: str, event: PaymentEvent) -> Order | None:
    """Return the order an event is about, locked: its student's orders are judged one after the other."""
    if event.payment_ref is not None:
        await orders.take_turns(conn, provider, event.payment_ref)
    found = event.order_id
    if found is None and event.checkout_ref is not None:
        found = await orders.id_of_checkout(conn, provider, event.checkout_ref)
    if found is None and event.payment_ref is not None:
        found = await orders.id_of_payment(conn, provider, event.payment_ref)
    order = await orders.by_id(conn, found) if found is not None else None
    if order is None or order.provider != provider:
        return None
    await users.lock(conn, order.student_id)
    return await orders.lock(conn, order.id)
