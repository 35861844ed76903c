//! What many tenants of one database touch on purpose.

use crate::support::{Fleet, postgres, unique};

/// Each of these collides where two transactions do it at once, in spite of what its words promise.
#[test]
fn tenants_that_touch_the_same_thing_take_turns() {
    let server = postgres(0);
    let (database, role) = (server.create_database(), unique("reader"));
    server
        .execute(&database, "CREATE SCHEMA shared; CREATE FUNCTION shared.f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    let mut fleet = Fleet::new();
    for no in 0..8 {
        fleet.postgres_schema(&format!("t{no}"), server, &database);
    }
    let touching = "-- mtmigrate: touches public, shared, extra\n";
    fleet.changeset("V1__extension.sql", &format!("{touching}CREATE EXTENSION IF NOT EXISTS citext SCHEMA public"));
    let body = "CREATE OR REPLACE FUNCTION shared.f() RETURNS int LANGUAGE sql AS 'SELECT 2'";
    fleet.changeset("V2__function.sql", &format!("{touching}{body}"));
    fleet.changeset("V3__grant.sql", &format!("{touching}GRANT USAGE ON SCHEMA shared TO public"));
    fleet.changeset("V4__schema.sql", &format!("{touching}CREATE SCHEMA IF NOT EXISTS extra"));
    let made = format!(
        "-- mtmigrate: touches-cluster\nDO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \
         THEN CREATE ROLE {role}; END IF; END $$"
    );
    fleet.changeset("V5__role.sql", &made);
    let output = fleet.run(&["up"]);
    server.execute(&database, &format!("DROP ROLE IF EXISTS {role}"));
    output.expect(0);
}
