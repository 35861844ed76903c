-- What is sold. Prices are in cents, so that no engine rounds them.
CREATE TABLE products (
    id           bigint       NOT NULL PRIMARY KEY,
    sku          varchar(40)  NOT NULL UNIQUE,
    title        varchar(200) NOT NULL,
    price_cents  bigint       NOT NULL CHECK (price_cents >= 0)
);
