CREATE TABLE orders (
    id           bigint      NOT NULL PRIMARY KEY,
    customer_id  bigint      NOT NULL,
    status       varchar(20) NOT NULL DEFAULT 'open',
    note         varchar(500),
    placed_at    timestamp   NOT NULL DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (customer_id) REFERENCES customers (id)
);

CREATE TABLE order_lines (
    order_id     bigint  NOT NULL,
    line_no      integer NOT NULL,
    product_id   bigint  NOT NULL,
    quantity     integer NOT NULL CHECK (quantity > 0),
    price_cents  bigint  NOT NULL,
    PRIMARY KEY (order_id, line_no),
    FOREIGN KEY (order_id) REFERENCES orders (id),
    FOREIGN KEY (product_id) REFERENCES products (id)
);
