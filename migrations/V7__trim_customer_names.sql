-- The old sign-up form kept the blanks around a name.
UPDATE customers SET full_name = TRIM(full_name);
