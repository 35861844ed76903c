//! The questions to `information_schema`: which rows a schema is made of, or only a hash of them.
//!
//! Pure. Each [`Part`] is one kind of rows. [`Part::rows`] reads them; [`Part::hashes`] has the server add up a hash
//! for each database, which may differ where nothing does, but never the other way: what names the database itself is
//! hashed with its name, unless it can be taken out safely.
//!
//! Names in `information_schema` compare without case and accents there, so a question may answer for more databases
//! than it asks for; the reader takes those that it knows.

use crate::engine::tables::LEFT_OUT;
use crate::schema::Include;

use super::flavor::Flavor;
use super::sql;

/// The kinds of rows, by their place in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Tables,
    Columns,
    Indexes,
    ForeignKeys,
    Rules,
    Checks,
    Partitions,
    Views,
    Triggers,
    Routines,
    Parameters,
    Events,
    Database,
    DatabaseGrants,
    TableGrants,
    ColumnGrants,
}

impl Rows {
    /// How many there are.
    pub const COUNT: usize = Self::ColumnGrants as usize + 1;
}

/// How a value goes into the hash.
#[derive(Clone, Copy)]
enum Hashed {
    /// As it is.
    Plain,
    /// With the database's name where it holds that: it may mean the database.
    Mentioning,
    /// A view's definition, without the qualifiers that are the database's own.
    View,
    /// Not at all: it only helps to read the others.
    Not,
}

use Hashed::{Mentioning, Not, Plain, View};

/// One kind of rows: the columns that are read, of which table.
pub(super) struct Part {
    pub rows: Rows,
    flavor: Flavor,
    from: &'static str,
    /// The column with the database's name.
    schema: &'static str,
    columns: Vec<(&'static str, Hashed)>,
    /// What else must hold of a row.
    filter: String,
    /// What else is asked of all rows of a database, of their types `t`, names `n` and options `o`.
    gathered: Option<&'static str>,
}

/// Returns the parts of a description.
pub(super) fn parts(flavor: Flavor, include: Include) -> Vec<Part> {
    let part = |rows, from, schema, columns, filter: &str| Part {
        rows,
        flavor,
        from,
        schema,
        columns,
        filter: filter.to_owned(),
        gathered: None,
    };
    let comment = |column| if include.comments { column } else { "NULL" };
    let maria_or = |maria, mysql| if flavor.maria { maria } else { mysql };
    let mut parts = vec![
        part(
            Rows::Tables,
            "TABLES",
            "TABLE_SCHEMA",
            vec![
                ("TABLE_NAME", Plain),
                ("TABLE_TYPE", Plain),
                ("ENGINE", Plain),
                ("ROW_FORMAT", Plain),
                ("TABLE_COLLATION", Plain),
                ("CREATE_OPTIONS", Plain),
                (comment("IF(TABLE_TYPE = 'VIEW', NULL, TABLE_COMMENT)"), Plain),
            ],
            &known("TABLE_NAME"),
        ),
        part(
            Rows::Columns,
            "COLUMNS",
            "TABLE_SCHEMA",
            vec![
                ("TABLE_NAME", Plain),
                ("COLUMN_NAME", Plain),
                ("COLUMN_DEFAULT", Mentioning),
                ("IS_NULLABLE", Plain),
                ("COLUMN_TYPE", Plain),
                ("CHARACTER_SET_NAME", Plain),
                ("COLLATION_NAME", Plain),
                ("EXTRA", Plain),
                ("GENERATION_EXPRESSION", Mentioning),
                (comment("COLUMN_COMMENT"), Plain),
            ],
            &known("TABLE_NAME"),
        ),
        part(
            Rows::Indexes,
            "STATISTICS",
            "TABLE_SCHEMA",
            vec![
                ("TABLE_NAME", Plain),
                ("INDEX_NAME", Plain),
                ("NON_UNIQUE", Plain),
                ("SEQ_IN_INDEX", Plain),
                ("COLUMN_NAME", Plain),
                ("COLLATION", Plain),
                ("SUB_PART", Plain),
                ("INDEX_TYPE", Plain),
                match (flavor.maria, flavor.has((10, 6, 0), (8, 0, 13))) {
                    (true, true) => ("IGNORED", Plain),
                    (false, true) => ("IF(IS_VISIBLE = 'NO', 'YES', 'NO')", Plain),
                    _ => ("NULL", Plain),
                },
                (if !flavor.maria && flavor.has((0, 0, 0), (8, 0, 13)) { "EXPRESSION" } else { "NULL" }, Plain),
                ("COMMENT", Plain),
                (comment("INDEX_COMMENT"), Plain),
            ],
            &known("TABLE_NAME"),
        ),
        part(
            Rows::ForeignKeys,
            "KEY_COLUMN_USAGE",
            "TABLE_SCHEMA",
            vec![
                ("TABLE_NAME", Plain),
                ("CONSTRAINT_NAME", Plain),
                ("COLUMN_NAME", Plain),
                ("ORDINAL_POSITION", Plain),
                (
                    "IF(CAST(REFERENCED_TABLE_SCHEMA AS BINARY) = CAST(TABLE_SCHEMA AS BINARY), NULL, REFERENCED_TABLE_SCHEMA)",
                    Plain,
                ),
                ("REFERENCED_TABLE_NAME", Plain),
                ("REFERENCED_COLUMN_NAME", Plain),
            ],
            &format!("REFERENCED_TABLE_NAME IS NOT NULL AND {}", known("TABLE_NAME")),
        ),
        part(
            Rows::Rules,
            "REFERENTIAL_CONSTRAINTS",
            "CONSTRAINT_SCHEMA",
            vec![("TABLE_NAME", Plain), ("CONSTRAINT_NAME", Plain), ("UPDATE_RULE", Plain), ("DELETE_RULE", Plain)],
            &known("TABLE_NAME"),
        ),
        part(
            Rows::Partitions,
            "PARTITIONS",
            "TABLE_SCHEMA",
            vec![
                ("TABLE_NAME", Plain),
                ("PARTITION_NAME", Plain),
                ("SUBPARTITION_NAME", Plain),
                ("PARTITION_ORDINAL_POSITION", Plain),
                ("SUBPARTITION_ORDINAL_POSITION", Plain),
                ("PARTITION_METHOD", Plain),
                ("SUBPARTITION_METHOD", Plain),
                ("PARTITION_EXPRESSION", Plain),
                ("SUBPARTITION_EXPRESSION", Plain),
                ("PARTITION_DESCRIPTION", Plain),
                (comment("PARTITION_COMMENT"), Plain),
            ],
            &format!("PARTITION_NAME IS NOT NULL AND {}", known("TABLE_NAME")),
        ),
        part(
            Rows::Views,
            "VIEWS",
            "TABLE_SCHEMA",
            vec![
                ("TABLE_NAME", Plain),
                ("VIEW_DEFINITION", View),
                ("CHECK_OPTION", Plain),
                ("SECURITY_TYPE", Plain),
                (maria_or("ALGORITHM", "NULL"), Plain),
            ],
            &known("TABLE_NAME"),
        ),
        part(
            Rows::Triggers,
            "TRIGGERS",
            // The column by which MariaDB finds a database's triggers without a look at all of them.
            "EVENT_OBJECT_SCHEMA",
            vec![
                ("TRIGGER_NAME", Plain),
                ("EVENT_OBJECT_TABLE", Plain),
                ("ACTION_TIMING", Plain),
                ("EVENT_MANIPULATION", Plain),
                ("ACTION_ORDER", Plain),
                ("ACTION_STATEMENT", Mentioning),
                ("SQL_MODE", Not),
            ],
            &known("EVENT_OBJECT_TABLE"),
        ),
        part(
            Rows::Routines,
            "ROUTINES",
            "ROUTINE_SCHEMA",
            vec![
                ("SPECIFIC_NAME", Plain),
                ("ROUTINE_TYPE", Plain),
                ("DTD_IDENTIFIER", Plain),
                ("COLLATION_NAME", Plain),
                ("IS_DETERMINISTIC", Plain),
                ("SQL_DATA_ACCESS", Plain),
                ("SECURITY_TYPE", Plain),
                ("ROUTINE_DEFINITION", Mentioning),
                (comment("ROUTINE_COMMENT"), Plain),
                ("SQL_MODE", Not),
            ],
            "TRUE",
        ),
        part(
            Rows::Parameters,
            "PARAMETERS",
            "SPECIFIC_SCHEMA",
            vec![
                ("SPECIFIC_NAME", Plain),
                ("ROUTINE_TYPE", Plain),
                ("ORDINAL_POSITION", Plain),
                ("PARAMETER_MODE", Plain),
                ("PARAMETER_NAME", Plain),
                ("DTD_IDENTIFIER", Plain),
                ("COLLATION_NAME", Plain),
            ],
            "ORDINAL_POSITION > 0",
        ),
        part(
            Rows::Events,
            "EVENTS",
            "EVENT_SCHEMA",
            vec![
                ("EVENT_NAME", Plain),
                ("EVENT_TYPE", Plain),
                ("INTERVAL_VALUE", Plain),
                ("INTERVAL_FIELD", Plain),
                ("ENDS", Plain),
                ("STATUS", Plain),
                ("ON_COMPLETION", Plain),
                ("EVENT_DEFINITION", Mentioning),
                (comment("EVENT_COMMENT"), Plain),
                ("SQL_MODE", Not),
            ],
            "TRUE",
        ),
    ];
    // Whether a table has partitions: to look for them opens every table. And the sequences, whose options only they
    // themselves tell.
    parts[0].gathered =
        Some("MAX(o LIKE '%partitioned%'), GROUP_CONCAT(CASE WHEN t = 'SEQUENCE' THEN HEX(n) END ORDER BY n)");
    if flavor.has((10, 5, 10), (8, 0, 16)) {
        let columns = |level, enforced| {
            vec![
                ("TABLE_NAME", Plain),
                ("CONSTRAINT_NAME", Plain),
                (level, Plain),
                ("CHECK_CLAUSE", Mentioning),
                (enforced, Plain),
            ]
        };
        parts.push(if flavor.maria {
            let columns = columns("LEVEL", "'YES'");
            part(Rows::Checks, "CHECK_CONSTRAINTS", "CONSTRAINT_SCHEMA", columns, &known("TABLE_NAME"))
        } else {
            let joined = "TABLE_CONSTRAINTS JOIN information_schema.CHECK_CONSTRAINTS USING (CONSTRAINT_SCHEMA, \
                          CONSTRAINT_NAME)";
            let columns = columns("'Table'", "ENFORCED");
            let filter = format!("CONSTRAINT_TYPE = 'CHECK' AND {}", known("TABLE_NAME"));
            part(Rows::Checks, joined, "CONSTRAINT_SCHEMA", columns, &filter)
        });
    }
    if include.comments && flavor.maria && flavor.has((10, 5, 0), (0, 0, 0)) {
        let columns = vec![("SCHEMA_COMMENT", Plain)];
        parts.push(part(Rows::Database, "SCHEMATA", "SCHEMA_NAME", columns, "TRUE"));
    }
    if include.grants {
        let granted = ["GRANTEE", "PRIVILEGE_TYPE", "IS_GRANTABLE"].map(|column| (column, Plain));
        let of = |columns: &[&'static str]| columns.iter().map(|column| (*column, Plain)).chain(granted).collect();
        let known = known("TABLE_NAME");
        parts.push(part(Rows::DatabaseGrants, "SCHEMA_PRIVILEGES", "TABLE_SCHEMA", of(&[]), "TRUE"));
        parts.push(part(Rows::TableGrants, "TABLE_PRIVILEGES", "TABLE_SCHEMA", of(&["TABLE_NAME"]), &known));
        let columns = of(&["TABLE_NAME", "COLUMN_NAME"]);
        parts.push(part(Rows::ColumnGrants, "COLUMN_PRIVILEGES", "TABLE_SCHEMA", columns, &known));
    }
    parts
}

/// Leaves our and other tools' tables out. In binary: an accent makes another name.
fn known(table: &str) -> String {
    format!("CAST(LOWER({table}) AS BINARY) NOT IN ({})", sql::literals(LEFT_OUT))
}

impl Part {
    /// Reads the rows of these databases: the database's name, then the columns.
    pub fn rows(&self, databases: &[&str]) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|(column, _)| *column).collect();
        format!("SELECT {}, {} {}", self.schema, columns.join(", "), self.of(databases))
    }

    /// Reads a hash of each database's rows: the database's name, their number, two sums; of tables also whether one has
    /// partitions, and the names of sequences as hexadecimal digits.
    ///
    /// Sums, as rows have no order, and exact ones (`SUM` of integers is a decimal); each of the two has 60 bits of a
    /// SHA-256, so that a chance is none.
    pub fn hashes(&self, databases: &[&str]) -> String {
        let values: Vec<String> = self.columns.iter().flat_map(|(column, how)| self.hashed(column, *how)).collect();
        let of_rows = self.gathered.map_or("", |_| ", TABLE_TYPE AS t, TABLE_NAME AS n, CREATE_OPTIONS AS o");
        format!(
            "SELECT s, COUNT(*), SUM(CAST(CONV(LEFT(h, 15), 16, 10) AS UNSIGNED)), \
             SUM(CAST(CONV(RIGHT(h, 15), 16, 10) AS UNSIGNED)), {} FROM (SELECT CAST({} AS BINARY) AS s, \
             SHA2(CONCAT_WS(',', {}), 256) AS h{of_rows} {}) AS hashed GROUP BY s",
            self.gathered.unwrap_or("NULL, NULL"),
            self.schema,
            values.join(", "),
            self.of(databases)
        )
    }

    /// Writes values so that no two lists of them read alike: `QUOTE` escapes quotes and writes NULL as a word.
    fn hashed(&self, column: &str, how: Hashed) -> Vec<String> {
        let schema = self.schema;
        let mentioned = |text: &str, name: &str| format!("IF(INSTR({text}, {name}) > 0, QUOTE({schema}), '')");
        match how {
            Plain => vec![format!("QUOTE({column})")],
            Not => Vec::new(),
            Mentioning => vec![format!("QUOTE({column})"), mentioned(column, schema)],
            View => {
                let own = format!("CONCAT('`', REPLACE({schema}, '`', '``'), '`.`')");
                // What looks like a qualifier in a literal is none: then the hash is the database's own. On MySQL, whose
                // patterns are others, wherever there is a literal.
                let literals = match self.flavor.maria {
                    true => format!(
                        "REGEXP_REPLACE({column}, {}, {})",
                        sql::literal("(?s)('(?:[^'\\\\]|\\\\.)*')|[^'`]++|`[^`]*`"),
                        sql::literal("\\1")
                    ),
                    false => column.to_owned(),
                };
                let literals = format!("IF(INSTR({column}, '\\'') = 0, '', {literals})");
                vec![format!("QUOTE(REPLACE({column}, {own}, '`'))"), mentioned(&literals, &own)]
            }
        }
    }

    fn of(&self, databases: &[&str]) -> String {
        let mut names: Vec<String> = databases.iter().map(|name| (*name).to_owned()).collect();
        if self.rows == Rows::DatabaseGrants {
            names.extend(
                databases.iter().map(|name| pattern(name)).filter(|name| !names.contains(name)).collect::<Vec<_>>(),
            );
        }
        let among = sql::among(self.schema, names.iter().map(String::as_str));
        format!("FROM information_schema.{} WHERE {among} AND {}", self.from, self.filter)
    }
}

/// Returns the pattern that grants on exactly one database are kept under.
pub(super) fn pattern(database: &str) -> String {
    database.replace('_', "\\_").replace('%', "\\%")
}

/// Reads a sequence's options, after `key`.
pub(super) fn select_sequence(database: &str, sequence: &str, key: usize) -> String {
    format!(
        "SELECT {key}, {}, start_value, minimum_value, maximum_value, increment, cache_size, cycle_option FROM {}",
        sql::literal(sequence),
        sql::table(database, sequence)
    )
}
