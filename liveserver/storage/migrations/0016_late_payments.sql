-- A coupon's use is given back when nobody can pay the order any more, not when it is given up; what was told of a
-- payment before the payment itself waits for it; and one payment pays one order.
ALTER TABLE orders ADD COLUMN coupon_returned boolean NOT NULL DEFAULT false;
UPDATE orders SET coupon_returned = true WHERE status = 'failed' AND coupon_id IS NOT NULL;
CREATE INDEX orders_unpaid ON orders (created_at)
    WHERE status = 'created' OR (status = 'failed' AND coupon_id IS NOT NULL AND NOT coupon_returned);
CREATE UNIQUE INDEX orders_payment ON orders (provider, payment_ref) WHERE payment_ref IS NOT NULL;

ALTER TABLE payment_events
    ADD COLUMN payment_ref text, ADD COLUMN amount bigint NOT NULL DEFAULT 0, ADD COLUMN currency text NOT NULL DEFAULT '';
CREATE INDEX payment_events_early ON payment_events (provider, payment_ref) WHERE order_id IS NULL;
