-- mtmigrate: lock-timeout 5s
-- Every screen asks for the newest orders of a status. Building an index may wait for a lock, and whoever comes later
-- waits behind it: after five seconds this gives up instead.
CREATE INDEX orders_status_placed_at ON orders (status, placed_at);
