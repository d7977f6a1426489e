"""Paymob's hosted card page (Egypt, the Gulf), by its API and its HMAC."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp

from liveserver.errors import BadSignature, ProviderDown
from liveserver.models.payments import Checkout, EventKind, Order, PaymentEvent

# What Paymob signs of a transaction, in its order.
_SIGNED = (
    "amount_cents",
    "created_at",
    "currency",
    "error_occured",
    "has_parent_transaction",
    "id",
    "integration_id",
    "is_3d_secure",
    "is_auth",
    "is_capture",
    "is_refunded",
    "is_standalone_payment",
    "is_voided",
    "order.id",
    "owner",
    "pending",
    "source_data.pan",
    "source_data.sub_type",
    "source_data.type",
    "success",
)
_NUMBERS = ("amount_cents", "id", "integration_id", "order.id", "owner")
_FLAGS = (
    *("error_occured", "has_parent_transaction", "is_3d_secure", "is_auth", "is_capture", "is_refunded"),
    *("is_standalone_payment", "is_voided", "pending", "success"),
)
_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Paymob:
    """One integration at Paymob; `api_base` is another address of its API, for tests."""

    name = "paymob"

    def __init__(
        self, api_key: str, hmac_secret: str, *, integration: int, frame: int, api_base: str = ""
    ) -> None:
        self._api_key = api_key
        self._secret = hmac_secret.encode()
        self._integration = integration
        self._frame = frame
        self._base = (api_base or "https://accept.paymob.com").rstrip("/")

    async def begin(self, order: Order, *, email: str, back: str) -> Checkout:  # noqa: ARG002 - set in Paymob's dashboard
        """Register the order and return the address of its card page. Raises ProviderDown."""
        try:
            async with aiohttp.ClientSession(timeout=_TIMEOUT) as client:
                token = (await self._post(client, "auth/tokens", {"api_key": self._api_key}))["token"]
                asked = {
                    "auth_token": token,
                    "amount_cents": order.amount,
                    "currency": order.currency,
                    "merchant_order_id": str(order.id),
                    "items": [],
                }
                registered = await self._post(client, "ecommerce/orders", asked)
                nobody = dict.fromkeys(
                    ("first_name", "last_name", "phone_number", "street", "building", "floor"), "NA"
                )
                nobody |= dict.fromkeys(("apartment", "city", "country", "state", "postal_code"), "NA")
                asked |= {
                    "order_id": registered["id"],
                    "integration_id": self._integration,
                    "expiration": 3600,
                    "billing_data": {**nobody, "email": email},
                }
                key = (await self._post(client, "acceptance/payment_keys", asked))["token"]
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError, TypeError) as error:
            raise ProviderDown from error
        page = f"{self._base}/api/acceptance/iframes/{self._frame}?payment_token={key}"
        return Checkout(ref=str(registered["id"]), url=page)

    async def _post(self, client: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> Any:
        async with client.post(f"{self._base}/api/{path}", json=body) as answer:
            if answer.status >= 400:
                raise ProviderDown
            return await answer.json()

    def read(self, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]) -> PaymentEvent:  # noqa: ARG002 - Paymob signs in the query
        """Check the HMAC over the transaction's fields, then read it. Raises BadSignature."""
        try:
            transaction = json.loads(body)["obj"]
            signed = {name: _value(transaction, name) for name in _SIGNED}
        except (ValueError, KeyError, TypeError) as error:
            raise BadSignature from error
        expected = hmac.new(self._secret, "".join(map(_text, signed.values())).encode(), hashlib.sha512)
        if not hmac.compare_digest(expected.hexdigest().encode(), query.get("hmac", "").encode()):
            raise BadSignature
        if signed["integration_id"] != self._integration or not _is_as_signed(signed):
            raise BadSignature
        # Only what is signed decides; the rest may have been changed by who passed it on.
        kind, amount = EventKind.OTHER, 0
        if signed["is_refunded"] or signed["is_voided"]:
            kind, amount = EventKind.REFUNDED, _returned(transaction, signed["amount_cents"])
        elif signed["success"] and not signed["pending"] and _is_charge(signed):
            kind, amount = EventKind.PAID, signed["amount_cents"]
        return PaymentEvent(
            id=f"{signed['id']}:{kind}:{amount}",
            kind=kind,
            checkout_ref=str(signed["order.id"]),
            payment_ref=str(signed["id"]),
            amount=amount,
            currency=signed["currency"],
        )


def _value(transaction: Any, name: str) -> Any:
    for part in name.split("."):
        transaction = transaction[part]
    return transaction


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_as_signed(signed: Mapping[str, Any]) -> bool:
    """Say whether each value has its own form.

    Paymob signs the values in a row with nothing between them: who has seen one signature could move a
    digit from one value to its neighbour, were their forms not held to.
    """
    return (
        all(type(signed[name]) is int and signed[name] >= 0 for name in _NUMBERS)
        and all(type(signed[name]) is bool for name in _FLAGS)
        and all(isinstance(value, str) for value in (signed["currency"], signed["created_at"]))
        and re.fullmatch("[A-Z]{3}", signed["currency"]) is not None
        and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:\d\d)?", signed["created_at"])
        is not None
    )


def _is_charge(signed: Mapping[str, Any]) -> bool:
    """Say whether money was taken: not only set aside, and not the way back of another payment."""
    return bool(signed["is_capture"]) or not (signed["is_auth"] or signed["has_parent_transaction"])


def _returned(transaction: Any, whole: int) -> int:
    """Return how much went back: never more than was paid, and all of it when that is not said."""
    part = transaction.get("refunded_amount_cents")
    return part if type(part) is int and 0 < part < whole else whole
