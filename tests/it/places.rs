//! Where PostgreSQL tenants are found to live, and what of ours is there: a new tenant that is alone in its database is asked
//! about in a cheaper way, and nothing may escape it.

use crate::support::proxy::{Deed, Point, Trap};
use crate::support::{Fleet, Proxy, postgres, unique};

/// A changelog that shows how often it ran.
fn changesets(fleet: &mut Fleet) {
    fleet.changeset("V1__effects.sql", "CREATE TABLE effects (version int);\nINSERT INTO effects VALUES (1);");
    fleet.changeset("V2__more.sql", "INSERT INTO effects VALUES (2);");
}

/// A tenant in a new database, the whole of it or a schema, and the same by another way than the proxy.
fn alone(proxy: &Proxy, schema: Option<&str>) -> [Fleet; 2] {
    let server = postgres(0);
    let mut fleets = [Fleet::new(), Fleet::new()];
    match schema {
        None => fleets[0].postgres_database("t", server).behind("t", proxy),
        Some(schema) => {
            let database = server.create_database();
            let server_name = format!("pg{}", server.port());
            fleets[0].postgres_schema_named("t", server, &database, schema).server_behind(&server_name, proxy)
        }
    };
    let text = std::fs::read_to_string(fleets[0].folder().join("tenants.yaml")).unwrap();
    let (ours, theirs) = (format!(":{}", proxy.port()), format!(":{}", server.port()));
    assert!(text.contains(&ours), "{text}");
    fleets[1].tenants_yaml(&text.replace(&ours, &theirs));
    fleets.iter_mut().for_each(changesets);
    fleets
}

const SCHEMAS: [Option<&str>; 2] = [None, Some("odd \"Schema\"")];

#[test]
fn what_another_run_did_to_a_new_tenant_before_the_lock_was_taken_is_seen_under_it() {
    for schema in SCHEMAS {
        let proxy = Proxy::to(postgres(0).port());
        let [fleet, other] = alone(&proxy, schema);
        proxy.arm(Trap::at_text("pg_try_advisory_lock", Point::Before, Deed::Freeze));
        let running = fleet.spawn(&["up"]);
        proxy.wait_sprung(1);
        other.run(&["up"]).expect(0);
        proxy.thaw();
        running.wait().expect(0).says(&["nothing to do: 1 tenant has V2"]);
        assert_eq!((fleet.effects("t"), fleet.versions("t")), (vec![1, 2], vec![1, 2]), "{schema:?}");
        assert_eq!(fleet.journal("t"), ["V1 applied", "V2 applied"], "{schema:?}");
    }
}

#[test]
fn a_new_tenants_schema_that_went_before_the_lock_was_taken_is_missed_under_it() {
    for schema in SCHEMAS {
        let proxy = Proxy::to(postgres(0).port());
        let [fleet, _] = alone(&proxy, schema);
        proxy.arm(Trap::at_text("pg_try_advisory_lock", Point::Before, Deed::Freeze));
        let running = fleet.spawn(&["up"]);
        proxy.wait_sprung(1);
        let name = schema.map_or("public".to_owned(), |schema| format!("\"{}\"", schema.replace('"', "\"\"")));
        fleet.execute("t", &format!("ALTER SCHEMA {name} RENAME TO gone"));
        proxy.thaw();
        running.wait().expect(5).says(&["MT313", "nothing was changed"]);
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
        assert_eq!(fleet.cell("t", tables), "0", "{schema:?}");
    }
}

#[test]
fn a_history_further_down_the_search_path_of_a_new_tenant_is_named_and_nothing_is_made_ahead_of_it() {
    let server = postgres(0);
    for relation in ["TABLE refinery_schema_history (version int)", "SEQUENCE refinery_schema_history"] {
        let mut fleet = Fleet::new();
        fleet.postgres_database_named("t", server, &unique("tenant"));
        changesets(&mut fleet);
        let made = format!(
            "CREATE SCHEMA \"A head\"; CREATE SCHEMA \"be\"\"hind\"; DO $$ BEGIN EXECUTE pg_catalog.format('ALTER DATABASE %I SET \
             search_path = nowhere, \"A head\", \"be\"\"hind\", public', current_database()); END $$; \
             SET search_path = \"be\"\"hind\"; CREATE {relation};"
        );
        fleet.execute("t", &made);
        for verb in ["status", "up"] {
            let output = fleet.run(&[verb]).expect(5);
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(said.contains("has its history in schema `be\"hind`"), "{relation}: {output}");
            assert!(said.contains("its sessions begin in `A head`"), "{relation}: {output}");
        }
        let drop = relation.split(" (").next().unwrap().replace(' ', " \"be\"\"hind\".");
        fleet.execute("t", &format!("DROP {drop}"));
        fleet.run(&["up"]).expect(0);
        assert_eq!((fleet.effects("t"), fleet.versions("t")), (vec![1, 2], vec![1, 2]));
        // One that comes further down later is nobody's.
        fleet.execute("t", "CREATE TABLE \"be\"\"hind\".refinery_schema_history (version int)");
        fleet.run(&["up"]).expect(0).says(&["nothing to do: 1 tenant has V2"]);
    }
}

/// Something of the history's name that is no table is not the history, and is not written to.
#[test]
fn what_only_has_the_historys_name_is_left_alone() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("t", postgres(0));
    changesets(&mut fleet);
    fleet.execute("t", "CREATE SEQUENCE refinery_schema_history");
    assert_eq!(fleet.status().state("t"), "new");
    fleet.run(&["up"]).expect(1).says(&["MT204"]);
    assert!(!fleet.has_table("t", "effects"));
}

/// A session whose definitions run somebody's code is at its start for each changeset, whatever the text is.
#[test]
fn what_an_event_trigger_leaves_in_a_session_reaches_no_other_changeset() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("t", postgres(0));
    fleet.execute(
        "t",
        "CREATE SCHEMA ops;
         CREATE FUNCTION ops.leave() RETURNS event_trigger LANGUAGE plpgsql AS $$
         DECLARE left_by text := pg_catalog.current_setting('ops.left_by', true);
         BEGIN
             IF NULLIF(left_by, '') <> pg_catalog.txid_current()::text THEN RAISE 'transaction % was here', left_by; END IF;
             PERFORM pg_catalog.set_config('ops.left_by', pg_catalog.txid_current()::text, false);
         END $$;
         CREATE EVENT TRIGGER leave ON ddl_command_end EXECUTE FUNCTION ops.leave();",
    );
    for version in 1..=3 {
        fleet.changeset(&format!("V{version}__t.sql"), &format!("CREATE TABLE t{version} (id int);"));
    }
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.versions("t"), [1, 2, 3]);
    // The catalog's file stays longer than the row.
    fleet.execute("t", "DROP EVENT TRIGGER leave");
    fleet.changeset("V4__t.sql", "CREATE TABLE t4 (id int);").changeset("V5__t.sql", "CREATE TABLE t5 (id int);");
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.versions("t"), [1, 2, 3, 4, 5]);
}
