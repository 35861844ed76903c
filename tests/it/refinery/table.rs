//! The history table as mtmigrate makes it, beside refinery's own.

use super::{SMALL, TENANTS, WIDE, fleet, refinery_applies};
use crate::support::fleet::Place;
use crate::support::{Fleet, Rows, Width};

/// Columns and primary key of the history table.
fn shape(fleet: &Fleet, tenant: &str) -> Rows {
    let sql = match fleet.place(tenant) {
        Place::Postgres { .. } => {
            "SELECT a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef
             FROM pg_attribute a WHERE a.attrelid = 'refinery_schema_history'::regclass AND a.attnum > 0
             ORDER BY 1;
             SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conrelid = 'refinery_schema_history'::regclass ORDER BY 1"
        }
        // Engine and character set are fixed on purpose: refinery leaves them to the server.
        Place::MariaDb { .. } => {
            "SELECT column_name, column_type, is_nullable, column_key, column_default, extra
             FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = 'refinery_schema_history' ORDER BY ordinal_position"
        }
        Place::Sqlite(_) => {
            "SELECT name, upper(type), \"notnull\", dflt_value, pk FROM pragma_table_info('refinery_schema_history')"
        }
    };
    fleet.query(tenant, sql)
}

#[test]
fn the_history_table_has_the_columns_and_the_primary_key_of_refinerys_own() {
    for (width, changesets) in [(Width::Int4, &SMALL[..]), (Width::Int8, &WIDE[..])] {
        let [ours, theirs] = [fleet(changesets), fleet(changesets)];
        ours.run(&["up"]).expect(0);
        let names: Vec<&str> = changesets.iter().map(|(file, _)| file.trim_end_matches(".sql")).collect();
        refinery_applies(&theirs, width, &names);
        for tenant in TENANTS {
            let expected = shape(&theirs, tenant);
            assert!(expected.len() >= 4, "{tenant}: {expected:?}");
            assert_eq!(shape(&ours, tenant), expected, "{tenant} {width:?}");
        }
    }
}

#[test]
fn the_history_rows_are_refinerys_but_for_their_times() {
    for (width, changesets) in [(Width::Int4, &SMALL[..]), (Width::Int8, &WIDE[..])] {
        let [ours, theirs] = [fleet(changesets), fleet(changesets)];
        ours.run(&["up"]).expect(0);
        let names: Vec<&str> = changesets.iter().map(|(file, _)| file.trim_end_matches(".sql")).collect();
        refinery_applies(&theirs, width, &names);
        let sql = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";
        for tenant in TENANTS {
            assert_eq!(ours.query(tenant, sql), theirs.query(tenant, sql), "{tenant} {width:?}");
            // Times sort as text and are read by refinery: the same form.
            for fleet in [&ours, &theirs] {
                for row in fleet.query(tenant, "SELECT applied_on FROM refinery_schema_history") {
                    let on = row[0].as_deref().unwrap();
                    time::OffsetDateTime::parse(on, &time::format_description::well_known::Rfc3339).unwrap();
                    assert!(on.ends_with('Z'), "{tenant}: {on}");
                }
            }
        }
    }
}

#[test]
fn a_widened_history_has_the_columns_and_the_primary_key_of_refinerys_wide_one() {
    let mut ours = fleet(&SMALL);
    let theirs = fleet(&WIDE);
    ours.run(&["up"]).expect(0);
    for (file, sql) in WIDE {
        ours.changeset(file, sql);
    }
    ours.run(&["up"]).expect(0);
    refinery_applies(&theirs, Width::Int8, &["V20261121093000__notes", "V20261121093001__note_text"]);
    for tenant in ["database", "schema", "mysql"] {
        assert_eq!(shape(&ours, tenant), shape(&theirs, tenant), "{tenant}");
    }
    // SQLite's integers have 64 bits whatever the column's type says, and its ALTER TABLE cannot change the word.
    assert_eq!(shape(&ours, "file")[0][1].as_deref(), Some("INT4"));
}
