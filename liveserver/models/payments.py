"""Orders, coupons, and what payment providers tell."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from liveserver.models.ids import CouponId, CourseId, OrderId, UserId

PAYABLE_FOR = timedelta(hours=1)  # from when on the provider lets nobody pay
SURELY_UNPAID = timedelta(minutes=70)  # its last payments were told by then
_TO_PAY = timedelta(minutes=10)  # who is sent there has at least so long
_OPENED_WITHIN = timedelta(minutes=12)


class OrderStatus(StrEnum):
    CREATED = "created"
    PAID = "paid"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    HELD = "held"  # what was paid is not what was asked: somebody must look at it
    FAILED = "failed"


class EventKind(StrEnum):
    PAID = "paid"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`amount` is in minor units and does not follow later prices."""

    id: OrderId
    student_id: UserId
    course_id: CourseId
    course_title: str
    amount: int
    currency: str
    status: OrderStatus
    provider: str
    payment_ref: str | None
    checkout_url: str | None
    created_at: datetime
    paid_at: datetime | None
    coupon: str | None  # its code

    def is_dead(self, now: datetime) -> bool:
        """Say whether nobody can pay it any more: its checkout is over, or it was never opened."""
        life = PAYABLE_FOR if self.checkout_url is not None else _OPENED_WITHIN
        return self.status is OrderStatus.CREATED and now - self.created_at > life - _TO_PAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """Takes `percent` off a course's price."""

    id: CouponId
    course_id: CourseId
    code: str
    percent: int
    max_uses: int | None
    uses: int
    expires_at: datetime | None
    ended_at: datetime | None

    def counts(self, now: datetime) -> bool:
        used_up = self.max_uses is not None and self.uses >= self.max_uses
        expired = self.expires_at is not None and now >= self.expires_at
        return not (used_up or expired or self.ended_at is not None)

    def of(self, price: int) -> int:
        """Return what is left to pay, rounded down to a minor unit."""
        return price * (100 - self.percent) // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """Where the student pays, and the provider's name for it."""

    ref: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent:
    """What a provider told, its signature checked. A refund's `amount` is all that was returned so far.

    The order is named by our id, by the provider's name of the checkout, or by its name of the payment.
    """

    id: str
    kind: EventKind
    order_id: OrderId | None = None
    checkout_ref: str | None = None
    payment_ref: str | None = None
    amount: int = 0
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueRow:
    """One day, course and currency; currencies are never added up."""

    day: date
    course_id: CourseId
    course_title: str
    currency: str
    gross: int
    refunded: int

    @property
    def net(self) -> int:
        return self.gross - self.refunded
