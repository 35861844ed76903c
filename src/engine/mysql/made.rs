//! What is known of a table because the text has just made it.
//!
//! Pure. A question to the catalogs opens the table; where the text leaves no doubt, none is asked.

use crate::sql::{Dialect, Probe, Thing, Trace, trace};

/// A table that the text has just made, and all that was said of it since, in lower case.
pub(super) struct Made {
    table: String,
    texts: String,
}

impl Made {
    /// Reads `CREATE TABLE` that names all that the table has.
    pub fn by(statement: &str, dialect: Dialect) -> Option<Self> {
        let texts = statement.to_ascii_lowercase();
        let Trace::Things(probes) = trace(statement, dialect) else { return None };
        let [Probe { thing: Thing::Relation("table", table), makes: true, guarded: false }] = &probes[..] else {
            return None;
        };
        // Another table's, or another system's, indexes come with these.
        let is_whole = texts.starts_with("create") && !["like", "engine"].iter().any(|word| texts.contains(word));
        is_whole.then(|| Self { table: table.clone(), texts })
    }

    /// Whether a statement, in lower case, may take the table away, and give its name to another.
    pub fn may_end_by(text: &str) -> bool {
        ["drop", "rename"].iter().any(|word| text.contains(word))
    }

    /// Keeps in mind what else was said, in lower case.
    pub fn add(&mut self, text: &str) {
        self.texts.push_str(text);
    }

    /// Whether a thing is known not to be there: an index of this table of which nobody has spoken yet. The server calls
    /// an index without a name after its column, with a number behind, or after its constraint.
    pub fn lacks(&self, probe: &Probe) -> bool {
        const OWN: [&str; 4] = ["primary", "functional_index", "fts_doc_id", "ibfk"];
        let Thing::Index { table: Some(table), name } = &probe.thing else { return false };
        let name = name.to_ascii_lowercase();
        let stem = name.trim_end_matches(|last: char| last.is_ascii_digit()).trim_end_matches('_');
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        *table == self.table
            && probe.makes
            && is_plain
            && !stem.is_empty()
            && !self.texts.contains(stem)
            && !OWN.iter().any(|own| name.contains(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::SqlMode;

    fn dialect() -> Dialect {
        Dialect::MySql(SqlMode::default())
    }

    fn index(table: &str, name: &str) -> Probe {
        let thing = Thing::Index { table: Some(table.into()), name: name.into() };
        Probe { thing, makes: true, guarded: false }
    }

    #[test]
    fn an_index_that_the_text_has_not_spoken_of_is_not_there() {
        let mut made = Made::by("CREATE TABLE T (id int PRIMARY KEY, `at` date, UNIQUE (note))", dialect()).unwrap();
        assert!(made.lacks(&index("T", "T_at_x")) && made.lacks(&index("T", "by_day")));
        // The server calls an index after its column.
        assert!(
            !made.lacks(&index("T", "note")) && !made.lacks(&index("T", "Note_2")) && !made.lacks(&index("T", "at"))
        );
        assert!(!made.lacks(&index("T", "PRIMARY")) && !made.lacks(&index("T", "T_ibfk_1")));
        assert!(!made.lacks(&index("t", "by_day")) && !made.lacks(&index("T", "by day")));
        assert!(!made.lacks(&Probe { makes: false, ..index("T", "by_day") }));
        made.add("create index by_day on t (at)");
        assert!(!made.lacks(&index("T", "by_day")));
    }

    #[test]
    fn only_a_table_whose_text_says_all_of_it_is_known() {
        for text in [
            "CREATE TABLE IF NOT EXISTS t (id int)",
            "CREATE TABLE t LIKE u",
            "CREATE TABLE t (id int) ENGINE=CONNECT",
            "CREATE TABLE t AS SELECT 1",
            "CREATE VIEW t AS SELECT 1",
            "RENAME TABLE u TO t",
        ] {
            assert!(Made::by(text, dialect()).is_none(), "{text}");
        }
    }
}
