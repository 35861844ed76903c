//! Which kinds of objects there are at all: what no schema has need not be looked for. To plan a question about
//! everything takes longer than to answer it, for a schema of tables and indexes several times as long.

use crate::engine::postgres::sql::literal;
use crate::engine::tables::LEFT_OUT;
use crate::schema::Kind;

use super::parts::Part;

/// A set of letters: the kinds of `pg_class`, and what [`Present::question`] says with others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present(u64);

impl Present {
    /// Everything may be there.
    pub const ALL: Self = Self(u64::MAX);

    /// Asks about the schemas with these names, each an SQL expression: one row of one text. Says too much of some,
    /// where another schema of the database has such a thing or a relation once had, and never too little.
    ///
    /// Own objects have numbers from 16384 on, by which functions are found without reading the server's.
    /// <https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT>
    pub fn question(names: &[String]) -> String {
        let left_out: Vec<String> = LEFT_OUT.iter().map(|name| literal(name)).collect();
        let exists = |letter: char, from: &str| format!("CASE WHEN EXISTS (SELECT FROM {from}) THEN '{letter}' END");
        let cells = [
            "(SELECT pg_catalog.string_agg(DISTINCT pg_catalog.concat(c.relkind, CASE WHEN c.relhastriggers THEN 'T' END, \
             CASE WHEN c.relhasrules THEN 'R' END, CASE WHEN c.reloptions IS NOT NULL THEN 'O' END), '') \
             FROM pg_catalog.pg_class c WHERE c.relkind <> 'S' AND c.relnamespace IN (SELECT h.oid FROM home h))"
                .to_owned(),
            "(SELECT pg_catalog.string_agg(DISTINCT CASE p.prokind WHEN 'p' THEN 'P' WHEN 'a' THEN 'A' ELSE 'F' END, '') \
             FROM pg_catalog.pg_proc p WHERE p.oid >= 16384 AND p.pronamespace IN (SELECT h.oid FROM home h))"
                .to_owned(),
            exists(
                'D',
                "pg_catalog.pg_type t WHERE t.typtype IN ('e', 'd', 'r') AND t.typnamespace IN (SELECT h.oid FROM home h)",
            ),
            // Not the one of our own journal, which every tenant has.
            exists(
                'S',
                &format!(
                    "pg_catalog.pg_class s WHERE s.relkind = 'S' AND s.relnamespace IN (SELECT h.oid FROM home h) \
                     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class t ON t.oid = d.refobjid \
                     WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.oid AND d.deptype = 'i' \
                     AND d.refclassid = 'pg_catalog.pg_class'::regclass AND pg_catalog.lower(t.relname) IN ({}))",
                    left_out.join(", ")
                ),
            ),
            exists('E', "pg_catalog.pg_extension e WHERE e.extnamespace <> 11"),
            exists('H', "pg_catalog.pg_inherits"),
            exists('Y', "pg_catalog.pg_policy"),
            exists('X', "pg_catalog.pg_statistic_ext"),
        ];
        format!(
            "WITH home AS (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY (ARRAY[{}]::text[])) \
             SELECT pg_catalog.concat({})",
            names.join(", "),
            cells.join(", ")
        )
    }

    /// Reads the answer; without one everything may be there.
    pub fn of(rows: &[Vec<Option<String>>]) -> Self {
        let Some(Some(letters)) = rows.first().and_then(|row| row.first()) else { return Self::ALL };
        letters.bytes().fold(Self(0), |Self(set), letter| Self(set | bit(letter)))
    }

    /// Whether anything with one of these letters may be there.
    pub fn any(self, letters: &str) -> bool {
        letters.bytes().any(|letter| self.0 & bit(letter) != 0)
    }

    /// Whether there may be objects of a part.
    pub fn may_have(self, part: &Part) -> bool {
        match part.kind {
            Kind::Schema => true,
            Kind::Extension => self.any("E"),
            Kind::Enum | Kind::Domain | Kind::Range => self.any("D"),
            Kind::Composite => self.any("c"),
            Kind::Table => self.any("rp"),
            Kind::ForeignTable => self.any("f"),
            Kind::View => self.any("v"),
            Kind::MaterializedView => self.any("m"),
            Kind::Sequence => self.any("S"),
            Kind::Column => self.any("rpfvm"),
            Kind::Constraint if part.is_of_type() => self.any("D"),
            Kind::Constraint => self.any("rpfvm"),
            Kind::Index => self.any("iI"),
            Kind::Trigger => self.any("T"),
            Kind::Policy => self.any("Y"),
            Kind::Rule => self.any("R"),
            Kind::Statistics => self.any("X"),
            Kind::Function => self.any("F"),
            Kind::Procedure => self.any("P"),
            Kind::Aggregate => self.any("A"),
            // Other engines'.
            _ => true,
        }
    }
}

/// Letters stand between `A` and `z`; a stranger one stands for all.
fn bit(letter: u8) -> u64 {
    letter.checked_sub(b'A').filter(|at| *at < 64).map_or(u64::MAX, |at| 1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_not_there_and_without_an_answer_all_is() {
        let present = Present::of(&[vec![Some("riTH".into())]]);
        assert!(present.any("rp") && present.any("T") && !present.any("vm") && !present.any("S"));
        assert!(Present::of(&[]).any("S") && Present::of(&[vec![Some("é".into())]]).any("S"));
        assert!(!Present::of(&[vec![Some(String::new())]]).any("rpfvmcSDEFPATROHYX"));
    }
}
