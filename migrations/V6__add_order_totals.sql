-- A total for each order, and a change of data: the orders that are there get theirs.
ALTER TABLE orders ADD COLUMN total_cents bigint NOT NULL DEFAULT 0;

UPDATE orders
SET total_cents = (
    SELECT COALESCE(SUM(order_lines.quantity * order_lines.price_cents), 0)
    FROM order_lines
    WHERE order_lines.order_id = orders.id
);
