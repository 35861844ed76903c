-- For MySQL and MariaDB; the default text of this version is in the folder above.
ALTER TABLE orders ADD FULLTEXT INDEX orders_note_words (note);
