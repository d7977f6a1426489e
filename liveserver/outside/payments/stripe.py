"""Stripe Checkout, by Stripe's own library."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import stripe

from liveserver.errors import BadSignature, ProviderDown
from liveserver.models.ids import OrderId
from liveserver.models.payments import PAYABLE_FOR, Checkout, EventKind, Order, PaymentEvent

_TOLERANCE = 300  # seconds a signature is good for
_KINDS = {
    "checkout.session.completed": EventKind.PAID,
    "checkout.session.async_payment_succeeded": EventKind.PAID,
    "charge.refunded": EventKind.REFUNDED,
    "charge.dispute.created": EventKind.DISPUTED,
}


class Stripe:
    """One account at Stripe; `api_base` is another address of its API, for tests."""

    name = "stripe"

    def __init__(self, secret_key: str, webhook_secret: str, api_base: str = "") -> None:
        self._webhook_secret = webhook_secret
        addresses: dict[str, Any] = {"base_addresses": {"api": api_base}} if api_base else {}
        self._client = stripe.StripeClient(
            secret_key, http_client=stripe.AIOHTTPClient(timeout=10), max_network_retries=1, **addresses
        )

    async def begin(self, order: Order, *, email: str, back: str) -> Checkout:
        """Open a checkout; the order's id makes it one however often it is asked for."""
        metadata = {"order": str(order.id)}
        try:
            session = await self._client.v1.checkout.sessions.create_async(
                {
                    "mode": "payment",
                    "expires_at": int((order.created_at + PAYABLE_FOR).timestamp()),
                    "client_reference_id": str(order.id),
                    "customer_email": email,
                    "success_url": f"{back}?paid=1",
                    "cancel_url": back,
                    "metadata": metadata,
                    "payment_intent_data": {"metadata": metadata},
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": order.currency.lower(),
                                "unit_amount": order.amount,
                                "product_data": {"name": order.course_title},
                            },
                        }
                    ],
                },
                {"idempotency_key": str(order.id)},
            )
        except stripe.StripeError as error:
            raise ProviderDown from error
        if not session.url:
            raise ProviderDown
        return Checkout(ref=session.id, url=session.url)

    def read(self, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]) -> PaymentEvent:  # noqa: ARG002 - Stripe signs in a header
        """Check the signature over the raw body, then read the event. Raises BadSignature."""
        try:
            event: Any = stripe.Webhook.construct_event(
                body.decode(), headers.get("Stripe-Signature", ""), self._webhook_secret, tolerance=_TOLERANCE
            )
        except (stripe.SignatureVerificationError, ValueError, KeyError) as error:
            raise BadSignature from error
        thing = event["data"]["object"]
        kind = _KINDS.get(event["type"], EventKind.OTHER)
        if event["type"] == "checkout.session.completed" and _get(thing, "payment_status") != "paid":
            kind = EventKind.OTHER
        amount = _get(thing, "amount_refunded") if kind is EventKind.REFUNDED else _get(thing, "amount_total")
        return PaymentEvent(
            id=event["id"],
            kind=kind,
            order_id=_order_of(_get(_get(thing, "metadata") or {}, "order")),
            payment_ref=_get(thing, "payment_intent"),
            amount=int(amount or _get(thing, "amount") or 0),
            currency=str(_get(thing, "currency") or "").upper(),
        )


def _get(thing: Any, name: str) -> Any:
    return thing[name] if name in thing else None  # noqa: SIM401 - Stripe's objects have no `get`


def _order_of(value: Any) -> OrderId | None:
    try:
        return OrderId(UUID(str(value)))
    except ValueError:
        return None
