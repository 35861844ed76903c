-- For PostgreSQL; the default text of this version is in the folder above.
ALTER TABLE orders
    ADD COLUMN note_words tsvector GENERATED ALWAYS AS (to_tsvector('simple', COALESCE(note, ''))) STORED;

CREATE INDEX orders_note_words ON orders USING gin (note_words);
