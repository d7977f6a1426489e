"""Buying a course, the provider's webhook, history, coupons, revenue."""

from datetime import date, timedelta
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field, StringConstraints

from api.contract import Reply, Request, route
from api.paging import cut
from api.scalars import Body, Day, Instant, Out, PageQuery, Query, Whole
from api.sheets import sheet
from liveserver.errors import (
    AlreadyOwned,
    BadSignature,
    CouponInvalid,
    CouponTaken,
    InFlight,
    Invalid,
    KeyReused,
    NotFound,
    NothingToPay,
    NotOwner,
    PaymentsOff,
    ProviderDown,
    Removed,
    WrongState,
)
from liveserver.models.accounts import Role
from liveserver.models.ids import CouponId, CourseId, OrderId, UserId
from liveserver.models.payments import Order, OrderStatus

_STUDENT, _INSTRUCTOR, _ADMIN = {Role.STUDENT}, {Role.INSTRUCTOR}, {Role.ADMIN}
_LARGEST_EVENT = 256 * 1024
_LONGEST_PERIOD = timedelta(days=731)
CouponCode = Annotated[
    str,
    StringConstraints(min_length=3, max_length=40, to_upper=True, pattern=r"^[A-Za-z0-9_-]+$"),
]


class CheckoutIn(Body):
    course_id: CourseId
    coupon: CouponCode | None = None


class OrderOut(Out):
    """`amount` is in minor units of `currency`; pay at `checkoutUrl`, absent when nothing is left to pay."""

    id: OrderId
    course_id: CourseId
    course_title: str
    amount: int
    currency: str
    status: OrderStatus
    checkout_url: str | None = None
    created_at: Instant
    paid_at: Instant | None = None


class StudentOrderOut(OrderOut):
    """An order as the admin sees it; `paymentRef` is the provider's name of the payment."""

    student_id: UserId
    payment_ref: str | None = None
    coupon: str | None = None


class StudentOrderPage(Out):
    items: list[StudentOrderOut]
    next_cursor: OrderId | None = None


class OrdersQuery(PageQuery):
    status: OrderStatus | None = None


class OrderPage(Out):
    items: list[OrderOut]
    next_cursor: OrderId | None = None


class CouponIn(Body):
    code: CouponCode
    percent: Annotated[int, Field(ge=1, le=100), Whole]
    max_uses: Annotated[int, Field(ge=1, le=1_000_000), Whole] | None = None
    expires_at: Instant | None = None


class CouponOut(Out):
    id: CouponId
    code: str
    percent: int
    max_uses: int | None = None
    uses: int
    expires_at: Instant | None = None
    ended_at: Instant | None = None


class CouponPage(Out):
    items: list[CouponOut]
    next_cursor: CouponId | None = None


class RevenueQuery(Query):
    """Days of `timezone`, both ends included; the last thirty by default."""

    start: Annotated[Day | None, Field(alias="from")] = None
    end: Annotated[Day | None, Field(alias="to")] = None
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "UTC"
    course_id: CourseId | None = None
    currency: Annotated[str | None, StringConstraints(pattern=r"^[A-Z]{3}$")] = None
    format: Literal["json", "csv"] = "json"


class RevenueRowOut(Out):
    day: date
    course_id: CourseId
    course_title: str
    currency: str
    gross: int
    refunded: int
    net: int


class CurrencyTotal(Out):
    currency: str
    gross: int
    refunded: int
    net: int


class RevenueOut(Out):
    """Minor units; each currency for itself."""

    timezone: str
    start: Annotated[date, Field(alias="from")]
    end: Annotated[date, Field(alias="to")]
    totals: list[CurrencyTotal]
    rows: list[RevenueRowOut]


@route(
    "POST",
    "/api/payments/checkout",
    status=201,
    also=(200,),
    roles=_STUDENT,
    raises=(
        NotFound,
        AlreadyOwned,
        Removed,
        NothingToPay,
        CouponInvalid,
        KeyReused,
        InFlight,
        PaymentsOff,
        ProviderDown,
    ),
)
async def check_out(request: Request, body: CheckoutIn) -> Reply[OrderOut]:
    """The header Idempotency-Key makes repeated requests one order."""
    order, fresh = await request.services.payments.check_out(
        request.user, body.course_id, coupon=body.coupon, key=_idempotency_key(request)
    )
    return Reply(body=_order(order), status=201 if fresh else 200)


@route(
    "POST",
    "/api/payments/webhook",
    status=200,
    public=True,
    reads_login=False,
    raises=(BadSignature, NotFound),
    produces="text/plain",
)
async def payment_webhook(request: Request) -> web.Response:
    """For the payment provider: signed, any order, any number of times."""
    http = request.http.clone(client_max_size=_LARGEST_EVENT)
    await request.services.payments.told(await http.read(), http.headers, http.query)
    return web.Response(text="ok")


@route("GET", "/api/payments/history")
async def payment_history(request: Request, query: PageQuery) -> OrderPage:
    """A student's orders, an instructor's sales."""
    found = await request.services.payments.history(request.user, before=query.cursor, limit=query.limit + 1)
    items = [_order(one) for one in found[: query.limit]]
    return OrderPage(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


@route("GET", "/api/admin/revenue", roles=_ADMIN, produces="text/csv")
async def read_revenue(request: Request, query: RevenueQuery) -> RevenueOut | web.Response:
    today = request.services.payments.today(query.timezone)
    end = query.end or today
    start = query.start or end - timedelta(days=29)
    if not timedelta() <= end - start <= _LONGEST_PERIOD:
        raise Invalid(("query.from", "bad_period"))
    rows = await request.services.payments.revenue(
        start=start,
        end=end,
        timezone=query.timezone,
        course_id=query.course_id,
        currency=query.currency,
    )
    if query.format == "csv":
        return sheet(
            f"revenue-{start}-{end}",
            ("day", "courseId", "courseTitle", "currency", "gross", "refunded", "net"),
            (
                (one.day, one.course_id, one.course_title, one.currency, one.gross, one.refunded, one.net)
                for one in rows
            ),
        )
    totals: dict[str, tuple[int, int]] = {}
    for row in rows:
        gross, refunded = totals.get(row.currency, (0, 0))
        totals[row.currency] = (gross + row.gross, refunded + row.refunded)
    return RevenueOut(
        timezone=query.timezone,
        start=start,
        end=end,
        totals=[
            CurrencyTotal(currency=currency, gross=gross, refunded=refunded, net=gross - refunded)
            for currency, (gross, refunded) in sorted(totals.items())
        ],
        rows=[RevenueRowOut.model_validate(row) for row in rows],
    )


@route("GET", "/api/admin/orders", roles=_ADMIN)
async def list_orders(request: Request, query: OrdersQuery) -> StudentOrderPage:
    """Every order, newest first; those that are `held` wait for somebody to look at them."""
    found = await request.services.payments.all_orders(
        status=query.status, before=query.cursor, limit=query.limit + 1
    )
    items = [_student_order(one) for one in found[: query.limit]]
    return StudentOrderPage(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


@route("POST", "/api/admin/orders/{order}/accept", roles=_ADMIN, raises=(WrongState,))
async def accept_order(request: Request, order: OrderId) -> StudentOrderOut:
    """Let what was paid count for a held order; the student is in."""
    return _student_order(await request.services.payments.accept(request.user, order))


async def see_own_course(request: Request, course: CourseId) -> None:
    await request.services.coupons.of_course(request.user, course, before=None, limit=1)


@route(
    "POST",
    "/api/instructor/courses/{course}/coupons",
    status=201,
    roles=_INSTRUCTOR,
    guard=see_own_course,
    raises=(NotOwner, CouponTaken),
)
async def make_coupon(request: Request, course: CourseId, body: CouponIn) -> CouponOut:
    made = await request.services.coupons.make(request.user, course, **body.model_dump())
    return CouponOut.model_validate(made)


@route("GET", "/api/instructor/courses/{course}/coupons", roles=_INSTRUCTOR, raises=(NotOwner,))
async def list_coupons(request: Request, course: CourseId, query: PageQuery) -> CouponPage:
    found = await request.services.coupons.of_course(
        request.user, course, before=query.cursor, limit=query.limit + 1
    )
    items, last = cut(found, query.limit)
    return CouponPage(
        items=[CouponOut.model_validate(one) for one in items], next_cursor=last.id if last else None
    )


@route(
    "DELETE",
    "/api/instructor/courses/{course}/coupons/{coupon}",
    status=204,
    roles=_INSTRUCTOR,
    raises=(NotOwner,),
)
async def end_coupon(request: Request, course: CourseId, coupon: CouponId) -> None:
    await request.services.coupons.end(request.user, course, coupon)


def _idempotency_key(request: Request) -> str | None:
    key = request.http.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= 255 and key.isprintable() and key.isascii()):
        raise Invalid(("header.Idempotency-Key", "not_a_key"))
    return key


def _order(order: Order) -> OrderOut:
    return OrderOut(
        id=order.id,
        course_id=order.course_id,
        course_title=order.course_title,
        amount=order.amount,
        currency=order.currency,
        status=order.status,
        checkout_url=order.checkout_url if order.status is OrderStatus.CREATED else None,
        created_at=order.created_at,
        paid_at=order.paid_at,
    )


def _student_order(order: Order) -> StudentOrderOut:
    return StudentOrderOut(
        **_order(order).model_dump(),
        student_id=order.student_id,
        payment_ref=order.payment_ref,
        coupon=order.coupon,
    )


ROUTES = [
    list_orders,
    accept_order,
    check_out,
    payment_webhook,
    payment_history,
    read_revenue,
    make_coupon,
    list_coupons,
    end_coupon,
]
