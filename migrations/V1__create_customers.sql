-- Who orders. One text for all engines: plain types, and keys that the application gives out.
CREATE TABLE customers (
    id          bigint       NOT NULL PRIMARY KEY,
    email       varchar(190) NOT NULL UNIQUE,
    full_name   varchar(200) NOT NULL,
    created_at  timestamp    NOT NULL DEFAULT CURRENT_TIMESTAMP
);
