"""Buying at a provider that tells things late, twice and in any order: one enrolment, an exact ledger."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiohttp import web

from liveserver.errors import BadSignature
from liveserver.models.payments import EventKind, PaymentEvent
from liveserver.outside.payments.paymob import _SIGNED, Paymob
from tests.builders import Answer, Person, School
from tests.product import Product, free_ports

SECRET = "whsec_test"
PRICE = 5000


class FakeStripe:
    """What we use of Stripe's API; `down` makes it fail."""

    def __init__(self) -> None:
        self.port = free_ports(1)
        self.asked: list[dict[str, str]] = []
        self.keys: dict[str, dict[str, Any]] = {}
        self.down = False
        self.slow = 0.0

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/checkout/sessions", self._session)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner

    async def _session(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow)
        if self.down:
            return web.json_response({"error": {"type": "api_error", "message": "down"}}, status=503)
        form = {key: str(value) for key, value in (await request.post()).items()}
        key = request.headers["Idempotency-Key"]
        if key not in self.keys:
            self.asked.append(form)
            ref = f"cs_{len(self.asked)}_{key[-6:]}"
            self.keys[key] = {"id": ref, "object": "checkout.session", "url": f"https://pay.test/{ref}"}
        return web.json_response(self.keys[key])


@pytest.fixture(scope="module")
async def stripe() -> AsyncIterator[FakeStripe]:
    fake = FakeStripe()
    runner = await fake.serve()
    yield fake
    await runner.cleanup()


@pytest.fixture(scope="module")
def shop_product(stripe: FakeStripe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    settings = {
        "LIVE_PAYMENTS__PROVIDER": "stripe",
        "LIVE_PAYMENTS__STRIPE_SECRET_KEY": "sk_test_x",
        "LIVE_PAYMENTS__STRIPE_WEBHOOK_SECRET": SECRET,
        "LIVE_PAYMENTS__API_BASE": f"http://127.0.0.1:{stripe.port}",
    }
    state = tmp_path_factory.mktemp("shop") / "state"
    with Product(state, processes=2, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
async def shop(shop_product: Product) -> AsyncIterator[School]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        school = await School.open(shop_product, client)
        yield school
        await school.close()


async def _buy(school: School, who: Person, course: str, key: str | None = None, **body: Any) -> Answer:
    headers = {"Idempotency-Key": key} if key else {}
    return await school.call(
        "POST", "/api/payments/checkout", who, json={"courseId": course, **body}, headers=headers
    )


async def _tell(school: School, kind: str, thing: dict[str, Any], **other: Any) -> Answer:
    """Send an event as Stripe does; `id`, `at`, `secret` and `process` may be given."""
    event = {
        "id": other.get("id", f"evt_{time.monotonic_ns()}"),
        "object": "event",
        "type": kind,
        "data": {"object": thing},
    }
    body = json.dumps(event)
    at = int(time.time()) + other.get("at", 0)
    signature = hmac.new(
        str(other.get("secret", SECRET)).encode(), f"{at}.{body}".encode(), hashlib.sha256
    ).hexdigest()
    return await school.call(
        "POST",
        "/api/payments/webhook",
        data=body + str(other.get("tail", "")),
        headers={"Stripe-Signature": f"t={at},v1={signature}"},
        process=other.get("process", 0),
    )


def _paid(order: Any, amount: int = PRICE, currency: str = "usd") -> dict[str, Any]:
    return {
        "id": "cs_x",
        "object": "checkout.session",
        "payment_status": "paid",
        "amount_total": amount,
        "currency": currency,
        "payment_intent": f"pi_{order['id']}",
        "metadata": {"order": order["id"]},
    }


def _refunded(order: Any, amount: int = PRICE) -> dict[str, Any]:
    return {
        "id": f"ch_{order['id']}",
        "object": "charge",
        "amount": PRICE,
        "amount_refunded": amount,
        "currency": "usd",
        "payment_intent": f"pi_{order['id']}",
        "metadata": {"order": order["id"]},
    }


async def _ware(school: School) -> tuple[Person, Person, str]:
    owner, student = await school.register("instructor"), await school.register()
    return owner, student, await school.course(owner, price=PRICE)


async def _is_in(school: School, who: Person, course: str) -> bool:
    return bool((await school.call("GET", f"/api/courses/{course}", who)).body["enrolled"])


async def test_a_course_is_bought_once_however_often_the_provider_says_so(
    shop: School, stripe: FakeStripe
) -> None:
    _, student, course = await _ware(shop)
    assert (await shop.call("POST", f"/api/courses/{course}/enroll", student)).status == 402
    bought = await _buy(shop, student, course)
    assert bought.status == 201, bought
    order = bought.body
    assert order["checkoutUrl"].startswith("https://pay.test/")
    assert stripe.asked[-1]["line_items[0][price_data][unit_amount]"] == str(PRICE)
    assert (await _buy(shop, student, course)).body["id"] == order["id"], "an open order is the same order"
    assert not await _is_in(shop, student, course)
    told = await asyncio.gather(
        *(
            _tell(shop, "checkout.session.completed", _paid(order), id=f"evt_{order['id']}", process=n % 2)
            for n in range(50)
        )
    )
    assert {one.status for one in told} == {200}
    assert await _is_in(shop, student, course)
    ledger = await shop.database.fetch(
        "SELECT kind, amount FROM ledger_entries WHERE order_id = $1", order["id"]
    )
    assert [tuple(row) for row in ledger] == [("charge", PRICE)]
    kinds = [one["kind"] for one in (await shop.call("GET", "/api/notifications", student)).body["items"]]
    assert sorted(kinds) == ["enrolled", "payment_received"]
    again = await _buy(shop, student, course)
    assert (again.status, again.code) == (409, "already_owned")
    history = (await shop.call("GET", "/api/payments/history", student)).body["items"]
    assert [(one["status"], one["amount"]) for one in history] == [("paid", PRICE)]


async def test_an_idempotency_key_is_one_order(shop: School) -> None:
    owner, student, course = await _ware(shop)
    answers = await asyncio.gather(*(_buy(shop, student, course, "key-1") for _ in range(10)))
    assert {one.status for one in answers} <= {200, 201, 409}
    assert {one.code for one in answers if one.status == 409} <= {"in_flight"}
    later = await _buy(shop, student, course, "key-1")
    assert {one.body["id"] for one in answers if one.status != 409} == {later.body["id"]}
    other = await shop.course(owner, price=PRICE)
    reused = await _buy(shop, student, other, "key-1")
    assert (reused.status, reused.code) == (422, "idempotency_key_reused")
    changed = await _buy(shop, student, course, "key-1", coupon="TEN")
    assert (changed.status, changed.code) == (422, "idempotency_key_reused")


async def test_an_order_nobody_paid_in_time_gives_way_to_a_new_one(shop: School, stripe: FakeStripe) -> None:
    _, student, course = await _ware(shop)
    first = (await _buy(shop, student, course, "late-1")).body
    life = int(stripe.asked[-1]["expires_at"]) - time.time()
    assert 3500 < life <= 3600
    await shop.database.execute(
        "UPDATE orders SET created_at = created_at - interval '51 minutes' WHERE id = $1", first["id"]
    )
    late = await _buy(shop, student, course, "late-1")
    assert (late.status, late.code) == (409, "checkout_expired")
    second = await _buy(shop, student, course, "late-2")
    assert (second.status, second.body["id"] != first["id"]) == (201, True)
    # Who paid the first in its last minutes is in, and is not charged twice without anybody noticing.
    await _tell(shop, "checkout.session.completed", _paid(first))
    assert await _is_in(shop, student, course)


async def test_an_order_whose_checkout_was_never_opened_does_not_block_for_ever(shop: School) -> None:
    _, student, course = await _ware(shop)
    first = (await _buy(shop, student, course)).body
    await shop.database.execute("UPDATE orders SET checkout_url = NULL WHERE id = $1", first["id"])
    assert (await _buy(shop, student, course)).code == "in_flight"
    await shop.database.execute(
        "UPDATE orders SET created_at = created_at - interval '3 minutes' WHERE id = $1", first["id"]
    )
    assert (await _buy(shop, student, course)).status == 201


async def test_a_provider_that_is_down_leaves_nothing_behind(shop: School, stripe: FakeStripe) -> None:
    _, student, course = await _ware(shop)
    stripe.down = True
    try:
        answer = await _buy(shop, student, course)
    finally:
        stripe.down = False
    assert (answer.status, answer.code) == (502, "payment_provider_down")
    assert not await _is_in(shop, student, course)
    assert (await _buy(shop, student, course)).status == 201


async def test_a_refund_closes_the_course_and_it_can_be_bought_again(shop: School) -> None:
    owner, student, course = await _ware(shop)
    order = (await _buy(shop, student, course)).body
    await _tell(shop, "checkout.session.completed", _paid(order))
    session = await shop.session(owner, course)
    socket = await shop.enter(student, session)
    await _tell(shop, "charge.refunded", _refunded(order, 1000))
    assert await _is_in(shop, student, course), "a part of it back changes nothing"
    await _tell(shop, "charge.refunded", _refunded(order))
    assert not await _is_in(shop, student, course)
    for _ in range(40):
        if not socket.client.connected:
            break
        await asyncio.sleep(0.05)
    assert not socket.client.connected, "out of the class, too"
    second = (await _buy(shop, student, course)).body
    assert second["id"] != order["id"]
    await _tell(shop, "checkout.session.completed", _paid(second))
    assert await _is_in(shop, student, course)
    sums = await shop.database.fetch(
        "SELECT kind, sum(amount)::integer FROM ledger_entries WHERE order_id = $1 GROUP BY 1 ORDER BY 1",
        order["id"],
    )
    assert [tuple(row) for row in sums] == [("charge", PRICE), ("refund", PRICE)]


async def test_what_was_paid_twice_is_kept_when_one_goes_back(shop: School) -> None:
    _, student, course = await _ware(shop)
    first = (await _buy(shop, student, course)).body
    await shop.database.execute(
        "UPDATE orders SET created_at = created_at - interval '51 minutes' WHERE id = $1", first["id"]
    )
    second = (await _buy(shop, student, course)).body
    await _tell(shop, "checkout.session.completed", _paid(second))
    await _tell(shop, "checkout.session.completed", _paid(first))
    for order, stays in ((first, True), (second, False)):
        await _tell(shop, "charge.refunded", _refunded(order))
        assert await _is_in(shop, student, course) is stays
    assert (await _buy(shop, student, course)).status == 201


async def test_two_refunds_at_once_close_the_course(shop: School) -> None:
    _, student, course = await _ware(shop)
    first = (await _buy(shop, student, course)).body
    await shop.database.execute(
        "UPDATE orders SET created_at = created_at - interval '51 minutes' WHERE id = $1", first["id"]
    )
    both = [first, (await _buy(shop, student, course)).body]
    for order in both:
        await _tell(shop, "checkout.session.completed", _paid(order))
    await asyncio.gather(
        *(_tell(shop, "charge.refunded", _refunded(one), process=n) for n, one in enumerate(both))
    )
    assert not await _is_in(shop, student, course)


async def test_a_dispute_that_names_only_the_payment_may_come_before_it(shop: School) -> None:
    _, student, course = await _ware(shop)
    order = (await _buy(shop, student, course)).body
    dispute = {"id": "dp_1", "object": "dispute", "amount": PRICE, "currency": "usd"}
    dispute["payment_intent"] = f"pi_{order['id']}"
    await _tell(shop, "charge.dispute.created", dispute)
    await _tell(shop, "checkout.session.completed", _paid(order))
    assert not await _is_in(shop, student, course)
    assert await shop.database.fetchval("SELECT status FROM orders WHERE id = $1", order["id"]) == "disputed"


async def test_one_payment_pays_one_order(shop: School) -> None:
    _, student, course = await _ware(shop)
    order = (await _buy(shop, student, course)).body
    await _tell(shop, "checkout.session.completed", _paid(order))
    _, other, ware = await _ware(shop)
    second = (await _buy(shop, other, ware)).body
    await _tell(
        shop,
        "checkout.session.completed",
        {**_paid(second), "payment_intent": f"pi_{order['id']}"},
    )
    assert not await _is_in(shop, other, ware)
    assert await shop.database.fetchval("SELECT status FROM orders WHERE id = $1", second["id"]) == "held"


async def test_a_refund_that_is_told_before_the_payment_wins(shop: School) -> None:
    _, student, course = await _ware(shop)
    order = (await _buy(shop, student, course)).body
    await _tell(shop, "charge.refunded", _refunded(order))
    await _tell(shop, "checkout.session.completed", _paid(order))
    assert not await _is_in(shop, student, course)
    status = await shop.database.fetchval("SELECT status FROM orders WHERE id = $1", order["id"])
    assert status == "refunded"


@pytest.mark.parametrize(("amount", "currency"), [(PRICE - 1, "usd"), (PRICE, "eur")])
async def test_what_is_not_what_was_asked_is_held(shop: School, amount: int, currency: str) -> None:
    _, student, course = await _ware(shop)
    order = (await _buy(shop, student, course)).body
    await _tell(shop, "checkout.session.completed", _paid(order, amount, currency))
    assert not await _is_in(shop, student, course)
    status = await shop.database.fetchval("SELECT status FROM orders WHERE id = $1", order["id"])
    assert status == "held"
    again = (await _buy(shop, student, course)).body
    assert (again["id"], again["status"], again.get("checkoutUrl")) == (order["id"], "held", None)
    await _tell(shop, "charge.refunded", _refunded(order, amount))
    entries = await shop.database.fetchval(
        "SELECT count(*) FROM ledger_entries WHERE order_id = $1", order["id"]
    )
    assert entries == 0, "what was never earned is not given back"
    assert (await _buy(shop, student, course)).status == 201


async def test_an_admin_finds_what_is_held_and_accepts_it(shop: School) -> None:
    _, student, course = await _ware(shop)
    order = (await _buy(shop, student, course)).body
    await _tell(shop, "checkout.session.completed", _paid(order, PRICE - 1))
    admin = await shop.login("admin@example.com")
    held = (await shop.call("GET", "/api/admin/orders?status=held", admin)).body["items"]
    found = next(one for one in held if one["id"] == order["id"])
    assert (found["studentId"], found["paymentRef"]) == (student.id, f"pi_{order['id']}")
    path = f"/api/admin/orders/{order['id']}/accept"
    for _ in range(2):
        assert (await shop.call("POST", path, admin)).body["status"] == "paid"
    assert await _is_in(shop, student, course)
    sums = await shop.database.fetch(
        "SELECT kind, amount, currency FROM ledger_entries WHERE order_id = $1", order["id"]
    )
    assert [tuple(row) for row in sums] == [("charge", PRICE - 1, "USD")]
    other = (await _buy(shop, await shop.register(), course)).body
    refused = await shop.call("POST", f"/api/admin/orders/{other['id']}/accept", admin)
    assert (refused.status, refused.code) == (409, "wrong_state")


async def test_a_payment_does_not_undo_a_removal(shop: School) -> None:
    owner, student, course = await _ware(shop)
    order = (await _buy(shop, student, course)).body
    await shop.enroll([student], course)
    path = f"/api/instructor/courses/{course}/students/{student.id}"
    assert (await shop.call("DELETE", path, owner)).status == 204
    await _tell(shop, "checkout.session.completed", _paid(order))
    assert not await _is_in(shop, student, course)
    assert await shop.database.fetchval("SELECT status FROM orders WHERE id = $1", order["id"]) == "held"
    await _tell(shop, "charge.refunded", _refunded(order))
    sums = await shop.database.fetch(
        "SELECT kind, sum(amount)::integer FROM ledger_entries WHERE order_id = $1 GROUP BY 1 ORDER BY 1",
        order["id"],
    )
    assert [tuple(row) for row in sums] == [("charge", PRICE), ("refund", PRICE)]


@pytest.mark.parametrize("wrong", [{"secret": "other"}, {"at": -301}, {"tail": " "}])
async def test_a_webhook_that_was_not_signed_just_now_writes_nothing(
    shop: School, wrong: dict[str, Any]
) -> None:
    _, student, course = await _ware(shop)
    order = (await _buy(shop, student, course)).body
    before = await shop.database.fetchval("SELECT count(*) FROM payment_events")
    refused = await _tell(shop, "checkout.session.completed", _paid(order), **wrong)
    assert (refused.status, refused.code) == (400, "bad_signature")
    assert await shop.database.fetchval("SELECT count(*) FROM payment_events") == before
    assert not await _is_in(shop, student, course)


async def test_unknown_events_and_orders_are_taken_and_change_nothing(shop: School) -> None:
    order = {"id": "0199b1c2-0000-7000-8000-000000000000"}
    assert (await _tell(shop, "invoice.created", {"id": "x", "object": "invoice"})).status == 200
    assert (await _tell(shop, "checkout.session.completed", _paid(order))).status == 200


async def test_a_coupon_takes_its_percent_off_as_often_as_it_may(shop: School, stripe: FakeStripe) -> None:
    owner, student, course = await _ware(shop)
    path = f"/api/instructor/courses/{course}/coupons"
    half = {"code": "half", "percent": 50, "maxUses": 1}
    assert (await shop.call("POST", path, owner, json=half)).body["code"] == "HALF"
    assert (await shop.call("POST", path, owner, json=half)).code == "coupon_taken"
    bought = await _buy(shop, student, course, coupon="Half")
    assert bought.body["amount"] == PRICE // 2
    assert stripe.asked[-1]["line_items[0][price_data][unit_amount]"] == str(PRICE // 2)
    others = [await shop.register() for _ in range(2)]
    late = await _buy(shop, others[0], course, coupon="HALF")
    assert (late.status, late.code) == (409, "coupon_invalid")
    await shop.call("POST", path, owner, json={"code": "GIFT", "percent": 100})
    first = (await shop.call("GET", path, owner, params={"limit": "1"})).body
    rest = (await shop.call("GET", path, owner, params={"cursor": first["nextCursor"]})).body
    assert [[one["code"] for one in page["items"]] for page in (first, rest)] == [["GIFT"], ["HALF"]]
    assert "nextCursor" not in rest
    gift = await _buy(shop, others[1], course, coupon="GIFT")
    assert (gift.status, gift.body["amount"], gift.body["status"]) == (201, 0, "paid")
    assert await _is_in(shop, others[1], course)


async def test_a_coupon_is_free_again_when_nobody_can_have_paid(shop: School) -> None:
    owner, student, course = await _ware(shop)
    path = f"/api/instructor/courses/{course}/coupons"
    made = await shop.call("POST", path, owner, json={"code": "ONCE", "percent": 50, "maxUses": 1})

    async def uses() -> int:
        found: int = await shop.database.fetchval("SELECT uses FROM coupons WHERE id = $1", made.body["id"])
        return found

    async def age(order: Any, minutes: int) -> None:
        await shop.database.execute(
            "UPDATE orders SET created_at = now() - make_interval(mins => $2) WHERE id = $1",
            order["id"],
            minutes,
        )

    first = (await _buy(shop, student, course, coupon="ONCE")).body
    await age(first, 55)
    plain = (await _buy(shop, student, course)).body
    assert plain["amount"] == PRICE, "the first is given up"
    stranger = await shop.register()
    early = await _buy(shop, stranger, course, coupon="ONCE")
    assert early.code == "coupon_invalid", "the first may still be paid in its last minutes"
    await age(first, 71)
    for _ in range(150):
        if await uses() == 0:
            break
        await asyncio.sleep(0.2)
    assert await uses() == 0
    second = (await _buy(shop, stranger, course, coupon="ONCE")).body
    assert second["amount"] == PRICE // 2
    await age(second, 55)
    again = (await _buy(shop, stranger, course, coupon="ONCE")).body
    assert again["id"] != second["id"], "who comes back with their coupon goes on with it"
    await _tell(shop, "checkout.session.completed", _paid(again, PRICE // 2))
    await _tell(shop, "checkout.session.completed", _paid(first, PRICE // 2))
    assert await _is_in(shop, student, course), "what was paid late is honoured"
    assert await uses() == 1


async def test_revenue_is_the_ledgers_sum_by_currency(shop: School) -> None:
    admin = await shop.login("admin@example.com")
    report = (await shop.call("GET", "/api/admin/revenue?timezone=Africa/Cairo", admin)).body
    rows = await shop.database.fetch(
        "SELECT currency, kind, sum(amount)::bigint AS amount FROM ledger_entries GROUP BY 1, 2"
    )
    expected: dict[str, dict[str, int]] = {}
    for row in rows:
        expected.setdefault(row["currency"], {})[row["kind"]] = row["amount"]
    assert {one["currency"] for one in report["totals"]} == set(expected)
    for total in report["totals"]:
        sums = expected[total["currency"]]
        assert total["gross"] == sums.get("charge", 0)
        assert total["refunded"] == sums.get("refund", 0)
        assert total["net"] == total["gross"] - total["refunded"]
        mine = [row for row in report["rows"] if row["currency"] == total["currency"]]
        assert sum(row["net"] for row in mine) == total["net"]
    for path in ("?timezone=Mars/Base", "?timezone=Mars/Base&from=2026-01-01&to=2026-01-02"):
        assert (await shop.call("GET", f"/api/admin/revenue{path}", admin)).status == 422


@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Etc/GMT+12"])
async def test_revenue_ends_with_today_where_it_is_asked_for(shop: School, timezone: str) -> None:
    """At any time one of the two has another day than UTC."""
    before = datetime.now(ZoneInfo(timezone)).date().isoformat()
    admin = await shop.login("admin@example.com")
    report = (await shop.call("GET", f"/api/admin/revenue?timezone={quote(timezone)}", admin)).body
    assert report["to"] in {before, datetime.now(ZoneInfo(timezone)).date().isoformat()}


# Paymob


def _transaction(**facts: Any) -> dict[str, Any]:
    return {
        "amount_cents": 5000,
        "created_at": "2026-11-25T09:00:00",
        "currency": "EGP",
        "error_occured": False,
        "has_parent_transaction": False,
        "id": 7,
        "integration_id": 3,
        "is_3d_secure": True,
        "is_auth": False,
        "is_capture": False,
        "is_refunded": False,
        "is_standalone_payment": True,
        "is_voided": False,
        "order": {"id": 9, "merchant_order_id": "0199b1c2-0000-7000-8000-000000000000"},
        "owner": 1,
        "pending": False,
        "source_data": {"pan": "2346", "sub_type": "Visa", "type": "card"},
        "success": True,
        **facts,
    }


def _signature(transaction: dict[str, Any], secret: str) -> str:
    parts = []
    for name in _SIGNED:
        value: Any = transaction
        for part in name.split("."):
            value = value[part]
        parts.append(str(value).lower() if isinstance(value, bool) else str(value))
    return hmac.new(secret.encode(), "".join(parts).encode(), hashlib.sha512).hexdigest()


def test_paymob_is_believed_by_its_hmac_only() -> None:
    provider = Paymob("key", "secret", integration=3, frame=4)
    paid = _transaction()
    body = json.dumps({"type": "TRANSACTION", "obj": paid}).encode()
    event = provider.read(body, {}, {"hmac": _signature(paid, "secret")})
    assert (event.kind, event.amount, event.currency) == (EventKind.PAID, 5000, "EGP")
    assert (event.checkout_ref, event.payment_ref, event.order_id) == ("9", "7", None)

    def read(**facts: Any) -> PaymentEvent:
        transaction = _transaction(**facts)
        told = json.dumps({"obj": transaction}).encode()
        return provider.read(told, {}, {"hmac": _signature(transaction, "secret")})

    told: list[tuple[dict[str, Any], EventKind, int]] = [
        ({"is_refunded": True, "refunded_amount_cents": 5000}, EventKind.REFUNDED, 5000),
        ({"is_refunded": True, "refunded_amount_cents": 1200}, EventKind.REFUNDED, 1200),
        ({"is_refunded": True, "refunded_amount_cents": 9999}, EventKind.REFUNDED, 5000),
        ({"is_voided": True}, EventKind.REFUNDED, 5000),
        ({"refunded_amount_cents": 5000}, EventKind.PAID, 5000),  # that is not signed
        ({"success": False}, EventKind.OTHER, 0),
        ({"pending": True}, EventKind.OTHER, 0),
        ({"is_auth": True}, EventKind.OTHER, 0),
        ({"is_auth": True, "is_capture": True}, EventKind.PAID, 5000),
        ({"has_parent_transaction": True}, EventKind.OTHER, 0),
    ]
    for facts, kind, amount in told:
        event = read(**facts)
        assert (event.kind, event.amount) == (kind, amount), facts
    forged: list[dict[str, Any]] = [
        {"integration_id": 4},
        {"amount_cents": 50002, "created_at": "026-11-25T09:00:00"},
        {"amount_cents": "5000"},
        {"amount_cents": 5000.0},
        {"amount_cents": -1},
        {"id": True},
        {"currency": "EGPfalse", "error_occured": ""},
        {"created_at": "2026-11-25T09:00:00E", "currency": "GP"},
        {"owner": None},
    ]
    for facts in forged:
        with pytest.raises(BadSignature):
            read(**facts)
    for wrong in (
        {"hmac": _signature(paid, "other")},
        {"hmac": _signature(_transaction(amount_cents=1), "secret")},
        {},
    ):
        with pytest.raises(BadSignature):
            provider.read(body, {}, wrong)
    for garbage in (b"", b"{", b"[]", b'{"obj": 1}'):
        with pytest.raises(BadSignature):
            provider.read(garbage, {}, {"hmac": "x"})


class FakePaymob:
    """What we use of Paymob's API; orders are numbered from 900 on."""

    def __init__(self) -> None:
        self.port = free_ports(1)
        self.orders: list[dict[str, Any]] = []

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/api/auth/tokens", self._token)
        app.router.add_post("/api/ecommerce/orders", self._order)
        app.router.add_post("/api/acceptance/payment_keys", self._key)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner

    async def _token(self, _request: web.Request) -> web.Response:
        return web.json_response({"token": "t"}, status=201)

    async def _order(self, request: web.Request) -> web.Response:
        self.orders.append(await request.json())
        return web.json_response({"id": 899 + len(self.orders)}, status=201)

    async def _key(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["amount_cents"] == self.orders[asked["order_id"] - 900]["amount_cents"]
        return web.json_response({"token": f"key{asked['order_id']}"}, status=201)


@pytest.fixture
async def paymob() -> AsyncIterator[FakePaymob]:
    fake = FakePaymob()
    runner = await fake.serve()
    yield fake
    await runner.cleanup()


async def test_a_course_is_bought_at_paymob_by_what_is_signed(paymob: FakePaymob, tmp_path: Path) -> None:
    settings = {
        "LIVE_PAYMENTS__PROVIDER": "paymob",
        "LIVE_PAYMENTS__PAYMOB_API_KEY": "key",
        "LIVE_PAYMENTS__PAYMOB_HMAC_SECRET": "secret",
        "LIVE_PAYMENTS__PAYMOB_INTEGRATION": "3",
        "LIVE_PAYMENTS__PAYMOB_FRAME": "4",
        "LIVE_PAYMENTS__API_BASE": f"http://127.0.0.1:{paymob.port}",
    }
    with Product(tmp_path / "state", settings=settings) as product:
        async with aiohttp.ClientSession() as client:
            school = await School.open(product, client)
            _, student, course = await _ware(school)
            _, other, ware = await _ware(school)
            order, wanted = (await _buy(school, student, course)).body, (await _buy(school, other, ware)).body
            assert order["checkoutUrl"].endswith("/api/acceptance/iframes/4?payment_token=key900")

            async def tell(**facts: Any) -> Answer:
                said = _transaction(currency=order["currency"], **facts)
                return await school.call(
                    "POST",
                    f"/api/payments/webhook?hmac={_signature(said, 'secret')}",
                    json={"type": "TRANSACTION", "obj": said},
                )

            # Whose payment is worth as much as another's order says it was for that one.
            lied = {"id": 900, "merchant_order_id": wanted["id"]}
            for _ in range(2):
                assert (await tell(order=lied)).status == 200
            assert await _is_in(school, student, course)
            assert not await _is_in(school, other, ware)
            assert (await tell(order={"id": 901}, amount_cents=1)).status == 200
            assert not await _is_in(school, other, ware), "less than was asked is held"
            assert (await tell(order={"id": 900}, is_refunded=True, id=8)).status == 200
            assert not await _is_in(school, student, course)
            await school.close()
