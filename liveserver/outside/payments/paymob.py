"""Paymob's hosted card page (Egypt, the Gulf), by its API and its HMAC."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import aiohttp

from liveserver.errors import BadSignature, ProviderDown
from liveserver.models.ids import OrderId
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
            told = json.loads(body)
            transaction = told["obj"]
            text = "".join(_text(transaction, name) for name in _SIGNED)
        except (ValueError, KeyError, TypeError) as error:
            raise BadSignature from error
        expected = hmac.new(self._secret, text.encode(), hashlib.sha512).hexdigest()
        if not hmac.compare_digest(expected, query.get("hmac", "")):
            raise BadSignature
        refunded = int(transaction.get("refunded_amount_cents") or 0)
        if transaction["is_refunded"] or refunded or transaction["is_voided"]:
            kind, amount = EventKind.REFUNDED, refunded or int(transaction["amount_cents"])
        elif transaction["success"] and not transaction["pending"]:
            kind, amount = EventKind.PAID, int(transaction["amount_cents"])
        else:
            kind, amount = EventKind.OTHER, 0
        return PaymentEvent(
            id=f"{transaction['id']}:{kind}:{amount}",
            kind=kind,
            order_id=_order_of(transaction["order"].get("merchant_order_id")),
            payment_ref=str(transaction["id"]),
            amount=amount,
            currency=str(transaction["currency"]),
        )


def _text(transaction: Any, name: str) -> str:
    value = transaction
    for part in name.split("."):
        value = value[part]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _order_of(value: Any) -> OrderId | None:
    try:
        return OrderId(UUID(str(value)))
    except ValueError:
        return None
