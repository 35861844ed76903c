//! Makes texts whose statements are known: for the properties in `tests_properties`.
//!
//! A statement is a list of tokens; separators (white space and comments of every form) are chosen apart.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Dialect, SqlMode};

pub(super) type Tokens = Vec<String>;

pub(super) fn dialects() -> impl Strategy<Value = Dialect> {
    let modes = any::<(bool, bool, bool)>().prop_map(|(ansi_quotes, no_backslash_escapes, oracle)| {
        Dialect::MySql(SqlMode { ansi_quotes, no_backslash_escapes, oracle })
    });
    prop_oneof![Just(Dialect::Postgres), Just(Dialect::Sqlite), modes.clone(), modes]
}

pub(super) fn mysql_mode(dialect: Dialect) -> Option<SqlMode> {
    match dialect {
        Dialect::MySql(mode) => Some(mode),
        Dialect::Postgres | Dialect::Sqlite => None,
    }
}

/// What strings, names and comments may hold: all that could end them, or open something else.
fn content() -> impl Strategy<Value = String> {
    let parts = [
        "a",
        "é",
        ";",
        ";;",
        "'",
        "\"",
        "`",
        "\\",
        "$$",
        "$t$",
        "--",
        "-- ",
        "#",
        "/*!",
        "\n",
        "\r\n",
        " ",
        "//",
        "END",
        "(",
        ")",
        "@",
        "DELIMITER //\n",
        "\\.",
        "BEGIN ",
    ];
    vec(select(parts.to_vec()), 0..6).prop_map(|parts| parts.concat())
}

fn quoted(content: &str, quote: char, backslashes: bool) -> String {
    let mut inside = content.replace(quote, &format!("{quote}{quote}"));
    if backslashes {
        inside = content.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
    }
    format!("{quote}{inside}{quote}")
}

/// One operand: a literal, a name, a parameter.
fn operand(dialect: Dialect) -> BoxedStrategy<String> {
    let mode = mysql_mode(dialect);
    let backslashes = mode.is_some_and(|mode| !mode.no_backslash_escapes);
    let text = content().prop_map(move |content| quoted(&content, '\'', backslashes));
    let double = content().prop_map(move |content| {
        let string = mode.is_some_and(|mode| !mode.ansi_quotes);
        quoted(&content, '"', string && backslashes)
    });
    let plain = select(vec!["a", "b1", "é_x", "12", "1.5", "0x1F", "t.end", "t . begin", "t.case", "NULL"])
        .prop_map(String::from);
    let own = match dialect {
        Dialect::Postgres => prop_oneof![
            // A comma keeps a string on the next line from going on with this one.
            content().prop_map(|content| format!("E{} ,", quoted(&content, '\'', true))),
            content().prop_map(|content| format!("$x$$${content}$y$x$")),
            Just("$1".to_owned()),
            Just("a$b$".to_owned()),
            content().prop_map(|content| format!("U&{}", quoted(&content, '"', false))),
        ]
        .boxed(),
        Dialect::MySql(_) => prop_oneof![
            content().prop_map(|content| quoted(&content, '`', false)),
            select(vec!["@end", "@@session.begin", "5--1", "1..2"]).prop_map(String::from),
        ]
        .boxed(),
        Dialect::Sqlite => prop_oneof![
            content().prop_map(|content| quoted(&content, '`', false)),
            content().prop_map(|content| format!("[{content}]")),
            select(vec![":end", "@begin", "$case", "?1"]).prop_map(String::from),
        ]
        .boxed(),
    };
    prop_oneof![text, double, plain, own].boxed()
}

/// An expression of some operands, with `CASE` and parentheses nested in it.
fn expression(dialect: Dialect) -> BoxedStrategy<Tokens> {
    let leaf = operand(dialect).prop_map(|operand| vec![operand]);
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let semicolon = if dialect == Dialect::Postgres { ";" } else { "," };
        prop_oneof![
            (inner.clone(), select(vec!["=", "+", ",", "AND", "<"]), inner.clone()).prop_map(|(left, sign, right)| [
                left,
                words(sign),
                right
            ]
            .concat()),
            (inner.clone(), inner.clone()).prop_map(move |(left, right)| [
                words("("),
                left,
                words(semicolon),
                right,
                words(")")
            ]
            .concat()),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(when, then, other)| {
                [words("CASE WHEN"), when, words("THEN"), then, words("else"), other, words("end")].concat()
            }),
            (inner.clone(), inner).prop_map(|(a, b)| [words("IF ("), a, words(","), b, words(")")].concat()),
        ]
    })
    .boxed()
}

fn words(text: &str) -> Tokens {
    text.split(' ').map(String::from).collect()
}

/// A statement without a body. Words that open and close bodies stand in its middle.
fn simple(dialect: Dialect) -> BoxedStrategy<Tokens> {
    let verb =
        select(vec!["SELECT", "insert into", "UPDATE", "VALUES", "DROP TABLE IF EXISTS", "CREATE TABLE IF NOT EXISTS"]);
    let name = select(vec!["x", "begin", "t.end", "end", "repeat", "handler"]);
    let plain = (verb, name, expression(dialect))
        .prop_map(|(verb, name, expression)| [words(verb), words(name), words(","), expression].concat());
    if mysql_mode(dialect).is_none() {
        return plain.boxed();
    }
    let executable = (plain.clone(), select(vec!["/*!", "/*!50003", "/*M!100100"])).prop_map(|(tokens, mark)| {
        let mut tokens = [words(mark), tokens, words("*/")].concat();
        if tokens.len() > 6 {
            tokens.extend(words("/*!40000 , 1 */"));
        }
        tokens
    });
    prop_oneof![3 => plain, 1 => executable].boxed()
}

fn ended(statements: Vec<Tokens>) -> Tokens {
    statements.into_iter().flat_map(|statement| [statement, words(";")].concat()).collect()
}

/// A statement of a routine of MySQL, with blocks nested in it.
fn nested(dialect: Dialect) -> BoxedStrategy<Tokens> {
    // In Oracle mode a function's type follows RETURN, so no body can begin with it.
    let returns = if mysql_mode(dialect).is_some_and(|mode| mode.oracle) { "DO" } else { "RETURN" };
    let leaf = prop_oneof![
        3 => simple(dialect),
        1 => expression(dialect).prop_map(move |value| [words(returns), value].concat()),
        1 => expression(dialect).prop_map(|value| [words("DECLARE v INT DEFAULT"), value].concat()),
        1 => Just(words("DECLARE c CURSOR FOR SELECT 1 FOR UPDATE")),
    ];
    leaf.prop_recursive(4, 20, 3, move |inner| {
        let some = vec(inner.clone(), 1..3).prop_map(ended);
        let condition = move || expression(dialect);
        prop_oneof![
            some.clone().prop_map(|body| [words("BEGIN"), body, words("END")].concat()),
            some.clone().prop_map(|body| [words("l : begin"), body, words("end l")].concat()),
            (condition(), some.clone(), condition(), some.clone(), some.clone()).prop_map(|(a, b, c, d, e)| {
                [
                    words("IF"),
                    a,
                    words("THEN"),
                    b,
                    words("ELSEIF"),
                    c,
                    words("THEN"),
                    d,
                    words("ELSE"),
                    e,
                    words("END IF"),
                ]
                .concat()
            }),
            (condition(), condition(), some.clone(), some.clone()).prop_map(|(a, b, c, d)| {
                [words("CASE"), a, words("WHEN"), b, words("THEN"), c, words("ELSE"), d, words("END CASE")].concat()
            }),
            some.clone().prop_map(|body| [words("l : LOOP"), body, words("END LOOP l")].concat()),
            (condition(), some.clone()).prop_map(|(a, body)| [
                words("while"),
                a,
                words("do"),
                body,
                words("end while")
            ]
            .concat()),
            (some.clone(), expression(dialect)).prop_map(|(body, until)| {
                // The condition's last token must end an operand.
                [words("REPEAT"), body, words("UNTIL"), until, words("= 1 END REPEAT")].concat()
            }),
            some.prop_map(|body| [words("FOR r IN ( SELECT 1 ) DO"), body, words("END FOR")].concat()),
            inner.prop_map(|body| {
                [words("DECLARE EXIT HANDLER FOR NOT FOUND , SQLSTATE VALUE '23000' , 1062 , mine"), body].concat()
            }),
        ]
    })
    .boxed()
}

/// A routine, trigger, event or compound statement.
fn routine(dialect: Dialect) -> BoxedStrategy<Tokens> {
    let some = vec(simple(dialect), 1..4).prop_map(ended);
    match dialect {
        Dialect::Postgres => some
            .prop_map(|body| {
                let head = "CREATE OR REPLACE FUNCTION f ( a int DEFAULT 1 ) RETURNS int LANGUAGE sql BEGIN ATOMIC";
                [words(head), body, words("END")].concat()
            })
            .boxed(),
        Dialect::Sqlite => (some, expression(dialect))
            .prop_map(|(body, when)| {
                let head = "CREATE TEMP TRIGGER IF NOT EXISTS begin AFTER UPDATE OF a ON main.begin FOR EACH ROW WHEN";
                [words(head), when, words("BEGIN"), body, words("END")].concat()
            })
            .boxed(),
        Dialect::MySql(_) => {
            let heads = vec![
                "CREATE PROCEDURE p ( IN a DECIMAL(10,2) , b INT )",
                "create or replace definer = `root`@`%` procedure if not exists d . p ( ) comment 'x;y' not deterministic",
                "CREATE DEFINER = root@localhost FUNCTION f ( a INT ) RETURNS VARCHAR (9) CHARACTER SET utf8 READS SQL DATA",
                "/*!50003 CREATE */ /*!50017 DEFINER = CURRENT_USER */ /*!50003 TRIGGER begin AFTER INSERT ON end FOR EACH ROW */",
                "CREATE TRIGGER t BEFORE UPDATE ON x FOR EACH ROW FOLLOWS u",
                "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO",
                "ALTER EVENT e DO",
            ];
            let headed = (select(heads), nested(dialect)).prop_map(|(head, body)| [words(head), body].concat());
            let block = vec(nested(dialect), 0..3)
                .prop_map(|body| [words("BEGIN NOT ATOMIC"), ended(body), words("END")].concat());
            prop_oneof![3 => headed, 1 => block].boxed()
        }
    }
}

fn statement(dialect: Dialect) -> BoxedStrategy<Tokens> {
    prop_oneof![simple(dialect), routine(dialect)].boxed()
}

/// White space and comments, any of which may stand between two tokens.
fn separator(dialect: Dialect) -> BoxedStrategy<String> {
    let mut fixed =
        vec![" ", " ", "\n", "\t", "\r\n", "/**/", " /* ; ' \" ` END */ ", " -- it's ; END\n", " --\n", " /***/ "];
    match dialect {
        Dialect::Postgres => fixed.extend(["/* ; /* ' */ $$ */", " --a\r"]),
        Dialect::MySql(_) => fixed.extend(["#it's ;\n", " /* /* */", "/*+ ; ' */"]),
        Dialect::Sqlite => fixed.extend([" /* /* */", " --a\n"]),
    }
    select(fixed).prop_map(String::from).boxed()
}

/// A text's dialect, its statements and the separators for their tokens.
pub(super) fn scripts() -> impl Strategy<Value = (Dialect, Vec<Tokens>, Vec<String>)> {
    dialects().prop_flat_map(|dialect| (Just(dialect), vec(statement(dialect), 0..5), vec(separator(dialect), 1..12)))
}

pub(super) fn routines() -> impl Strategy<Value = (Dialect, Vec<Tokens>, Vec<String>)> {
    let modes = dialects().prop_filter("MySQL only", |dialect| mysql_mode(*dialect).is_some());
    modes.prop_flat_map(|dialect| (Just(dialect), vec(routine(dialect), 1..3), vec(separator(dialect), 1..12)))
}

/// Fragments that open, close or change something.
pub(super) fn soup(with_commands: bool) -> impl Strategy<Value = String> {
    let mut parts = vec![
        "'",
        "\"",
        "`",
        "[",
        "]",
        "\\",
        "\\'",
        ";",
        ";",
        "$$",
        "$a$",
        "$1",
        "--",
        "-- ",
        "#",
        "/*",
        "*/",
        "/*!",
        "/*!50003 ",
        "/*M!",
        "(",
        ")",
        "\n",
        "\r\n",
        " ",
        " ",
        " ",
        "é",
        "\u{0}",
        "\u{a0}",
        ".",
        ",",
        "@",
        "@@",
        ":",
        "=",
        "<",
        ">",
        "%",
        "1",
        "E'",
        "a",
        "CREATE ",
        "FUNCTION ",
        "PROCEDURE ",
        "TRIGGER ",
        "EVENT ",
        "PACKAGE ",
        "BODY ",
        "ON x ",
        "FOR EACH ROW ",
        "DO ",
        "f()",
        "RETURNS ",
        "AS ",
        "IS ",
        "BEGIN ",
        "BEGIN ATOMIC ",
        "BEGIN NOT ATOMIC ",
        "END ",
        "END IF",
        "IF ",
        "THEN ",
        "ELSE ",
        "CASE ",
        "WHEN ",
        "LOOP ",
        "REPEAT ",
        "UNTIL ",
        "WHILE ",
        "FOR ",
        "DECLARE ",
        "HANDLER ",
        "SQLSTATE ",
        "NOT ",
        "x:",
        "<<l>>",
        "COMMIT",
        "SELECT ",
        "COPY t FROM STDIN",
        "\\.\n",
        "\\x",
        "SET ",
        "autocommit",
        "PRAGMA ",
        "foreign_keys",
        ".read x",
        "source y",
    ];
    if with_commands {
        parts.extend([
            "DELIMITER //\n",
            "\nDELIMITER ;\n",
            "//",
            "DELIMITER $$\n",
            "delimiter é\n",
            "DELIMITER",
            "\u{feff}",
        ]);
        parts.extend(["SET sql_mode='ANSI_QUOTES';", "SET sql_mode = 'ORACLE', @a=1;", "SET sql_mode=@x;"]);
    }
    vec(select(parts), 0..40).prop_map(|parts| parts.concat())
}
