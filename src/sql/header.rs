//! Reads the head of a MySQL or MariaDB routine, up to the first token of its body.
//!
//! The grammar has no mark there: `CREATE PROCEDURE p() DETERMINISTIC SELECT 1`. So the words that a head may hold
//! are known, and the first other token begins the body.
//! <https://mariadb.com/kb/en/create-procedure/>, <https://mariadb.com/kb/en/create-package/>

use super::lexer::{Kind, Token};

/// Words of a routine's characteristics and of the type that a function returns.
const CHARACTERISTICS: [&str; 27] = [
    "ascii",
    "binary",
    "byte",
    "comment",
    "contains",
    "data",
    "definer",
    "deterministic",
    "invoker",
    "modifies",
    "national",
    "no",
    "not",
    "precision",
    "reads",
    "row",
    "security",
    "signed",
    "soname",
    "sql",
    "type",
    "unicode",
    "unsigned",
    "varbinary",
    "varchar",
    "varying",
    "zerofill",
];

/// Words whose next token belongs to them, whatever it is.
const TAKES_NEXT: [&str; 6] = ["authid", "charset", "collate", "language", "of", "returns"];

/// How far the head has been read.
pub(super) enum Header {
    /// Before the parameters of a procedure or function.
    Name,
    /// In the parameters, or in other parentheses after them.
    Parentheses(usize),
    /// After the parameters; with `take_next` the next token belongs to the last one.
    After { take_next: bool, character: bool },
    /// A trigger: how many words of `FOR EACH ROW` have come.
    Trigger(usize),
    /// After `FOR EACH ROW`.
    TriggerOrder,
    /// After `FOLLOWS` or `PRECEDES`.
    TriggerOther,
    /// An event, before `DO`; the first token is its name.
    Event { named: bool },
    /// A package; `first` until its first token, which may be `BODY`.
    Package { body: bool, first: bool },
}

/// What a token did to the head.
pub(super) enum Step {
    /// The head goes on.
    Stay,
    /// The token ended the head; the next one begins the body.
    BodyNext,
    /// The token is the body's first.
    BodyHere,
    /// `AS` or `IS`: declarations come, then `BEGIN`.
    Declarations,
    /// `AS` or `IS` of a package: its members come.
    Members { body: bool },
}

impl Header {
    /// The head that the word after `CREATE` or `ALTER` opens.
    pub(super) fn of(word: &str) -> Option<Header> {
        match word.to_ascii_lowercase().as_str() {
            "procedure" | "function" => Some(Header::Name),
            "trigger" => Some(Header::Trigger(0)),
            "event" => Some(Header::Event { named: false }),
            "package" => Some(Header::Package { body: false, first: true }),
            _ => None,
        }
    }

    /// Takes the next token.
    pub(super) fn token(&mut self, token: Token, text: &str, oracle: bool) -> Step {
        let is = |word: &str| token.kind == Kind::Word && text.eq_ignore_ascii_case(word);
        match self {
            Header::Name => match token.kind {
                Kind::Symbol(b'(') => *self = Header::Parentheses(1),
                _ if oracle && (is("as") || is("is")) => return Step::Declarations,
                _ if oracle && is("return") => *self = Header::After { take_next: true, character: false },
                _ => {}
            },
            Header::Parentheses(depth) => match token.kind {
                Kind::Symbol(b'(') => *depth += 1,
                Kind::Symbol(b')') if *depth > 1 => *depth -= 1,
                Kind::Symbol(b')') => *self = Header::After { take_next: false, character: false },
                _ => {}
            },
            Header::After { take_next, character } => {
                let after_character = std::mem::replace(character, false);
                if std::mem::replace(take_next, false) {
                    return Step::Stay;
                }
                match token.kind {
                    Kind::Symbol(b'(') => *self = Header::Parentheses(1),
                    Kind::Symbol(b'.' | b'%') => *take_next = true,
                    Kind::Text => {}
                    _ if oracle && (is("as") || is("is")) => return Step::Declarations,
                    _ if is("set") && after_character => *take_next = true,
                    _ if is("character") || is("char") => *character = true,
                    _ if oracle && is("return") => *take_next = true,
                    Kind::Word if contains(&TAKES_NEXT, text) => *take_next = true,
                    Kind::Word if contains(&CHARACTERISTICS, text) => {}
                    _ => return Step::BodyHere,
                }
            }
            Header::Trigger(words) => {
                const MARK: [&str; 3] = ["for", "each", "row"];
                *words = if is(MARK[*words]) { *words + 1 } else { usize::from(is("for")) };
                if *words == MARK.len() {
                    *self = Header::TriggerOrder;
                }
            }
            Header::TriggerOrder if is("follows") || is("precedes") => *self = Header::TriggerOther,
            Header::TriggerOrder => return Step::BodyHere,
            Header::TriggerOther => return Step::BodyNext,
            Header::Event { named } => {
                if std::mem::replace(named, true) && is("do") {
                    return Step::BodyNext;
                }
            }
            Header::Package { body, first } => {
                if std::mem::replace(first, false) && is("body") {
                    *body = true;
                } else if is("as") || is("is") {
                    return Step::Members { body: *body };
                }
            }
        }
        Step::Stay
    }
}

fn contains(words: &[&str], text: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}
