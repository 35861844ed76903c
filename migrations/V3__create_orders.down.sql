-- How to take V3 back: the lines first, for they refer to the orders.
DROP TABLE order_lines;
DROP TABLE orders;
