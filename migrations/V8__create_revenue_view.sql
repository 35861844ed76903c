CREATE VIEW customer_revenue AS
SELECT customers.id                         AS customer_id,
       customers.full_name                  AS full_name,
       COUNT(orders.id)                     AS orders,
       COALESCE(SUM(orders.total_cents), 0) AS revenue_cents
FROM customers
LEFT JOIN orders ON orders.customer_id = customers.id AND orders.status <> 'cancelled'
GROUP BY customers.id, customers.full_name;
