//! The engines, and the settings that change how MySQL and MariaDB read a text.

use std::fmt;

/// A database engine; MySQL stands for MariaDB too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EngineKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite.
    Sqlite,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: [EngineKind; 3] = [EngineKind::Postgres, EngineKind::MySql, EngineKind::Sqlite];

    /// The engine's name in files and messages: `postgres`, `mysql`, `sqlite`.
    pub fn as_str(self) -> &'static str {
        match self {
            EngineKind::Postgres => "postgres",
            EngineKind::MySql => "mysql",
            EngineKind::Sqlite => "sqlite",
        }
    }

    /// Reads a name as [`EngineKind::as_str`] writes it; `None` for any other text.
    pub fn parse(name: &str) -> Option<EngineKind> {
        EngineKind::ALL.into_iter().find(|engine| engine.as_str() == name)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The parts of MySQL's and MariaDB's `sql_mode` that change how a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SqlMode {
    /// `"x"` is an identifier, not a string.
    pub ansi_quotes: bool,
    /// A backslash in a string is a backslash.
    pub no_backslash_escapes: bool,
    /// MariaDB's Oracle syntax for routines.
    pub oracle: bool,
}

impl SqlMode {
    /// Reads the text of `@@sql_mode`, e.g. `STRICT_TRANS_TABLES,ANSI_QUOTES`, in any case.
    ///
    /// Combination modes imply what the server lets them imply: `ANSI`, `DB2`, `MAXDB`, `MSSQL`, `ORACLE` and
    /// `POSTGRESQL` set `ANSI_QUOTES`. Unknown modes are passed over.
    /// <https://mariadb.com/kb/en/sql-mode/>
    pub fn parse(text: &str) -> SqlMode {
        let mut mode = SqlMode::default();
        for name in text.split(',') {
            match name.trim().to_ascii_uppercase().as_str() {
                "ANSI_QUOTES" | "ANSI" | "DB2" | "MAXDB" | "MSSQL" | "POSTGRESQL" => mode.ansi_quotes = true,
                "NO_BACKSLASH_ESCAPES" => mode.no_backslash_escapes = true,
                "ORACLE" => {
                    mode.oracle = true;
                    mode.ansi_quotes = true;
                }
                _ => {}
            }
        }
        mode
    }
}

/// The rules by which a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL with `standard_conforming_strings` on.
    Postgres,
    /// MySQL or MariaDB under a mode.
    MySql(SqlMode),
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// The engine's dialect under its default settings.
    pub fn default_for(engine: EngineKind) -> Dialect {
        match engine {
            EngineKind::Postgres => Dialect::Postgres,
            EngineKind::MySql => Dialect::MySql(SqlMode::default()),
            EngineKind::Sqlite => Dialect::Sqlite,
        }
    }

    /// The dialects in which an engine may read a text, the likeliest first.
    ///
    /// Only a server knows its `sql_mode`, so a text for MySQL that is broken under the default one may be sound under
    /// one that changes what a quote is.
    pub fn possible(engine: EngineKind) -> Vec<Dialect> {
        let modes: &[&str] = match engine {
            EngineKind::MySql => &["NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "ORACLE"],
            _ => &[],
        };
        let others = modes.iter().map(|mode| Dialect::MySql(SqlMode::parse(mode)));
        [Dialect::default_for(engine)].into_iter().chain(others).collect()
    }

    /// The engine that reads it.
    pub fn engine(self) -> EngineKind {
        match self {
            Dialect::Postgres => EngineKind::Postgres,
            Dialect::MySql(_) => EngineKind::MySql,
            Dialect::Sqlite => EngineKind::Sqlite,
        }
    }
}
