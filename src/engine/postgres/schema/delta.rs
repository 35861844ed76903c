//! The questions about what transactions touched: see [`super::gauge`].

use crate::schema::Kind;

use super::catalog::{Catalog, Wanted, in_own_schema, schemas, sums};

impl Catalog {
    /// Asks which kinds of objects transactions since `mark` touched, anywhere in the database: their parts' numbers.
    /// Relations, columns, constraints and indexes are not asked about; nearly every change is one of theirs.
    pub fn signs(&self, mark: u64) -> String {
        let kinds = |sign: &'static [Kind]| {
            let parts = self.parts().into_iter().enumerate();
            parts.filter(|(_, part)| sign.contains(&part.kind)).map(|(no, _)| no.to_string()).collect::<Vec<_>>()
        };
        let signs: Vec<String> = SIGNS
            .iter()
            .map(|(catalogs, sign)| {
                let touched = catalogs.split('|').map(|from| format!("EXISTS (SELECT FROM pg_catalog.{from})"));
                let touched = touched.collect::<Vec<_>>().join(" OR ");
                format!("SELECT unnest(ARRAY[{}]::int[]) WHERE {touched}", kinds(sign).join(", "))
            })
            .collect();
        fresh(&signs.join("\nUNION ALL "), mark)
    }

    /// Asks for the sums of hashes of what transactions since `mark` touched in each schema, of the parts with these
    /// numbers and of those that are not asked about.
    pub fn delta(&self, wanted: &[Wanted], mark: u64, touched: &[usize]) -> String {
        let asked = |kind: Kind| SIGNS.iter().any(|(_, kinds)| kinds.contains(&kind));
        let parts = self.parts().into_iter().enumerate();
        let mut rows: Vec<String> = parts
            .filter(|(no, part)| touched.contains(no) || !asked(part.kind))
            .map(|(no, part)| self.text(no, part, Some(mark)))
            .collect();
        rows.push(
            "SELECT c.idx, ROW(c.relname, a.attname, a.attnum)::text AS r FROM rel c JOIN pg_catalog.pg_attribute a \
             ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.oid IN (SELECT relation FROM altered)"
                .to_owned(),
        );
        fresh(&format!("{} {}", self.with(wanted, Some(mark)), sums(&rows)), mark)
    }

    /// Asks for a sum of hashes of all names in each schema: what is dropped leaves nothing else.
    pub fn names(&self, wanted: &[Wanted]) -> String {
        let rows = NAMES.map(|(ns, names, from)| {
            format!("SELECT {ns} AS ns, pg_catalog.hashtextextended({names}, 0) AS h FROM {from}")
        });
        let sql = format!(
            "WITH {} SELECT c.idx, pg_catalog.sum(x.h), 0 FROM ({}) AS x JOIN wanted c ON c.ns = x.ns GROUP BY c.idx",
            schemas(wanted),
            rows.join("\nUNION ALL "),
        );
        in_own_schema(&sql)
    }
}

/// The relations of which a column was touched. From an array the planner expects few rows, which they are.
pub(super) const ALTERED: &str = "altered AS (SELECT unnest(ARRAY(SELECT DISTINCT a.attrelid FROM pg_catalog.pg_attribute a \
    WHERE a.attnum > 0 AND ~a)) AS relation)";

/// What tells that objects of these kinds were touched: rows of catalogs.
const SIGNS: [(&str, &[Kind]); 9] = [
    ("pg_namespace n WHERE ~n", &[Kind::Schema]),
    ("pg_extension e WHERE ~e", &[Kind::Extension]),
    (
        "pg_type t WHERE t.typtype IN ('e', 'd', 'r') AND ~t|pg_enum e WHERE ~e|pg_class c WHERE c.relkind = 'c' AND ~c",
        &[Kind::Enum, Kind::Domain, Kind::Range, Kind::Composite],
    ),
    ("pg_foreign_table f WHERE ~f", &[Kind::ForeignTable]),
    (
        "pg_rewrite r WHERE ~r|pg_class c WHERE c.relkind IN ('v', 'm') AND ~c",
        &[Kind::View, Kind::MaterializedView, Kind::Rule],
    ),
    ("pg_trigger t WHERE NOT t.tgisinternal AND ~t", &[Kind::Trigger]),
    ("pg_policy p WHERE ~p", &[Kind::Policy]),
    ("pg_statistic_ext s WHERE ~s", &[Kind::Statistics]),
    ("pg_proc p WHERE ~p", &[Kind::Function, Kind::Procedure, Kind::Aggregate]),
];

/// What has a name, with that of its relation: the schema, the names, from where.
const NAMES: [(&str, &str, &str); 10] = [
    (
        "c.relnamespace",
        "c.relname || c.relkind::text",
        "pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c', 'i', 'I') AND c.relpersistence <> 't'",
    ),
    (
        "o.connamespace",
        "c.relname || '.' || o.conname",
        "pg_catalog.pg_constraint o JOIN pg_catalog.pg_class c ON c.oid = o.conrelid",
    ),
    (
        "c.relnamespace",
        "c.relname || '.t.' || t.tgname",
        "pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal",
    ),
    (
        "c.relnamespace",
        "c.relname || '.p.' || p.polname",
        "pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid",
    ),
    (
        "c.relnamespace",
        "c.relname || '.r.' || r.rulename",
        "pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE r.rulename <> '_RETURN'",
    ),
    (
        "c.relnamespace",
        "c.relname || '.h.' || i.inhseqno || '.' || t.relname",
        "pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid \
         JOIN pg_catalog.pg_class t ON t.oid = i.inhparent",
    ),
    (
        "t.typnamespace",
        "t.typname || '.' || t.typtype::text || COALESCE(o.conname, '')",
        "pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_constraint o ON o.contypid = t.oid AND o.contypid <> 0 \
         WHERE t.typtype IN ('e', 'd', 'r')",
    ),
    (
        "c.ns",
        "p.proname || '(' || CASE WHEN 16384 > ALL (p.proargtypes) THEN p.proargtypes::text \
         ELSE @{pg_catalog.oidvectortypes(p.proargtypes)} END",
        "wanted c JOIN pg_catalog.pg_proc p ON p.pronamespace = c.ns",
    ),
    ("s.stxnamespace", "s.stxname || '.s'", "pg_catalog.pg_statistic_ext s"),
    (
        "c.ns",
        "e.extname || '.e'",
        "wanted c JOIN pg_catalog.pg_extension e ON e.extnamespace = c.ns OR c.whole AND e.extnamespace <> 11",
    ),
];

/// The relations that transactions touched, or something that belongs to them.
pub(super) const TOUCHED: &str = "touched AS (SELECT unnest(ARRAY(SELECT c.oid FROM pg_catalog.pg_class c WHERE ~c \
    UNION SELECT a.relation FROM altered a \
    UNION SELECT o.conrelid FROM pg_catalog.pg_constraint o WHERE ~o \
    UNION SELECT unnest(ARRAY[i.indexrelid, i.indrelid]) FROM pg_catalog.pg_index i WHERE ~i \
    UNION SELECT t.tgrelid FROM pg_catalog.pg_trigger t WHERE ~t \
    UNION SELECT r.ev_class FROM pg_catalog.pg_rewrite r WHERE ~r \
    UNION SELECT p.polrelid FROM pg_catalog.pg_policy p WHERE ~p \
    UNION SELECT s.stxrelid FROM pg_catalog.pg_statistic_ext s WHERE ~s \
    UNION SELECT f.ftrelid FROM pg_catalog.pg_foreign_table f WHERE ~f \
    UNION SELECT unnest(ARRAY[s.seqrelid, d.refobjid]) FROM pg_catalog.pg_sequence s LEFT JOIN pg_catalog.pg_depend d \
    ON d.objid = s.seqrelid AND d.objsubid = 0 AND d.classid = 'pg_catalog.pg_class'::regclass \
    AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'i' WHERE ~s)) AS oid)";

/// Turns each `~x` into "the row `x` is of a transaction that `mark` did not know as ended". Wrong only in the harmless
/// direction, however old the row.
fn fresh(sql: &str, mark: u64) -> String {
    let mark = mark as u32;
    let mut made = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('~') {
        let alias = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).len();
        made.push_str(before);
        made.push_str(&format!("pg_catalog.age({}.xmin) <= (SELECT pg_catalog.age('{mark}'::xid))", &after[..alias]));
        rest = &after[alias..];
    }
    made + rest
}
