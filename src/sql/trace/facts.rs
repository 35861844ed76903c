//! What a statement says of the session that it runs on: its variables, its temporary tables, what it sets.

use std::collections::BTreeSet;

use crate::sql::Dialect;
use crate::sql::lexer::{Kind, Lexer};

/// What is known of a statement, read in one pass however long it is. Words are in lower case.
#[derive(Default)]
pub(super) struct Facts {
    /// The first words.
    heads: Vec<String>,
    /// The last one.
    pub last: String,
    pub names: BTreeSet<String>,
    /// User variables.
    pub read: BTreeSet<String>,
    pub written: BTreeSet<String>,
    /// Whether it assigns a system variable.
    pub sets_system: bool,
    /// The temporary table that it makes.
    pub temporary: Option<String>,
    /// Whether it calls `set_config`.
    pub sets_config: bool,
}

impl Facts {
    /// Reads a statement.
    pub fn read(statement: &str, dialect: Dialect) -> Self {
        let mut facts = Self::default();
        let mut reader = Reader::default();
        let mut lexer = Lexer::new(statement, dialect);
        // A statement that cannot be read was split as one all the same; what was seen of it counts.
        while let Ok(Some(token)) = lexer.next() {
            if !matches!(token.kind, Kind::Comment | Kind::ExecutableOpen | Kind::ExecutableClose) {
                reader.token(&mut facts, token.kind, &statement[token.span()]);
            }
        }
        reader.settle(&mut facts);
        facts.sets_config = dialect == Dialect::Postgres && facts.names.contains("set_config");
        if facts.head(0) == "call" {
            facts.written.extend(facts.read.iter().cloned());
        }
        facts
    }

    /// Returns one of its first words; empty where it has fewer.
    pub fn head(&self, at: usize) -> &str {
        self.heads.get(at).map_or("", String::as_str)
    }
}

/// Follows a statement's tokens.
#[derive(Default)]
struct Reader {
    before: String,
    /// A variable whose use the next tokens tell.
    open: Option<String>,
    /// Whether a bare mark stands before a quoted variable's name.
    mark: bool,
    colon: bool,
    into: bool,
    is_set: bool,
    /// Whether an assignment's target comes next.
    target: bool,
    depth: usize,
    temporary: Temporary,
}

/// How far `CREATE TEMPORARY TABLE name` is read.
#[derive(Default, PartialEq)]
enum Temporary {
    #[default]
    No,
    Said,
    Named,
}

impl Reader {
    fn token(&mut self, facts: &mut Facts, kind: Kind, text: &str) {
        let lower = text.to_lowercase();
        let bare = lower.trim_matches(['"', '`', '[', ']', '\'']).to_owned();
        let own = match kind {
            Kind::Variable if !lower.starts_with("@@") && lower.starts_with('@') => Some(lower[1..].to_owned()),
            Kind::Name | Kind::Text if self.mark => Some(bare.clone()),
            _ => None,
        };
        self.mark = kind == Kind::Symbol(b'@');
        if let Some(name) = own {
            self.settle(facts);
            self.open = Some(name);
            if facts.heads.len() < 4 {
                facts.heads.push(String::new());
            }
            self.before = lower;
            return;
        }
        if let Kind::Symbol(symbol) = kind {
            self.symbol(facts, symbol);
        } else {
            self.settle(facts);
            self.word(facts, kind, bare);
        }
        self.before = lower;
    }

    fn symbol(&mut self, facts: &mut Facts, symbol: u8) {
        let assigns = symbol == b'=' && (self.colon || self.target);
        if assigns {
            match self.open.take() {
                Some(name) => drop(facts.written.insert(name)),
                None => facts.sets_system = true,
            }
            self.target = false;
        }
        match symbol {
            b'(' => self.depth += 1,
            b')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if symbol == b',' {
            self.settle(facts);
            self.target = self.is_set && self.depth == 0;
        } else if symbol != b':' && !assigns {
            self.settle(facts);
            self.into = false;
        }
        self.colon = symbol == b':';
    }

    fn word(&mut self, facts: &mut Facts, kind: Kind, bare: String) {
        let keyword = kind == Kind::Word;
        if facts.heads.is_empty() && keyword && bare == "set" {
            (self.is_set, self.target) = (true, true);
        }
        self.into = keyword && bare == "into";
        if matches!(kind, Kind::Word | Kind::Name | Kind::Variable) {
            // `@@identity` is needed by its name.
            let name = bare.trim_start_matches('@');
            facts.names.insert(name.to_owned());
            facts.last = name.to_owned();
        }
        if matches!(kind, Kind::Word | Kind::Name) {
            self.temporary(facts, keyword, &bare);
        }
        if facts.heads.len() < 4 {
            facts.heads.push(bare);
        }
    }

    fn temporary(&mut self, facts: &mut Facts, keyword: bool, bare: &str) {
        const BETWEEN: [&str; 8] = ["table", "view", "sequence", "if", "not", "exists", "unlogged", "recursive"];
        match self.temporary {
            Temporary::No if keyword && matches!(bare, "temporary" | "temp") => {
                let makes = facts.head(0) == "create" || self.before == "into";
                self.temporary = if makes { Temporary::Said } else { Temporary::No };
            }
            Temporary::Said if keyword && BETWEEN.contains(&bare) => {}
            Temporary::Said => {
                facts.temporary = Some(bare.to_owned());
                self.temporary = Temporary::Named;
            }
            _ => {}
        }
    }

    /// Takes a variable that no assignment follows: read, or a target of `INTO`.
    fn settle(&mut self, facts: &mut Facts) {
        let Some(name) = self.open.take() else { return };
        if self.into {
            facts.written.insert(name)
        } else {
            facts.read.insert(name)
        };
    }
}
