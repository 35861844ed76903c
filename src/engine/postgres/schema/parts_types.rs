//! The parts of a schema that are no relations: extensions, types, routines; and the schema itself.

use crate::schema::Kind;

use super::parts::Part;

const TYPE: Part = Part {
    kind: Kind::Enum,
    parent: "",
    name: "t.typname",
    attributes: &[],
    from: "",
    touched: "~t",
    comment: Some(("pg_type", "t.oid", "0")),
    grants: Some(("T", "t.typacl", "t.typowner")),
};

/// Whether a routine costs what its language's routines do.
const COST: (&str, &str) = (
    "cost",
    "CASE WHEN p.procost <> CASE WHEN l.lanname IN ('c', 'internal') THEN 1 ELSE 100 END THEN p.procost::text END",
);

const PARALLEL: (&str, &str) = ("parallel", "CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' END");

const ROUTINE: Part = Part {
    kind: Kind::Function,
    parent: "",
    name: "p.proname || '(' || @{pg_catalog.oidvectortypes(p.proargtypes)} || ')'",
    attributes: &[
        ("arguments", "NULLIF(@{pg_catalog.pg_get_function_arguments(p.oid)}, '')"),
        ("returns", "@{pg_catalog.pg_get_function_result(p.oid)}"),
        ("language", "l.lanname"),
        ("window", "CASE WHEN p.prokind = 'w' THEN 'yes' END"),
        ("volatility", "CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' END"),
        ("strict", "CASE WHEN p.proisstrict THEN 'yes' END"),
        ("security definer", "CASE WHEN p.prosecdef THEN 'yes' END"),
        ("leakproof", "CASE WHEN p.proleakproof THEN 'yes' END"),
        PARALLEL,
        COST,
        ("rows", "CASE WHEN p.proretset AND p.prorows <> 1000 THEN p.prorows::text END"),
        (SETTINGS, "pg_catalog.array_to_string(p.proconfig, pg_catalog.chr(10))"),
        ("library", "p.probin"),
        (BODY, "{body}"),
    ],
    from: "wanted c JOIN pg_catalog.pg_proc p ON p.pronamespace = c.ns \
           JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
           WHERE p.prokind IN ('f', 'w') AND {member p pg_proc} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
           WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')",
    touched: "~p",
    comment: Some(("pg_proc", "p.oid", "0")),
    grants: Some(("f", "p.proacl", "p.proowner")),
};

/// The attribute with a routine's raw text, in which the schema's own name may stand.
pub(super) const BODY: &str = "body";

/// The attribute with a routine's settings, one on a line.
pub(super) const SETTINGS: &str = "settings";

pub(super) const TYPES: [Part; 4] = [
    Part {
        kind: Kind::Enum,
        attributes: &[(
            "labels",
            "(SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) \
             FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)",
        )],
        from: "wanted c JOIN pg_catalog.pg_type t ON t.typnamespace = c.ns \
               WHERE t.typtype = 'e' AND {member t pg_type}",
        touched: "~t OR EXISTS (SELECT FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid AND ~e)",
        ..TYPE
    },
    Part {
        kind: Kind::Domain,
        attributes: &[
            ("type", "@{pg_catalog.format_type(t.typbasetype, t.typtypmod)}"),
            ("collation", "{collation t.typcollation t.typbasetype}"),
            ("null", "CASE WHEN t.typnotnull THEN 'not null' END"),
            ("default", "@{pg_catalog.pg_get_expr(t.typdefaultbin, 0)}"),
        ],
        from: "wanted c JOIN pg_catalog.pg_type t ON t.typnamespace = c.ns \
               WHERE t.typtype = 'd' AND {member t pg_type}",
        ..TYPE
    },
    Part {
        kind: Kind::Composite,
        attributes: &[(
            "definition",
            "(SELECT '(' || pg_catalog.string_agg(pg_catalog.quote_ident(a.attname) || ' ' \
             || @{pg_catalog.format_type(a.atttypid, a.atttypmod)} || COALESCE(' COLLATE ' || {collation a.attcollation a.atttypid}, ''), ', ' ORDER BY a.attnum) || ')' \
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)",
        )],
        from: "rel c JOIN pg_catalog.pg_type t ON t.oid = c.reltype WHERE c.relkind = 'c' AND {member t pg_type}",
        touched: "c.fresh OR ~t",
        ..TYPE
    },
    Part {
        kind: Kind::Range,
        attributes: &[
            ("subtype", "@{pg_catalog.format_type(r.rngsubtype, NULL)}"),
            (
                "operator class",
                "(SELECT o.opcname FROM pg_catalog.pg_opclass o WHERE o.oid = r.rngsubopc AND NOT o.opcdefault)",
            ),
            ("collation", "{collation r.rngcollation r.rngsubtype}"),
            ("canonical", "CASE WHEN r.rngcanonical::oid <> 0 THEN @{r.rngcanonical::text} END"),
            ("difference", "CASE WHEN r.rngsubdiff::oid <> 0 THEN @{r.rngsubdiff::text} END"),
            ("multirange", "{multirange}"),
        ],
        from: "wanted c JOIN pg_catalog.pg_type t ON t.typnamespace = c.ns \
               JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid WHERE t.typtype = 'r' AND {member t pg_type}",
        ..TYPE
    },
];

pub(super) const ROUTINES: [Part; 3] = [
    ROUTINE,
    Part {
        kind: Kind::Procedure,
        attributes: &[
            ("arguments", "NULLIF(@{pg_catalog.pg_get_function_arguments(p.oid)}, '')"),
            ("language", "l.lanname"),
            ("security definer", "CASE WHEN p.prosecdef THEN 'yes' END"),
            (SETTINGS, "pg_catalog.array_to_string(p.proconfig, pg_catalog.chr(10))"),
            ("library", "p.probin"),
            (BODY, "{body}"),
        ],
        from: "wanted c JOIN pg_catalog.pg_proc p ON p.pronamespace = c.ns \
               JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
               WHERE p.prokind = 'p' AND {member p pg_proc}",
        ..ROUTINE
    },
    Part {
        kind: Kind::Aggregate,
        attributes: &[
            ("arguments", "NULLIF(@{pg_catalog.pg_get_function_arguments(p.oid)}, '')"),
            ("returns", "@{pg_catalog.pg_get_function_result(p.oid)}"),
            ("state", "@{pg_catalog.format_type(g.aggtranstype, NULL)}"),
            ("transition", "@{g.aggtransfn::text}"),
            ("final", "CASE WHEN g.aggfinalfn::oid <> 0 THEN @{g.aggfinalfn::text} END"),
            ("combine", "CASE WHEN g.aggcombinefn::oid <> 0 THEN @{g.aggcombinefn::text} END"),
            ("initial", "g.agginitval"),
            ("moving transition", "CASE WHEN g.aggmtransfn::oid <> 0 THEN @{g.aggmtransfn::text} END"),
            ("moving inverse", "CASE WHEN g.aggminvtransfn::oid <> 0 THEN @{g.aggminvtransfn::text} END"),
            ("moving final", "CASE WHEN g.aggmfinalfn::oid <> 0 THEN @{g.aggmfinalfn::text} END"),
            ("moving initial", "g.aggminitval"),
            ("sort operator", "CASE WHEN g.aggsortop <> 0 THEN @{g.aggsortop::pg_catalog.regoperator::text} END"),
            PARALLEL,
        ],
        from: "wanted c JOIN pg_catalog.pg_proc p ON p.pronamespace = c.ns \
               JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = p.oid WHERE {member p pg_proc}",
        ..ROUTINE
    },
];

/// The extensions in the schema. A tenant with a database of its own has those of all schemas but `pg_catalog` (11),
/// where the languages are: tenants of both sorts may be in one cohort.
pub(super) const EXTENSION: Part = Part {
    kind: Kind::Extension,
    name: "e.extname",
    from: "wanted c JOIN pg_catalog.pg_extension e ON e.extnamespace = c.ns OR c.whole AND e.extnamespace <> 11 WHERE true",
    comment: Some(("pg_extension", "e.oid", "0")),
    grants: None,
    touched: "~e",
    ..TYPE
};

/// What is said of the schema itself, and granted on it; only where one of these is asked for.
pub(super) const SCHEMA: Part = Part {
    kind: Kind::Schema,
    name: "'own'",
    from: "wanted c JOIN pg_catalog.pg_namespace n ON n.oid = c.ns WHERE true",
    comment: Some(("pg_namespace", "n.oid", "0")),
    grants: Some(("n", "n.nspacl", "n.nspowner")),
    touched: "~n",
    ..TYPE
};
