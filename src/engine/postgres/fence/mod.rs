//! The fence: what a text reached outside of its tenant, found before the text is committed.
//!
//! PostgreSQL keeps every lock on a table until the transaction ends, and every row of a catalog that was written bears
//! the transaction's number. Before the text a cursor is declared: its snapshot is from then, while `pg_locks`, a
//! function, is read when the first row is fetched. After the text a block fetches it, and so names what was there
//! before and is locked now, dropped tables too; then it looks at what is there now, and raises an error. All of it rides
//! in the changeset's own message. <https://www.postgresql.org/docs/current/view-pg-locks.html>
//!
//! What it cannot see: large objects, other servers (`dblink`, `COPY … TO PROGRAM`, untrusted languages), columns' rights
//! granted by code without the word, and a text that forges the cursor.

mod names;
mod told;

use crate::changeset::{Directives, Touched};
use crate::engine::Order;
use crate::engine::tables::{HISTORY, JOURNAL};
use crate::sql::is_plain;

use super::apply::mentions;
use super::sql::literal;

pub(super) use names::outside_by_name;
pub(super) use told::stopped;

/// The SQLSTATE that the block raises.
const STATE: &str = "MT214";

/// How many findings are shown.
const SHOWN: usize = 12;

/// The longest text that is looked through for words, in bytes.
const LOOKED_THROUGH: usize = 1 << 20;

/// Locks that change nothing: those of readers, and of the check that a referred row is there.
/// <https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES>
const READS: &str = "l.mode IN ('AccessShareLock', 'RowShareLock')";

/// Catalogs of what is no table: the column with its schema, and which rows to pass over.
const CATALOGS: [(&str, &str, &str); 25] = [
    ("pg_proc", "c.pronamespace", ""),
    ("pg_type", "c.typnamespace", " AND c.typrelid = 0"),
    ("pg_operator", "c.oprnamespace", ""),
    ("pg_opclass", "c.opcnamespace", ""),
    ("pg_opfamily", "c.opfnamespace", ""),
    ("pg_collation", "c.collnamespace", ""),
    ("pg_conversion", "c.connamespace", ""),
    ("pg_ts_config", "c.cfgnamespace", ""),
    ("pg_ts_dict", "c.dictnamespace", ""),
    ("pg_ts_parser", "c.prsnamespace", ""),
    ("pg_ts_template", "c.tmplnamespace", ""),
    ("pg_statistic_ext", "c.stxnamespace", ""),
    // A table's own are its lock's business; these are domains'.
    ("pg_constraint", "c.connamespace", " AND c.contypid <> 0"),
    ("pg_namespace", "c.oid", ""),
    ("pg_default_acl", "c.defaclnamespace", ""),
    ("pg_extension", "c.extnamespace", ""),
    ("pg_language", "0", ""),
    ("pg_foreign_data_wrapper", "0", ""),
    ("pg_foreign_server", "0", ""),
    ("pg_event_trigger", "0", ""),
    ("pg_publication", "0", ""),
    ("pg_am", "0", ""),
    (
        "pg_cast",
        "0",
        " AND NOT EXISTS (SELECT FROM pg_type t WHERE t.oid IN (c.castsource, c.casttarget) AND t.typnamespace = mt_home)",
    ),
    ("pg_database", "0", ""),
    ("pg_tablespace", "0", ""),
];

/// The fence around one order's text.
pub(super) struct Fence<'f> {
    home: &'f str,
    /// Whether the tenant is a whole database: then only its neighbours' schemas in it, and the server, are outside.
    whole: bool,
    directives: &'f Directives,
    text: &'f str,
    /// What the cursor's row begins with.
    nonce: &'f str,
}

impl<'f> Fence<'f> {
    /// Returns the fence that a text needs; none where it can name nothing but its own schema's tables: a plain text whose
    /// path is the tenant's schema alone. With an extensions' schema behind it a bare name may be a table of that one.
    pub fn around(order: &'f Order<'_>, schema: &'f str) -> Option<Self> {
        let text = order.text;
        let tenant = order.tenant;
        let needs = tenant.session.extensions_schema.is_some() || !is_plain(&text.sql, tenant.datasource.engine());
        needs.then(|| Self {
            home: schema,
            whole: tenant.datasource.schema().is_none(),
            directives: &text.directives,
            text: &text.sql,
            nonce: &order.run.run_id,
        })
    }

    /// Returns the statement that goes before the text; it is parsed under `pg_catalog` alone.
    pub fn before(&self) -> String {
        format!(
            "DECLARE mtmigrate_fence NO SCROLL CURSOR FOR SELECT {}, array_agg(f.oid), array_agg(f.what) \
             FROM ({} UNION ALL {}) AS f;\n",
            literal(self.nonce),
            self.locked_relations(),
            self.locked_objects(),
        )
    }

    /// Returns the statements that go after the text and after everything of ours. They depend on nothing that the text
    /// may have set, and leave the search_path as they found it.
    pub fn after(&self) -> String {
        let body = self.block();
        let mut tag = String::from("$mtmigrate$");
        // A name in the body may be anything.
        while body.contains(&tag) {
            tag.insert(1, '_');
        }
        format!("DO {tag}{body}{tag};\n")
    }

    fn block(&self) -> String {
        let (nonce, home) = (literal(self.nonce), literal(self.home));
        let (relations, catalogs) = (self.locked_relations(), self.catalogs());
        let judged = self.judged();
        format!(
            "DECLARE
  mt_path pg_catalog.text := pg_catalog.current_setting('search_path');
  mt_cursor pg_catalog.refcursor := 'mtmigrate_fence';
  mt_home pg_catalog.oid; mt_nonce pg_catalog.text; mt_seen pg_catalog.oid[]; mt_what pg_catalog.text[];
  mt_lock pg_catalog.record; mt_catalog pg_catalog.record; mt_row pg_catalog.record; mt_mine pg_catalog.bool; mt_found pg_catalog.text;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  FETCH mt_cursor INTO mt_nonce, mt_seen, mt_what;
  IF mt_nonce IS DISTINCT FROM {nonce} THEN
    RAISE EXCEPTION USING ERRCODE = '34000', MESSAGE = 'cursor \"mtmigrate_fence\" was fetched from';
  END IF;
  CLOSE mt_cursor;
  mt_seen := coalesce(mt_seen, '{{}}');
  mt_what := coalesce(mt_what, '{{}}');
  FOR mt_lock IN {relations} AND c.oid <> ALL (mt_seen) LOOP
    mt_seen := mt_seen || mt_lock.oid;
    mt_what := mt_what || mt_lock.what;
  END LOOP;
  mt_home := (SELECT n.oid FROM pg_namespace n WHERE n.nspname = {home});
  FOR mt_catalog IN {catalogs} LOOP
    FOR mt_row IN EXECUTE mt_catalog.question USING mt_home, mt_seen LOOP
      mt_mine := false;
      BEGIN
        -- What I see and is in progress is mine, a part of the text that was a transaction of its own included.
        mt_mine := txid_status(txid_current() - mt_row.age) = 'in progress';
      EXCEPTION WHEN invalid_parameter_value THEN
        NULL; -- a row so old that its number has come round again
      END;
      CONTINUE WHEN NOT mt_mine;
      mt_found := ({judged});
      IF mt_found IS NOT NULL THEN
        mt_what := mt_what || mt_found;
      END IF;
    END LOOP;
  END LOOP;
  IF mt_what <> '{{}}' THEN
    RAISE EXCEPTION USING ERRCODE = '{STATE}', MESSAGE = 'the text reaches outside its tenant',
      DETAIL = array_to_string(mt_what[1:{SHOWN}], chr(10)), HINT = cardinality(mt_what);
  END IF;
  PERFORM set_config('search_path', mt_path, true);
END"
        )
    }

    /// Tables, indexes, sequences and views that are locked outside; as many of them as the query's snapshot knows.
    fn locked_relations(&self) -> String {
        let kind = "CASE c.relkind WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 'v' THEN \
            'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END";
        let system = "(left(n.nspname, 3) = 'pg_' OR n.nspname = 'information_schema')";
        let allowed = self.listed_relation();
        let whose = self.whose();
        let outside = match self.whole {
            true => self.neighbour(),
            false => format!("((NOT {READS} AND NOT {allowed}) OR {})", self.neighbour()),
        };
        // Every statement that makes or drops something writes to pg_shdepend.
        let shared = match self.directives.touches_cluster {
            true => "false".to_owned(),
            false => format!("(c.relisshared AND c.relkind = 'r' AND c.relname <> 'pg_shdepend' AND NOT {READS})"),
        };
        let named = format!("format('%s %I.%I (%s)', {kind}, n.nspname, c.relname, l.mode)");
        let finding = finding(&format!("CASE WHEN c.relisshared THEN 'cluster' ELSE {whose} END"), "n.nspname", &named);
        format!(
            "SELECT c.oid, {finding} AS what FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted \
             AND ((n.nspname <> {} AND NOT {system} AND {outside}) OR {shared})",
            literal(self.home),
        )
    }

    /// What is no table, and is locked as whoever drops or alters it does.
    ///
    /// Its schema is in `pg_depend`, also when it is dropped; its name is looked up for the most common kinds.
    fn locked_objects(&self) -> String {
        let outside = match self.whole {
            true => self.neighbour(),
            false => format!("(NOT {} OR {})", self.listed("n.nspname"), self.neighbour()),
        };
        let named = "CASE WHEN l.classid = 'pg_namespace'::regclass THEN format('schema %I (%s)', n.nspname, l.mode) \
            WHEN p.oid IS NOT NULL THEN format('function %I.%I (%s)', n.nspname, p.proname, l.mode) \
            WHEN t.oid IS NOT NULL THEN format('type %I.%I (%s)', n.nspname, t.typname, l.mode) \
            ELSE format('an object of %s in schema %I (%s)', l.classid::regclass, n.nspname, l.mode) END";
        format!(
            "SELECT l.objid, {} FROM pg_locks l LEFT JOIN pg_depend d ON d.classid = l.classid AND d.objid = l.objid \
             AND d.objsubid = 0 AND d.refclassid = 'pg_namespace'::regclass \
             JOIN pg_namespace n ON n.oid = CASE WHEN l.classid = 'pg_namespace'::regclass THEN l.objid ELSE d.refobjid END \
             LEFT JOIN pg_proc p ON p.oid = l.objid AND l.classid = 'pg_proc'::regclass \
             LEFT JOIN pg_type t ON t.oid = l.objid AND l.classid = 'pg_type'::regclass \
             WHERE l.pid = pg_backend_pid() AND l.locktype = 'object' AND l.granted AND NOT {READS} \
             AND l.database <> 0 AND n.nspname <> {} AND left(n.nspname, 8) NOT IN ('pg_toast', 'pg_temp_') AND {outside}",
            finding(&self.whose(), "n.nspname", named),
            literal(self.home),
        )
    }

    /// The catalogs that were written since the transaction began, each with the question which of its rows were: the
    /// server counts what a transaction writes, table by table.
    /// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-FUNCTIONS>
    fn catalogs(&self) -> String {
        // New tables are known by their locks, and who grants rights on an old one takes none.
        let relations = [("pg_class", "c.relnamespace", "")].into_iter();
        let grants = may_mention(self.text, "grant") || may_mention(self.text, "revoke");
        let columns = "SELECT relnamespace FROM pg_class r WHERE r.oid = c.attrelid";
        let columns_question = format!(
            "('pg_attribute', $q$SELECT 'pg_class'::regclass::oid AS class, c.attrelid AS oid, ({columns}) AS ns, \
             age(c.xmin) AS age FROM pg_attribute c WHERE age(c.xmin) BETWEEN -100000000 AND 0 \
             AND c.attrelid <> ALL ($2) AND ({columns}) <> $1$q$, false)"
        );
        let mut questions: Vec<String> = relations
            .map(|catalog| (catalog, false))
            .chain(CATALOGS.into_iter().map(|catalog| (catalog, true)))
            .map(|((catalog, schema, more), inserts)| {
                // An extension is the database's, wherever its members are.
                let elsewhere = if catalog == "pg_extension" { "true".to_owned() } else { format!("{schema} <> $1") };
                let more = more.replace("mt_home", "$1");
                format!(
                    "('{catalog}', $q$SELECT c.tableoid AS class, c.oid, {schema}::oid AS ns, age(c.xmin) AS age \
                     FROM {catalog} c WHERE age(c.xmin) BETWEEN -100000000 AND 0 AND c.oid <> ALL ($2) \
                     AND {elsewhere}{more}$q$, {inserts})"
                )
            })
            .collect();
        if grants {
            questions.push(columns_question);
        }
        // Who switches the counting off gets every question.
        let always = may_mention(self.text, "track_counts");
        format!(
            "SELECT v.question FROM (VALUES {}) AS v (name, question, inserts) WHERE {always} \
             OR current_setting('track_counts') <> 'on' OR pg_stat_get_xact_tuples_updated(v.name::regclass) > 0 \
             OR (v.inserts AND pg_stat_get_xact_tuples_inserted(v.name::regclass) > 0)",
            questions.join(", "),
        )
    }

    /// Judges `mt_row`, a row of a catalog that the text wrote: a finding, or NULL where it may be.
    fn judged(&self) -> String {
        let cluster = "mt_row.class IN ('pg_database'::regclass, 'pg_tablespace'::regclass)";
        let member = "EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
            WHERE d.classid = mt_row.class AND d.objid = mt_row.oid AND d.refclassid = 'pg_extension'::regclass \
            AND d.deptype = 'e' AND age(e.xmin) <= 0)";
        let relation = "(mt_row.class = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c \
            WHERE c.oid = mt_row.oid AND {allowed}))"
            .replace("{allowed}", &self.listed_relation());
        let inside = format!("left(coalesce(n.nspname, ''), 8) IN ('pg_toast', 'pg_temp_') OR {member} OR {relation}");
        let kind = format!(
            "CASE WHEN {cluster} THEN {server} WHEN {inside} THEN NULL WHEN n.oid IS NULL THEN {no_schema} \
             WHEN {neighbour} THEN 'neighbour' WHEN {listed} THEN NULL \
             WHEN mt_row.class = 'pg_extension'::regclass THEN {extension} ELSE {elsewhere} END",
            server = if self.directives.touches_cluster { "NULL" } else { "'cluster'" },
            no_schema = if self.directives.touches_cluster || self.whole { "NULL" } else { "'cluster'" },
            neighbour = self.neighbour(),
            listed = self.listed("n.nspname"),
            extension = if self.whole { "NULL" } else { "'extension'" },
            elsewhere = if self.whole { "NULL" } else { "'outside'" },
        );
        let named = "format('%s %s (made or changed)', i.type, i.identity)";
        format!(
            "SELECT {} FROM (SELECT) AS one LEFT JOIN pg_namespace n ON n.oid = mt_row.ns, \
             LATERAL (SELECT {kind} AS kind) AS k, pg_identify_object(mt_row.class, mt_row.oid, 0) AS i \
             WHERE k.kind IS NOT NULL",
            finding("k.kind", "coalesce(n.nspname, '')", named),
        )
    }

    /// Whether schema `n` is another tenant's: it has a history or a journal.
    fn neighbour(&self) -> String {
        format!(
            "(n.nspname <> {} AND NOT {} AND EXISTS (SELECT FROM pg_class h WHERE h.relname IN ('{JOURNAL}', '{HISTORY}') \
             AND h.relnamespace = n.oid))",
            literal(self.home),
            self.listed("n.nspname"),
        )
    }

    fn whose(&self) -> String {
        format!("CASE WHEN {} THEN 'neighbour' ELSE 'outside' END", self.neighbour())
    }

    /// Whether the directive names the whole schema.
    fn listed(&self, name: &str) -> String {
        let schemas = self.directives.touches.iter().filter(|place| place.table.is_none());
        let schemas: Vec<String> = schemas.map(|place| literal(&place.schema)).collect();
        if schemas.is_empty() { "false".to_owned() } else { format!("({name} IN ({}))", schemas.join(", ")) }
    }

    /// Whether the directive names relation `c` in schema `n`, that schema, or the table whose index or sequence it is.
    fn listed_relation(&self) -> String {
        let named = |place: &Touched| Some(format!("({}, {})", literal(&place.schema), literal(place.table.as_ref()?)));
        let tables: Vec<String> = self.directives.touches.iter().filter_map(named).collect();
        let schema = self.listed("n.nspname");
        if tables.is_empty() {
            return schema;
        }
        format!(
            "({schema} OR EXISTS (SELECT FROM pg_class w JOIN pg_namespace wn ON wn.oid = w.relnamespace \
             WHERE (wn.nspname, w.relname) IN ({}) AND w.oid IN (c.oid, \
             (SELECT x.indrelid FROM pg_index x WHERE x.indexrelid = c.oid), \
             (SELECT max(d.refobjid) FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
             AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')))))",
            tables.join(", "),
        )
    }
}

/// Whether a text has this word somewhere. A long one is not looked through: it counts as one that has.
pub(super) fn may_mention(text: &str, word: &str) -> bool {
    text.len() > LOOKED_THROUGH || mentions(text, word)
}

/// Makes one finding of three SQL expressions: a line with tabs between.
fn finding(kind: &str, schema: &str, words: &str) -> String {
    format!(
        "concat_ws(chr(9), {kind}, translate({schema}, chr(9) || chr(10), '  '), translate({words}, chr(9) || chr(10), '  '))"
    )
}

/// Fires the deferred triggers now, while the fence can see what they do.
pub(super) const FIRE_DEFERRED: &str = "SET CONSTRAINTS ALL IMMEDIATE;\n";
