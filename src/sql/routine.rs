//! Follows the blocks of a MySQL or MariaDB routine.
//!
//! `BEGIN`, `IF`, `CASE` and the loops open a block only at the start of a statement; elsewhere they are functions,
//! expressions or plain names (`begin` and `end` are not reserved). An `END` closes a block at the start of a
//! statement, a `CASE` expression behind an operand, and is a name anywhere else.
//! <https://mariadb.com/kb/en/programmatic-compound-statements/>

use super::header::{Header, Step};
use super::lexer::{Kind, Token};

/// Words behind which an expression has to come, so that `end` there is a name.
const EXPECTS_OPERAND: [&str; 26] = [
    "all", "and", "as", "between", "by", "case", "collate", "distinct", "div", "else", "from", "having", "in",
    "interval", "is", "like", "mod", "not", "on", "or", "regexp", "rlike", "select", "then", "when", "xor",
];

#[derive(Clone, Copy, PartialEq)]
enum Block {
    Begin,
    If,
    Case,
    Loop,
    While,
    Repeat,
    For,
    /// Oracle mode: between `AS` and `BEGIN`.
    Declarations,
    Package,
    /// Its members come before an optional `BEGIN`.
    PackageBody,
}

impl Block {
    fn of(word: &str) -> Option<Block> {
        match word.to_ascii_lowercase().as_str() {
            "begin" => Some(Block::Begin),
            "if" => Some(Block::If),
            "case" => Some(Block::Case),
            "loop" => Some(Block::Loop),
            "while" => Some(Block::While),
            "repeat" => Some(Block::Repeat),
            "for" => Some(Block::For),
            _ => None,
        }
    }

    /// What must come before the statements inside.
    fn head(self) -> Head {
        match self {
            Block::If | Block::Case => Head::Then,
            Block::While | Block::For => Head::Do,
            _ => Head::None,
        }
    }

    fn missing(self) -> &'static str {
        match self {
            Block::Begin => "BEGIN without END",
            Block::If => "IF without END IF",
            Block::Case => "CASE without END CASE",
            Block::Loop => "LOOP without END LOOP",
            Block::While => "WHILE without END WHILE",
            Block::Repeat => "REPEAT without END REPEAT",
            Block::For => "FOR without END FOR",
            Block::Declarations => "declarations without BEGIN",
            Block::Package | Block::PackageBody => "PACKAGE without END",
        }
    }
}

/// What brings the next statement of a body before any semicolon.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    None,
    /// `THEN`.
    Then,
    /// `DO`, and in Oracle mode `LOOP`.
    Do,
    /// The `END` of `REPEAT … UNTIL … END REPEAT`.
    Until,
    /// `DECLARE`: `HANDLER` may follow.
    Declare,
    /// `DECLARE … HANDLER`: `FOR` follows.
    Handler,
    /// A handler's condition; then a comma or the handler's statement.
    Condition,
    /// The words `SQLSTATE [VALUE]` or `NOT` have come, and the condition goes on.
    ConditionRest,
    /// Behind a condition.
    ConditionEnd,
    /// Oracle mode: in `<<label>>`.
    Label,
}

enum State {
    First,
    /// A first word that may be a label: a colon tells.
    MaybeLabel,
    /// `BEGIN` as first word: a transaction, unless `NOT ATOMIC` follows.
    Begin(usize),
    BeginNot(usize),
    /// `CREATE` or `ALTER`, before the word that tells what; a user's name may be due.
    Create {
        alter: bool,
        user: bool,
    },
    Plain,
    Header(Header),
    /// A statement of the body begins.
    Start,
    /// `BEGIN` was read, and `NOT ATOMIC` may follow.
    Opened,
    Not,
    Inside,
}

/// What one statement of MySQL or MariaDB has told so far.
pub(super) struct Routine {
    oracle: bool,
    state: State,
    blocks: Vec<(Block, usize)>,
    /// The parts below belong to the body's current statement.
    head: Head,
    /// For each open `CASE` expression, in how many parentheses it stands.
    cases: Vec<usize>,
    parentheses: usize,
    /// Whether a colon would make the token before it a label.
    label: bool,
    /// Whether the last token ends an operand.
    operand: bool,
}

impl Routine {
    pub(super) fn new(oracle: bool) -> Self {
        Routine {
            oracle,
            state: State::First,
            blocks: Vec::new(),
            head: Head::None,
            cases: Vec::new(),
            parentheses: 0,
            label: false,
            operand: false,
        }
    }

    pub(super) fn ends_at_semicolon(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) fn is_compound(&self) -> bool {
        matches!(self.state, State::Header(_) | State::Start | State::Opened | State::Not | State::Inside)
    }

    pub(super) fn open_block(&self) -> Option<(usize, &'static str)> {
        self.blocks.first().map(|(block, offset)| (*offset, block.missing()))
    }

    /// Takes the next token; a semicolon only if it does not end the statement.
    pub(super) fn token(&mut self, token: Token, text: &str) {
        let is = |word: &str| token.kind == Kind::Word && text.eq_ignore_ascii_case(word);
        match &mut self.state {
            State::First => self.first(token, text),
            State::MaybeLabel if token.kind == Kind::Symbol(b':') => self.state = State::First,
            State::Begin(begin) if is("not") => self.state = State::BeginNot(*begin),
            State::BeginNot(begin) if is("atomic") => {
                let begin = *begin;
                self.open(Block::Begin, begin);
            }
            // In Oracle mode a bare BEGIN opens a block, too.
            State::Begin(begin) if self.oracle && !is("work") => {
                let begin = *begin;
                self.open(Block::Begin, begin);
                self.start(token, text);
            }
            State::Create { alter, user } => match token.kind {
                Kind::Word if !*user => {
                    let event_only = *alter;
                    if is("definer") {
                        *user = true;
                    } else if !["or", "replace", "aggregate", "current_user", "current_role"]
                        .iter()
                        .any(|word| is(word))
                    {
                        let header = Header::of(text).filter(|_| !event_only || is("event"));
                        self.state = header.map_or(State::Plain, State::Header);
                    }
                }
                Kind::Word | Kind::Name | Kind::Text => *user = false,
                _ => {}
            },
            State::Header(header) => match header.token(token, text, self.oracle) {
                // A member of a package that is only declared.
                _ if token.kind == Kind::Semicolon => self.next_statement(),
                Step::Stay => {}
                Step::BodyNext => self.next_statement(),
                Step::BodyHere if is("begin") => self.open(Block::Begin, token.start),
                Step::BodyHere => {
                    self.next_statement();
                    self.start(token, text);
                }
                Step::Declarations => self.open(Block::Declarations, token.start),
                Step::Members { body } => {
                    self.open(if body { Block::PackageBody } else { Block::Package }, token.start);
                }
            },
            State::Opened if is("not") => self.state = State::Not,
            State::Not => self.next_statement(),
            State::Opened | State::Start => self.start(token, text),
            State::Inside => self.inside(token, text),
            State::MaybeLabel | State::Begin(_) | State::BeginNot(_) | State::Plain => self.state = State::Plain,
        }
    }

    fn first(&mut self, token: Token, text: &str) {
        let is = |word: &str| token.kind == Kind::Word && text.eq_ignore_ascii_case(word);
        self.state = match token.kind {
            Kind::Word if is("create") || is("alter") => State::Create { alter: is("alter"), user: false },
            Kind::Word if is("begin") => State::Begin(token.start),
            Kind::Word if is("declare") && self.oracle => {
                return self.open(Block::Declarations, token.start);
            }
            Kind::Word if Block::of(text).is_some() => return self.start(token, text),
            Kind::Word | Kind::Name => State::MaybeLabel,
            _ => State::Plain,
        };
    }

    fn open(&mut self, block: Block, offset: usize) {
        self.blocks.push((block, offset));
        self.next_statement();
        if block == Block::Begin {
            self.state = State::Opened;
        }
    }

    fn next_statement(&mut self) {
        self.state = State::Start;
        self.head = Head::None;
        self.cases.clear();
        self.parentheses = 0;
    }

    fn go_inside(&mut self, head: Head) {
        self.state = State::Inside;
        self.head = head;
        self.label = false;
        self.operand = false;
    }

    /// Takes the first token of a statement of the body.
    fn start(&mut self, token: Token, text: &str) {
        let top = self.blocks.last().map(|(block, _)| *block);
        let declaring = matches!(top, Some(Block::Declarations | Block::PackageBody));
        self.next_statement();
        match token.kind {
            Kind::Semicolon => {}
            Kind::Symbol(b'<') if self.oracle => self.go_inside(Head::Label),
            Kind::Name => {
                self.go_inside(Head::None);
                self.label = true;
            }
            Kind::Word => match text.to_ascii_lowercase().as_str() {
                "end" => {
                    self.blocks.pop();
                    self.go_inside(Head::None);
                }
                "begin" if declaring => {
                    self.blocks.pop();
                    self.open(Block::Begin, token.start);
                }
                "procedure" | "function" if declaring || top == Some(Block::Package) => {
                    self.state = State::Header(Header::Name);
                }
                "else" => {}
                "elseif" | "elsif" | "when" | "exception" => self.go_inside(Head::Then),
                "until" if top == Some(Block::Repeat) => self.go_inside(Head::Until),
                "declare" => self.go_inside(Head::Declare),
                word => match Block::of(word) {
                    Some(block) => {
                        self.open(block, token.start);
                        if block.head() != Head::None {
                            self.go_inside(block.head());
                        }
                    }
                    None => {
                        self.go_inside(Head::None);
                        self.label = true;
                    }
                },
            },
            _ => self.go_inside(Head::None),
        }
    }

    /// Takes another token of a statement of the body.
    fn inside(&mut self, token: Token, text: &str) {
        let label = std::mem::replace(&mut self.label, false);
        let after_operand = std::mem::replace(&mut self.operand, ends_operand(token, text));
        match token.kind {
            Kind::Semicolon => return self.next_statement(),
            Kind::Symbol(b':') if label => return self.next_statement(),
            Kind::Symbol(b'(') => self.parentheses += 1,
            Kind::Symbol(b')') => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
        let is = |word: &str| token.kind == Kind::Word && text.eq_ignore_ascii_case(word);
        if self.head == Head::ConditionEnd && token.kind != Kind::Symbol(b',') {
            return self.start(token, text);
        }
        if is("case") {
            return self.cases.push(self.parentheses);
        }
        if is("end") && after_operand && self.cases.last() == Some(&self.parentheses) {
            self.cases.pop();
            return;
        }
        if !self.cases.is_empty() {
            return;
        }
        match self.head {
            Head::None => {}
            Head::Then if is("then") => self.next_statement(),
            Head::Do if is("do") || (self.oracle && is("loop")) => self.next_statement(),
            Head::Until if is("end") && after_operand && self.parentheses == 0 => {
                self.blocks.pop();
                self.head = Head::None;
            }
            Head::Label if token.kind == Kind::Symbol(b'>') && !after_operand => self.next_statement(),
            Head::Declare if is("handler") => self.head = Head::Handler,
            Head::Handler if is("for") => self.head = Head::Condition,
            Head::Condition if is("sqlstate") || is("not") => self.head = Head::ConditionRest,
            Head::ConditionRest if is("value") => {}
            Head::Condition | Head::ConditionRest => self.head = Head::ConditionEnd,
            Head::ConditionEnd => self.head = Head::Condition,
            Head::Then | Head::Do | Head::Until | Head::Label | Head::Declare | Head::Handler => {}
        }
    }
}

/// Whether an operand of an expression may end with this token.
pub(super) fn ends_operand(token: Token, text: &str) -> bool {
    match token.kind {
        Kind::Word => !EXPECTS_OPERAND.iter().any(|word| text.eq_ignore_ascii_case(word)),
        Kind::Name | Kind::Text | Kind::Number | Kind::Variable | Kind::Symbol(b')') => true,
        _ => false,
    }
}
