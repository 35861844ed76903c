//! placeholder, replaced by the splitter's own branch
use std::fmt;
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EngineKind {
    Postgres,
    MySql,
    Sqlite,
}
impl EngineKind {
    pub const ALL: [EngineKind; 3] = [EngineKind::Postgres, EngineKind::MySql, EngineKind::Sqlite];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}
impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SqlMode {
    pub ansi_quotes: bool,
    pub no_backslash_escapes: bool,
    pub oracle: bool,
}
impl SqlMode {
    pub fn parse(_text: &str) -> SqlMode {
        SqlMode::default()
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    MySql(SqlMode),
    Sqlite,
}
impl Dialect {
    pub fn default_for(kind: EngineKind) -> Dialect {
        match kind {
            EngineKind::Postgres => Self::Postgres,
            EngineKind::MySql => Self::MySql(SqlMode::default()),
            EngineKind::Sqlite => Self::Sqlite,
        }
    }
}
#[derive(Clone, Debug)]
pub struct Statement<'t> {
    pub text: &'t str,
    pub offset: usize,
    pub line: usize,
    pub column: usize,
}
#[derive(Clone, Debug)]
pub struct SqlError {
    pub offset: usize,
    pub line: usize,
    pub column: usize,
    pub message: String,
}
pub fn split<'t>(text: &'t str, _dialect: Dialect) -> Result<Vec<Statement<'t>>, SqlError> {
    Ok(vec![Statement { text, offset: 0, line: 1, column: 1 }])
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HazardKind {
    TransactionControl,
    MetaCommand,
    CopyFromStdin,
    ClientCommand,
    ForeignKeysPragma,
}
pub struct Hazard {
    pub kind: HazardKind,
    pub offset: usize,
    pub line: usize,
    pub column: usize,
    pub words: String,
}
pub fn hazards(_text: &str, _dialect: Dialect) -> Result<Vec<Hazard>, SqlError> {
    Ok(vec![])
}
pub struct Comment<'t> {
    pub text: &'t str,
    pub offset: usize,
    pub line: usize,
    pub before_first_statement: bool,
}
pub fn comments<'t>(_text: &'t str, _dialect: Dialect) -> Result<Vec<Comment<'t>>, SqlError> {
    Ok(vec![])
}
pub fn position(_text: &str, _offset: usize) -> (usize, usize) {
    (1, 1)
}
