//! The rules of SQLite, some of them checked against SQLite itself.

use rusqlite::Connection;

use super::split;
use super::tests::{SQLITE, check, check_whole, texts};

#[test]
fn every_quote_of_sqlite_hides_semicolons() {
    check(
        SQLITE,
        &[
            ("SELECT [;] , \"x;\" , `;` , ';'; SELECT 2", &["SELECT [;] , \"x;\" , `;` , ';'", "SELECT 2"]),
            (r"SELECT '\'; SELECT `\`; SELECT [a'b]", &[r"SELECT '\'", r"SELECT `\`", "SELECT [a'b]"]),
            ("SELECT x';' , :end, @begin, $a, ?1; SELECT 2", &["SELECT x';' , :end, @begin, $a, ?1", "SELECT 2"]),
            ("SELECT $$; SELECT $a$", &["SELECT $$", "SELECT $a$"]),
        ],
    );
}

#[test]
fn the_end_of_the_text_may_close_a_comment() {
    check(
        SQLITE,
        &[
            ("SELECT 1; /* it's ;", &["SELECT 1"]),
            ("SELECT 1 /* /* ; */; SELECT 2 --;", &["SELECT 1", "SELECT 2"]),
            ("SELECT 5--1;\n; SELECT 2", &["SELECT 5", "SELECT 2"]),
        ],
    );
}

#[test]
fn a_trigger_ends_at_its_own_end() {
    check_whole(
        SQLITE,
        &[
            "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; UPDATE x SET a = 2; END",
            "create temp trigger if not exists t before update of a on main.x for each row begin select 1; end",
            "CREATE TEMPORARY TRIGGER t INSTEAD OF DELETE ON x WHEN OLD.a > 1 BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; END",
            "CREATE TRIGGER begin AFTER INSERT ON begin WHEN NEW.end BEGIN SELECT NEW.end FROM x; END",
            "CREATE TRIGGER t AFTER INSERT ON x BEGIN -- END;\n SELECT 'END;' /* END; */; SELECT 1 end; END",
            "EXPLAIN CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END",
        ],
    );
    check(
        SQLITE,
        &[
            ("BEGIN; SELECT 1; END; SELECT 2", &["BEGIN", "SELECT 1", "END", "SELECT 2"]),
            (
                "DROP TRIGGER t; CREATE TABLE trigger_ (a); SELECT 1",
                &["DROP TRIGGER t", "CREATE TABLE trigger_ (a)", "SELECT 1"],
            ),
        ],
    );
    let open = "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1;";
    assert_eq!(
        split(open, SQLITE).map_err(|error| (error.offset, error.message)),
        Err((35, "BEGIN without END".into()))
    );
}

#[test]
fn sqlite_itself_takes_each_statement_for_exactly_one() -> rusqlite::Result<()> {
    let text = r#"
        -- orders; and their log
        CREATE TABLE "or;ders" (id INTEGER PRIMARY KEY, [be;gin] TEXT DEFAULT ';', `end` INT /* ; */ );
        CREATE TABLE log (line TEXT); -- it's
        CREATE TEMP TRIGGER trigger_ AFTER UPDATE OF "end" ON "or;ders" WHEN NEW."end" IS NOT NULL BEGIN
            INSERT INTO log SELECT CASE WHEN NEW."end" > 1 THEN 'a;''b' ELSE CASE 1 WHEN 1 THEN 'c' END END;
            DELETE FROM log WHERE line = 'END;';
        END;
        ;;
        CREATE VIEW v AS SELECT "end" FROM "or;ders";
        INSERT INTO "or;ders" VALUES (1, 'x', 1), (2, 'it''s;', 2);
        UPDATE "or;ders" SET "end" = 3 /* the end;
    "#;
    let whole = Connection::open_in_memory()?;
    whole.execute_batch(text)?;
    let apart = Connection::open_in_memory()?;
    for statement in texts(text, SQLITE) {
        // Preparing refuses a second statement behind the first.
        apart.prepare(statement)?.execute([])?;
    }
    let dump = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        let sql =
            "SELECT name || coalesce(sql, '') FROM sqlite_schema UNION ALL SELECT name || sql FROM sqlite_temp_schema
                   UNION ALL SELECT line FROM log";
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    assert_eq!(dump(&whole)?, dump(&apart)?);
    assert_eq!(dump(&whole)?.len(), 6);
    Ok(())
}
