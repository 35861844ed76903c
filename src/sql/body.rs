//! Follows a statement token by token, to tell whether a semicolon ends it.
//!
//! A semicolon inside a routine's body does not. A body's own `END` is the one at the start of a statement; the `END`
//! of a `CASE` expression never stands there, so PostgreSQL and SQLite need no count of them.

use super::Dialect;
use super::lexer::{Kind, Token};
use super::routine::{Routine, ends_operand};

/// What one statement has told so far.
pub(super) enum Tracker {
    Postgres(SqlFunction),
    MySql(Box<Routine>),
    Sqlite(Trigger),
}

impl Tracker {
    pub(super) fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Postgres => Tracker::Postgres(SqlFunction::default()),
            Dialect::MySql(mode) => Tracker::MySql(Box::new(Routine::new(mode.oracle))),
            Dialect::Sqlite => Tracker::Sqlite(Trigger::default()),
        }
    }

    /// Takes the statement's next token; comments and marks of executable comments are none.
    pub(super) fn token(&mut self, token: Token, text: &str) {
        match self {
            Tracker::Postgres(function) => function.token(token, text),
            Tracker::MySql(routine) => routine.token(token, text),
            Tracker::Sqlite(trigger) => trigger.token(token, text),
        }
    }

    /// Whether a semicolon here ends the statement.
    pub(super) fn ends_at_semicolon(&self) -> bool {
        match self {
            Tracker::Postgres(function) => function.parentheses == 0 && function.body.opened.is_none(),
            Tracker::MySql(routine) => routine.ends_at_semicolon(),
            Tracker::Sqlite(trigger) => trigger.body.opened.is_none(),
        }
    }

    /// Whether this is a routine or a compound statement, which a `DELIMITER` protects.
    pub(super) fn is_compound(&self) -> bool {
        matches!(self, Tracker::MySql(routine) if routine.is_compound())
    }

    /// Where a block was opened that is not closed yet, and what is missing.
    pub(super) fn open_block(&self) -> Option<(usize, &'static str)> {
        match self {
            Tracker::Postgres(function) => function.body.open_block(),
            Tracker::MySql(routine) => routine.open_block(),
            Tracker::Sqlite(trigger) => trigger.body.open_block(),
        }
    }
}

/// One `BEGIN … END` without blocks inside.
#[derive(Default)]
struct Body {
    opened: Option<usize>,
    at_start: bool,
}

impl Body {
    fn open(&mut self, offset: usize) {
        *self = Body { opened: Some(offset), at_start: true };
    }

    fn token(&mut self, token: Token, text: &str) {
        if self.at_start && token.kind == Kind::Word && text.eq_ignore_ascii_case("end") {
            self.opened = None;
        }
        self.at_start = token.kind == Kind::Semicolon;
    }

    fn open_block(&self) -> Option<(usize, &'static str)> {
        self.opened.map(|offset| (offset, "BEGIN without END"))
    }
}

/// PostgreSQL: parentheses, and `CREATE FUNCTION … BEGIN ATOMIC … END`.
/// <https://www.postgresql.org/docs/current/sql-createfunction.html>
#[derive(Default)]
pub(super) struct SqlFunction {
    header: FunctionHeader,
    parentheses: usize,
    begin: Option<usize>,
    body: Body,
}

#[derive(Default, PartialEq)]
enum FunctionHeader {
    #[default]
    First,
    Create,
    Or,
    Function,
    Other,
}

impl SqlFunction {
    fn token(&mut self, token: Token, text: &str) {
        match token.kind {
            Kind::Symbol(b'(') => self.parentheses += 1,
            Kind::Symbol(b')') => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
        if self.body.opened.is_some() {
            if self.parentheses == 0 {
                self.body.token(token, text);
            }
            return;
        }
        let is = |word: &str| token.kind == Kind::Word && text.eq_ignore_ascii_case(word);
        match self.header {
            FunctionHeader::First if is("create") => self.header = FunctionHeader::Create,
            FunctionHeader::Create if is("or") => self.header = FunctionHeader::Or,
            FunctionHeader::Or if is("replace") => self.header = FunctionHeader::Create,
            FunctionHeader::Create if is("function") || is("procedure") => self.header = FunctionHeader::Function,
            FunctionHeader::Function => {
                let begin = self.begin.take();
                if self.parentheses == 0 && is("begin") {
                    self.begin = Some(token.start);
                } else if let Some(begin) = begin.filter(|_| is("atomic")) {
                    self.body.open(begin);
                    self.header = FunctionHeader::Other;
                }
            }
            _ => self.header = FunctionHeader::Other,
        }
    }
}

/// SQLite: `CREATE TRIGGER … ON table … BEGIN … END`.
/// <https://www.sqlite.org/lang_createtrigger.html>
#[derive(Default)]
pub(super) struct Trigger {
    header: TriggerHeader,
    /// Whether an expression may end here, so that `begin` is no name.
    operand: bool,
    body: Body,
}

#[derive(Default)]
enum TriggerHeader {
    #[default]
    First,
    Create,
    /// After `TRIGGER`: the trigger's name may be any word, `begin` too.
    Trigger,
    /// After `ON`: the table's name may be.
    On,
    Table,
    Other,
}

impl Trigger {
    fn token(&mut self, token: Token, text: &str) {
        if self.body.opened.is_some() {
            return self.body.token(token, text);
        }
        let is = |word: &str| token.kind == Kind::Word && text.eq_ignore_ascii_case(word);
        let after_operand = std::mem::replace(&mut self.operand, ends_operand(token, text));
        self.header = match self.header {
            TriggerHeader::First if is("explain") || is("query") || is("plan") => TriggerHeader::First,
            TriggerHeader::First if is("create") => TriggerHeader::Create,
            TriggerHeader::Create if is("temp") || is("temporary") => TriggerHeader::Create,
            TriggerHeader::Create if is("trigger") => TriggerHeader::Trigger,
            TriggerHeader::Trigger if is("on") => TriggerHeader::On,
            TriggerHeader::Trigger => TriggerHeader::Trigger,
            TriggerHeader::On => TriggerHeader::Table,
            TriggerHeader::Table if is("begin") && after_operand => {
                self.body.open(token.start);
                TriggerHeader::Other
            }
            TriggerHeader::Table => TriggerHeader::Table,
            _ => TriggerHeader::Other,
        };
    }
}
