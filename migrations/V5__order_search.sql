-- Finding orders by their note. Each engine searches text in its own way, so postgres/ and mysql/ hold a text of this
-- version under the same file name; an engine without one, here SQLite, gets this default.
CREATE INDEX orders_note ON orders (note);
