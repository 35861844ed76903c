//! The questions to the catalogs. Each is one statement for all schemas of a database, and reads every catalog once or
//! twice, however many schemas there are.

use crate::engine::tables::LEFT_OUT;
use crate::schema::Include;

use super::super::sql::literal;
use super::delta::{ALTERED, TOUCHED};
use super::parts::{BELONGING, Part, RELATIONS};
use super::parts_types::{EXTENSION, ROUTINES, SCHEMA, TYPES};
use super::present::Present;

/// A schema to be looked at: its OID, and whether the whole database is its tenant's.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub oid: String,
    pub schema: String,
    pub whole: bool,
}

/// What the questions depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Catalog {
    /// `server_version_num`.
    pub version: u32,
    pub include: Include,
    /// What is looked for.
    pub present: Present,
}

/// Begins the transaction of a look: all its questions see one moment.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n";

/// Stands before every question: expressions must read the same whatever the session's settings, and nothing may be
/// called by a name of somebody's own. The estimates for these questions are far too high for compiling them.
/// <https://www.postgresql.org/docs/current/jit-decision.html>
pub(super) const LOOKING: &str = "SET LOCAL search_path = pg_catalog;\nSET LOCAL DateStyle = 'ISO, YMD';\nSET LOCAL IntervalStyle = 'postgres';\n\
    SET LOCAL TimeZone = 'UTC';\nSET LOCAL extra_float_digits = 1;\nSET LOCAL bytea_output = 'hex';\n\
    SET LOCAL xmlbinary = 'base64';\nSET LOCAL standard_conforming_strings = on;\nSET LOCAL quote_all_identifiers = off;\nSET LOCAL jit = off;\n\
    SET LOCAL work_mem = '64MB';\nSET LOCAL lock_timeout = '60s';\nSET LOCAL statement_timeout = '120s';\n";

/// Stands before every further question of a transaction: the one before has left the search_path at a tenant's schema,
/// and an operator of that schema would be called in place of the system's, with the rights of who asks.
/// <https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATTERNS>
pub(super) const AGAIN: &str = "SET LOCAL search_path = pg_catalog;\n";

/// Asks before which transaction all have ended, for the snapshot of the questions after it.
/// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT>
pub(super) const HORIZON: &str = "SELECT pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot());\n";

/// How many attributes a row has room for.
pub(super) const WIDTH: usize = 16;

impl Catalog {
    /// Returns all parts, in an order that is the same for one include.
    pub fn parts(&self) -> Vec<&'static Part> {
        let mut parts: Vec<&'static Part> = Vec::new();
        if self.include.comments || self.include.grants {
            parts.push(&SCHEMA);
        }
        parts.push(&EXTENSION);
        parts.extend(TYPES.iter().chain(&RELATIONS).chain(&BELONGING).chain(&ROUTINES));
        parts
    }

    /// Returns the parts of which there may be objects, with their numbers.
    pub fn looked_for(&self) -> impl Iterator<Item = (usize, &'static Part)> {
        let present = self.present;
        self.parts().into_iter().enumerate().filter(move |(_, part)| present.may_have(part))
    }

    /// Asks for two sums of hashes of each schema's rows: its index, then the sums.
    pub fn hashes(&self, wanted: &[Wanted]) -> String {
        let rows: Vec<String> = self.looked_for().map(|(no, part)| self.text(no, part, None)).collect();
        format!("{} {}", self.with(wanted, None), sums(&rows))
    }

    /// Asks for each schema's rows: its index, the part's number, parent, name, attributes, comment, grants.
    pub fn rows(&self, wanted: &[Wanted]) -> String {
        let rows = self.looked_for().map(|(no, part)| {
            let mut cells: Vec<String> = part.attributes.iter().map(|(_, sql)| (*sql).to_owned()).collect();
            cells.resize(WIDTH - 2, "NULL".to_owned());
            cells.extend(self.asked_for(part).map(|cell| cell.unwrap_or("NULL".into())));
            let cells: Vec<String> = cells.iter().map(|cell| format!("({cell})::text")).collect();
            let parent = if part.parent.is_empty() { "NULL" } else { part.parent };
            let sql = format!(
                "SELECT c.idx, {no}, ({parent})::text, ({})::text, {} FROM {}",
                part.name,
                cells.join(", "),
                part.from
            );
            self.filled(&sql)
        });
        format!("{} {}", self.with(wanted, None), rows.collect::<Vec<_>>().join("\nUNION ALL "))
    }

    /// One part's rows as index and text.
    pub(super) fn text(&self, no: usize, part: &Part, mark: Option<u64>) -> String {
        let mut cells: Vec<String> = Vec::new();
        if !part.parent.is_empty() {
            cells.push(part.parent.to_owned());
        }
        cells.push(part.name.to_owned());
        cells.extend(part.attributes.iter().map(|(_, sql)| (*sql).to_owned()));
        cells.extend(self.asked_for(part).into_iter().flatten());
        let touched = if mark.is_some() { format!(" AND ({})", part.touched) } else { String::new() };
        let from = match mark {
            // Also of what has columns that are no objects of their own.
            Some(_) => part.from.replace("{columns}", "true"),
            None => part.from.to_owned(),
        };
        let sql = format!("SELECT c.idx, ROW({no}, {})::text AS r FROM {from}{touched}", cells.join(", "));
        self.filled(&sql)
    }

    /// The expressions of what is read on request.
    fn asked_for(&self, part: &Part) -> [Option<String>; 2] {
        let comment = part.comment.filter(|_| self.include.comments).map(|(catalog, object, column)| {
            format!(
                "(SELECT description FROM pg_catalog.pg_description WHERE classoid = 'pg_catalog.{catalog}'::regclass \
                 AND objoid = {object} AND objsubid = {column})"
            )
        });
        let grants = part.grants.filter(|_| self.include.grants).map(|(letter, list, owner)| {
            let words = |list: &str| format!("COALESCE({}, 'nothing')", granted(list, owner));
            format!(
                "CASE WHEN {list} IS NOT NULL THEN NULLIF({}, {}) END",
                words(list),
                words(&format!("pg_catalog.acldefault('{letter}', {owner})"))
            )
        });
        [comment, grants]
    }

    /// Returns the tables that all parts speak of.
    pub(super) fn with(&self, wanted: &[Wanted], mark: Option<u64>) -> String {
        let left_out: Vec<String> = LEFT_OUT.iter().map(|name| literal(name)).collect();
        let fresh = if mark.is_some() { "~c" } else { "false" };
        let left_out = left_out.join(", ");
        let relations = match mark {
            Some(_) => format!(
                "{ALTERED}, {TOUCHED}, left_out AS (SELECT c.oid FROM touched t JOIN pg_catalog.pg_class c ON c.oid = t.oid \
                 WHERE pg_catalog.lower(c.relname) IN ({left_out}))"
            ),
            None => format!(
                "left_out AS (SELECT c.oid FROM wanted w JOIN pg_catalog.pg_class c ON c.relnamespace = w.ns \
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_catalog.lower(c.relname) IN ({left_out}))"
            ),
        };
        let of = if mark.is_some() { "JOIN touched ON touched.oid = c.oid" } else { "" };
        let sql = format!(
            "WITH {}, {relations}, \
             member AS (SELECT d.classid, d.objid FROM pg_catalog.pg_depend d \
             WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'), \
             rel AS (SELECT w.idx, w.ns, w.nspname, w.q, c.oid, c.relname, c.reltype, c.reloftype, c.relowner, c.relkind, \
             c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relispopulated, c.relreplident, \
             c.relispartition, c.relacl, c.reloptions, c.relpartbound, {fresh} AS fresh \
             FROM pg_catalog.pg_class c {of} JOIN wanted w ON c.relnamespace = w.ns \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c', 'i', 'I') AND c.relpersistence <> 't' \
             AND c.oid NOT IN (SELECT o.oid FROM left_out o) AND {{member c pg_class}})",
            schemas(wanted),
        );
        self.filled(&sql)
    }

    /// Fills the places in a part's SQL.
    fn filled(&self, sql: &str) -> String {
        let mut sql = sql.to_owned();
        for (place, text) in [
            ("{columns}", self.columns()),
            ("{generated}", (if self.version >= 120_000 { "a.attgenerated" } else { "''" }).to_owned()),
            (
                "{body}",
                match self.version >= 140_000 {
                    true => "COALESCE(@{pg_catalog.pg_get_function_sqlbody(p.oid)}, p.prosrc)",
                    false => "p.prosrc",
                }
                .to_owned(),
            ),
            (
                "{multirange}",
                match self.version >= 140_000 {
                    true => "@{pg_catalog.format_type(r.rngmultitypid, NULL)}",
                    false => "NULL",
                }
                .to_owned(),
            ),
            ("{storage}", if self.present.any("O") { STORAGE } else { "''" }.to_owned()),
            ("{parents}", if self.present.any("H") { PARENTS } else { "NULL::text" }.to_owned()),
            ("{identity of column}", if self.present.any("S") { IDENTITY_OF_COLUMN } else { "NULL::text" }.to_owned()),
            ("{identity}", identity()),
            ("{sequence of column}", SEQUENCE_OF_COLUMN.to_owned()),
        ] {
            sql = sql.replace(place, &text);
        }
        for (name, option) in sequence() {
            sql = sql.replace(&format!("{{{name}}}"), &option);
        }
        for (of, kind) in
            [("a.attcollation", "a.atttypid"), ("t.typcollation", "t.typbasetype"), ("r.rngcollation", "r.rngsubtype")]
        {
            sql = sql.replace(&format!("{{collation {of} {kind}}}"), &collation(of, kind));
        }
        for (alias, catalog) in [("c", "pg_class"), ("t", "pg_type"), ("p", "pg_proc")] {
            let outside = format!(
                "{alias}.oid NOT IN (SELECT m.objid FROM member m WHERE m.classid = 'pg_catalog.{catalog}'::regclass)"
            );
            sql = sql.replace(&format!("{{member {alias} {catalog}}}"), &outside);
        }
        in_own_schema(&sql)
    }

    /// Which columns are objects: those of tables; those of views only where something is true of them alone.
    fn columns(&self) -> String {
        let mut of_views = vec!["a.atthasdef"];
        if self.include.grants {
            of_views.push("a.attacl IS NOT NULL");
        }
        if self.include.comments {
            of_views.push(
                "EXISTS (SELECT FROM pg_catalog.pg_description x WHERE x.classoid = 'pg_catalog.pg_class'::regclass \
                 AND x.objoid = c.oid AND x.objsubid = a.attnum)",
            );
        }
        format!("(c.relkind IN ('r', 'p', 'f') OR c.relkind IN ('v', 'm') AND ({}))", of_views.join(" OR "))
    }
}

/// An identity column's sequence.
const SEQUENCE_OF_COLUMN: &str = "pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid \
    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum \
    AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'i'";

/// The options of an identity column's sequence; nothing where all are the defaults.
const IDENTITY_OF_COLUMN: &str = "(SELECT NULLIF({identity}, '') FROM {sequence of column})";

/// Returns the schemas, numbered from 1.
/// `q` is the search_path for what the server writes out. `pg_catalog` is not in it, and so stands before it: the
/// server's own functions that write out views look up operators by it.
pub(super) fn schemas(wanted: &[Wanted]) -> String {
    let oids: Vec<&str> = wanted.iter().map(|wanted| wanted.oid.as_str()).collect();
    let whole: Vec<&str> = wanted.iter().map(|wanted| if wanted.whole { "true" } else { "false" }).collect();
    format!(
        "wanted AS (SELECT s.at AS idx, n.oid AS ns, n.nspname, s.whole, \
         pg_catalog.quote_ident(n.nspname) AS q \
         FROM unnest(ARRAY[{}]::oid[], ARRAY[{}]::bool[]) WITH ORDINALITY AS s (oid, whole, at) \
         JOIN pg_catalog.pg_namespace n ON n.oid = s.oid)",
        oids.join(", "),
        whole.join(", "),
    )
}

/// Storage options are in the definitions of indexes; this is how they stand there.
const STORAGE: &str = "CASE WHEN x.reloptions IS NULL THEN '' ELSE ' WITH (' || (SELECT pg_catalog.string_agg(\
    pg_catalog.quote_ident(o.option_name) || '=' || CASE WHEN pg_catalog.quote_ident(o.option_value) = o.option_value \
    THEN o.option_value ELSE pg_catalog.quote_literal(o.option_value) END, ', ') \
    FROM pg_catalog.pg_options_to_table(x.reloptions) AS o) || ')' END";

/// What a relation is a partition or child of.
const PARENTS: &str = "CASE WHEN c.oid IN (SELECT i.inhrelid FROM pg_catalog.pg_inherits i) THEN \
    (SELECT pg_catalog.string_agg(@{i.inhparent::regclass::text}, ', ' ORDER BY i.inhseqno) \
    FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) END";

/// Returns the name of a collation where it is not its type's own. 100 is the database's, as of most types.
fn collation(of: &str, kind: &str) -> String {
    format!(
        "CASE WHEN {of} NOT IN (0, 100) AND {of} <> (SELECT y.typcollation FROM pg_catalog.pg_type y \
         WHERE y.oid = {kind}) THEN (SELECT CASE WHEN o.collnamespace IN (c.ns, 11) THEN '' \
         ELSE pg_catalog.quote_ident(m.nspname) || '.' END || pg_catalog.quote_ident(o.collname) \
         FROM pg_catalog.pg_collation o JOIN pg_catalog.pg_namespace m ON m.oid = o.collnamespace \
         WHERE o.oid = {of}) END"
    )
}

/// Returns a sequence's options where they are not the defaults, which depend on its type and direction.
/// <https://www.postgresql.org/docs/current/sql-createsequence.html>
fn sequence() -> [(&'static str, String); 5] {
    let top = "CASE s.seqtypid WHEN 21 THEN 32767 WHEN 23 THEN 2147483647 ELSE 9223372036854775807 END";
    let bottom = "CASE s.seqtypid WHEN 21 THEN -32768 WHEN 23 THEN -2147483648 ELSE -9223372036854775808 END";
    let up = |up: &str, down: &str| format!("CASE WHEN s.seqincrement > 0 THEN {up} ELSE {down} END");
    [
        ("start", "s.seqstart", up("s.seqmin", "s.seqmax")),
        ("increment", "s.seqincrement", "1".to_owned()),
        ("minimum", "s.seqmin", up("1", bottom)),
        ("maximum", "s.seqmax", up(top, "-1")),
        ("cache", "s.seqcache", "1".to_owned()),
    ]
    .map(|(name, is, default)| (name, format!("NULLIF({is}, {default})::text")))
}

/// Returns the options of an identity column's sequence where they are not the defaults: a text, empty without any.
fn identity() -> String {
    let options = sequence().map(|(name, option)| format!("'{name} ' || {option}"));
    format!("pg_catalog.concat_ws(' ', {}, CASE WHEN s.seqcycle THEN 'cycle' END)", options.join(", "))
}

/// Returns privileges in words, sorted; the owner is not named.
fn granted(list: &str, owner: &str) -> String {
    let role = |role: &str| {
        format!(
            "CASE g.{role} WHEN 0 THEN 'public' WHEN {owner} THEN '<owner>' \
             ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.{role})) END"
        )
    };
    format!(
        "(SELECT pg_catalog.string_agg(w.words, '; ' ORDER BY w.words) FROM (SELECT {} || '=' || pg_catalog.string_agg(\
         g.privilege_type || CASE WHEN g.is_grantable THEN '*' ELSE '' END, ',' ORDER BY g.privilege_type) || '/' || {} \
         AS words FROM pg_catalog.aclexplode({list}) AS g GROUP BY g.grantee, g.grantor) AS w)",
        role("grantee"),
        role("grantor"),
    )
}

/// Puts each `@{…}` into the schema of its row: names in it then come without that schema, and with any other.
///
/// What a function prints depends on the search_path at its call, and the branch of a CASE is worked out after its
/// condition. <https://www.postgresql.org/docs/current/functions-conditional.html#FUNCTIONS-CASE>
pub(super) fn in_own_schema(sql: &str) -> String {
    let mut made = String::with_capacity(sql.len() * 2);
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once("@{") {
        let (inside, after) = after.split_once('}').unwrap_or((after, ""));
        made.push_str(before);
        made.push_str(
            "CASE WHEN pg_catalog.current_setting('search_path') = c.q \
             OR pg_catalog.set_config('search_path', c.q, true) IS NOT NULL THEN ",
        );
        made.push_str(inside);
        made.push_str(" END");
        rest = after;
    }
    made.push_str(rest);
    made
}

/// Sums hashes of rows, for each schema: no order is needed, and two seeds make 128 bits.
pub(super) fn sums(rows: &[String]) -> String {
    format!(
        "SELECT idx, pg_catalog.sum(pg_catalog.hashtextextended(r, 0)), pg_catalog.sum(pg_catalog.hashtextextended(r, 1)) \
         FROM ({}) AS x GROUP BY idx",
        rows.join("\nUNION ALL ")
    )
}
