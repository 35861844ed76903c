//! What a schema is made of, and where the catalogs say so: one [`Part`] for each kind of object.
//!
//! The alias `c` is the row of `rel`, or of `wanted` where the object belongs to no relation: it knows the schema. `@{…}`
//! is an expression whose text depends on the search_path, and is worked out in that schema; other braces are filled in
//! by [`super::catalog`].
//! <https://www.postgresql.org/docs/current/catalogs.html>

use crate::schema::Kind;

/// Where to find the objects of one kind, and what is true of them.
pub(super) struct Part {
    pub kind: Kind,
    /// The relation that they belong to; empty without one.
    pub parent: &'static str,
    pub name: &'static str,
    /// Attributes in their order, with the expression of each; NULL leaves one out.
    pub attributes: &'static [(&'static str, &'static str)],
    /// From where, with the conditions.
    pub from: &'static str,
    /// Which of them a transaction touched: `~x` stands for "the row `x` is new".
    pub touched: &'static str,
    /// Where a comment is looked up: the catalog, and what identifies the object in it.
    pub comment: Option<(&'static str, &'static str, &'static str)>,
    /// Its privileges: the letter of `acldefault`, the list, the owner.
    pub grants: Option<(&'static str, &'static str, &'static str)>,
}

impl Part {
    /// Whether its objects belong to types.
    pub fn is_of_type(&self) -> bool {
        self.parent == TYPE_NAME
    }
}

/// The parent of what belongs to a type.
const TYPE_NAME: &str = "t.typname";

/// What most parts lack.
const NONE: Part = Part {
    kind: Kind::Table,
    parent: "",
    name: "",
    attributes: &[],
    from: "",
    touched: "",
    comment: None,
    grants: None,
};

const RELATION: Part = Part {
    name: "c.relname",
    comment: Some(("pg_class", "c.oid", "0")),
    grants: Some(("r", "c.relacl", "c.relowner")),
    touched: "c.fresh",
    ..NONE
};

const PERSISTENCE: (&str, &str) = ("persistence", "CASE c.relpersistence WHEN 'u' THEN 'unlogged' END");

const OPTIONS: &str = "(SELECT pg_catalog.string_agg(o, ', ' ORDER BY o) FROM pg_catalog.unnest(c.reloptions) AS o)";

pub(super) const RELATIONS: [Part; 5] = [
    Part {
        kind: Kind::Table,
        attributes: &[
            PERSISTENCE,
            ("partition by", "CASE c.relkind WHEN 'p' THEN @{pg_catalog.pg_get_partkeydef(c.oid)} END"),
            ("partition of", "CASE WHEN c.relispartition THEN {parents} END"),
            ("bound", "CASE WHEN c.relispartition THEN @{pg_catalog.pg_get_expr(c.relpartbound, c.oid)} END"),
            ("inherits", "CASE WHEN NOT c.relispartition THEN {parents} END"),
            ("of type", "CASE WHEN c.reloftype <> 0 THEN @{pg_catalog.format_type(c.reloftype, NULL)} END"),
            ("row security", "CASE WHEN c.relrowsecurity THEN 'yes' END"),
            ("forced row security", "CASE WHEN c.relforcerowsecurity THEN 'yes' END"),
            (
                "replica identity",
                "CASE c.relreplident WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN (SELECT r.relname \
                 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class r ON r.oid = i.indexrelid \
                 WHERE i.indrelid = c.oid AND i.indisreplident) END",
            ),
        ],
        from: "rel c WHERE c.relkind IN ('r', 'p')",
        touched: "c.fresh OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND ~i)",
        ..RELATION
    },
    Part {
        kind: Kind::ForeignTable,
        attributes: &[
            ("server", "s.srvname"),
            ("options", "(SELECT pg_catalog.string_agg(o, ', ' ORDER BY o) FROM pg_catalog.unnest(f.ftoptions) AS o)"),
            ("partition of", "CASE WHEN c.relispartition THEN {parents} END"),
            ("bound", "CASE WHEN c.relispartition THEN @{pg_catalog.pg_get_expr(c.relpartbound, c.oid)} END"),
            ("inherits", "CASE WHEN NOT c.relispartition THEN {parents} END"),
        ],
        from: "rel c JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = c.oid \
               JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver WHERE c.relkind = 'f'",
        touched: "c.fresh OR ~f",
        ..RELATION
    },
    Part {
        kind: Kind::View,
        attributes: &[("options", OPTIONS), ("definition", "@{pg_catalog.pg_get_viewdef(c.oid)}")],
        from: "rel c WHERE c.relkind = 'v'",
        touched: "c.fresh OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid AND ~w)",
        ..RELATION
    },
    Part {
        kind: Kind::MaterializedView,
        attributes: &[
            PERSISTENCE,
            ("unpopulated", "CASE WHEN NOT c.relispopulated THEN 'yes' END"),
            ("definition", "@{pg_catalog.pg_get_viewdef(c.oid)}"),
        ],
        from: "rel c WHERE c.relkind = 'm'",
        touched: "c.fresh OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid AND ~w)",
        ..RELATION
    },
    Part {
        kind: Kind::Sequence,
        attributes: &[
            PERSISTENCE,
            ("type", "pg_catalog.format_type(s.seqtypid, NULL)"),
            ("start", "{start}"),
            ("increment", "{increment}"),
            ("minimum", "{minimum}"),
            ("maximum", "{maximum}"),
            ("cache", "{cache}"),
            ("cycle", "CASE WHEN s.seqcycle THEN 'yes' END"),
            (
                "owned by",
                "(SELECT t.relname || '.' || a.attname FROM pg_catalog.pg_class t JOIN pg_catalog.pg_attribute a \
                 ON a.attrelid = t.oid WHERE t.oid = d.refobjid AND a.attnum = d.refobjsubid)",
            ),
        ],
        from: "rel c JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid LEFT JOIN pg_catalog.pg_depend d \
               ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 \
               AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') \
               WHERE c.relkind = 'S' AND d.deptype IS DISTINCT FROM 'i' \
               AND (d.refobjid IS NULL OR d.refobjid NOT IN (SELECT o.oid FROM left_out o))",
        touched: "c.fresh OR ~s",
        grants: Some(("s", "c.relacl", "c.relowner")),
        ..RELATION
    },
];

const INVALID: &str = "CASE WHEN NOT i.indisvalid THEN 'yes' END";

pub(super) const BELONGING: [Part; 8] = [
    Part {
        kind: Kind::Column,
        parent: "c.relname",
        name: "c.relname || '.' || a.attname",
        attributes: &[
            ("type", "@{pg_catalog.format_type(a.atttypid, a.atttypmod)}"),
            ("collation", "{collation a.attcollation a.atttypid}"),
            ("null", "CASE WHEN a.attnotnull THEN 'not null' END"),
            ("default", "CASE WHEN {generated} = '' THEN @{pg_catalog.pg_get_expr(d.adbin, d.adrelid)} END"),
            (
                "generated",
                "CASE WHEN {generated} <> '' THEN CASE {generated} WHEN 's' THEN 'stored ' ELSE 'virtual ' END \
                 || @{pg_catalog.pg_get_expr(d.adbin, d.adrelid)} END",
            ),
            (
                "identity",
                "CASE WHEN a.attidentity <> '' THEN CASE a.attidentity WHEN 'a' THEN 'always' ELSE 'by default' END \
                 || COALESCE(' ' || {identity of column}, '') END",
            ),
        ],
        from: "rel c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
               LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
               WHERE {columns}",
        touched: "~a OR a.attidentity <> '' AND EXISTS (SELECT FROM {sequence of column} AND ~s)",
        comment: Some(("pg_class", "c.oid", "a.attnum")),
        grants: Some(("c", "a.attacl", "c.relowner")),
    },
    Part {
        kind: Kind::Constraint,
        parent: "c.relname",
        name: "c.relname || '.' || o.conname",
        attributes: &[
            ("invalid", INVALID),
            (
                "definition",
                "CASE WHEN o.condeferrable OR NOT o.convalidated OR x.oid IS NOT NULL \
                 THEN pg_catalog.regexp_replace(pg_catalog.replace(@{pg_catalog.pg_get_constraintdef(o.oid)}, \
                 {storage}, ''), '( DEFERRABLE)?( INITIALLY DEFERRED)?( NOT VALID)?$', '') \
                 ELSE @{pg_catalog.pg_get_constraintdef(o.oid)} END",
            ),
            ("deferrable", "CASE WHEN o.condeferrable THEN 'yes' END"),
            ("initially deferred", "CASE WHEN o.condeferred THEN 'yes' END"),
            ("unvalidated", "CASE WHEN NOT o.convalidated THEN 'yes' END"),
            (
                "triggers",
                "CASE WHEN o.oid IN (SELECT t.tgconstraint FROM pg_catalog.pg_trigger t WHERE t.tgisinternal \
                 AND t.tgenabled <> 'O') THEN 'disabled' END",
            ),
        ],
        from: "rel c JOIN pg_catalog.pg_constraint o ON o.conrelid = c.oid AND o.contype NOT IN ('t', 'n') \
               LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = o.conindid AND o.contype IN ('p', 'u', 'x') \
               LEFT JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.reloptions IS NOT NULL \
               WHERE true",
        touched: "~o OR ~i OR EXISTS (SELECT FROM pg_catalog.pg_trigger t \
                  WHERE t.tgconstraint = o.oid AND t.tgisinternal AND ~t)",
        comment: Some(("pg_constraint", "o.oid", "0")),
        ..NONE
    },
    Part {
        kind: Kind::Index,
        parent: "t.relname",
        name: "c.relname",
        attributes: &[
            ("invalid", "CASE WHEN c.relkind = 'i' AND NOT i.indisvalid THEN 'yes' END"),
            ("incomplete", "CASE WHEN c.relkind = 'I' AND NOT i.indisvalid THEN 'yes' END"),
            ("partition of", "{parents}"),
            ("definition", "pg_catalog.replace(@{pg_catalog.pg_get_indexdef(c.oid, 0, true)}, {storage}, '')"),
        ],
        from: "rel c JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
               JOIN pg_catalog.pg_class x ON x.oid = c.oid \
               LEFT JOIN pg_catalog.pg_constraint o ON o.conindid = c.oid \
               AND o.conrelid = i.indrelid AND o.contype IN ('p', 'u', 'x') \
               WHERE c.relkind IN ('i', 'I') AND o.oid IS NULL AND t.oid NOT IN (SELECT l.oid FROM left_out l)",
        touched: "c.fresh OR ~i",
        comment: Some(("pg_class", "c.oid", "0")),
        ..NONE
    },
    Part {
        kind: Kind::Trigger,
        parent: "c.relname",
        name: "c.relname || '.' || t.tgname",
        attributes: &[
            ("definition", "@{pg_catalog.pg_get_triggerdef(t.oid, true)}"),
            ("enabled", "CASE t.tgenabled WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END"),
        ],
        from: "rel c JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal",
        touched: "~t",
        comment: Some(("pg_trigger", "t.oid", "0")),
        ..NONE
    },
    Part {
        kind: Kind::Policy,
        parent: "c.relname",
        name: "c.relname || '.' || p.polname",
        attributes: &[
            (
                "command",
                "CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' \
                 WHEN 'd' THEN 'delete' END",
            ),
            ("restrictive", "CASE WHEN NOT p.polpermissive THEN 'yes' END"),
            (
                "to",
                "(SELECT pg_catalog.string_agg(pg_catalog.pg_get_userbyid(r)::text, ', ' \
                 ORDER BY pg_catalog.pg_get_userbyid(r)::text) FROM pg_catalog.unnest(p.polroles) AS r WHERE r <> 0)",
            ),
            ("using", "@{pg_catalog.pg_get_expr(p.polqual, p.polrelid)}"),
            ("check", "@{pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)}"),
        ],
        from: "rel c JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid WHERE true",
        touched: "~p",
        comment: Some(("pg_policy", "p.oid", "0")),
        ..NONE
    },
    Part {
        kind: Kind::Rule,
        parent: "c.relname",
        name: "c.relname || '.' || r.rulename",
        attributes: &[
            ("definition", "@{pg_catalog.pg_get_ruledef(r.oid, true)}"),
            ("enabled", "CASE r.ev_enabled WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END"),
        ],
        from: "rel c JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN'",
        touched: "~r",
        comment: Some(("pg_rewrite", "r.oid", "0")),
        ..NONE
    },
    Part {
        kind: Kind::Statistics,
        parent: "t.relname",
        name: "s.stxname",
        // The name comes qualified, whatever the search_path.
        attributes: &[(
            "definition",
            "pg_catalog.replace(@{pg_catalog.pg_get_statisticsobjdef(s.oid)}, 'CREATE STATISTICS ' \
             || pg_catalog.quote_ident(c.nspname) || '.', 'CREATE STATISTICS ')",
        )],
        from: "wanted c JOIN pg_catalog.pg_statistic_ext s ON s.stxnamespace = c.ns JOIN pg_catalog.pg_class t \
               ON t.oid = s.stxrelid WHERE t.oid NOT IN (SELECT l.oid FROM left_out l)",
        touched: "~s",
        comment: Some(("pg_statistic_ext", "s.oid", "0")),
        ..NONE
    },
    Part {
        kind: Kind::Constraint,
        parent: TYPE_NAME,
        name: "t.typname || '.' || o.conname",
        attributes: &[("definition", "@{pg_catalog.pg_get_constraintdef(o.oid)}")],
        from: "wanted c JOIN pg_catalog.pg_type t ON t.typnamespace = c.ns AND t.typtype = 'd' \
               JOIN pg_catalog.pg_constraint o ON o.contypid = t.oid AND o.contype = 'c' WHERE {member t pg_type}",
        touched: "~o",
        comment: Some(("pg_constraint", "o.oid", "0")),
        ..NONE
    },
];
