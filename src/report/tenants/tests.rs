use crate::error::{Paint, Secret};
use crate::report::sample::Sample;
use crate::sql::EngineKind::{MySql, Postgres, Sqlite};
use crate::tenant::{Access, Fleet, Origin, Password, Source, SourceKind, TenantId, Tls, Wave, WaveId};

use super::{TenantsFormat, TenantsReport};

/// Four tenants: one of a registry in a wave of its own, one without waves, one that is being made, one left out.
fn fleet() -> Fleet {
    let mut fleet =
        Sample::of(&[("acme", Postgres), ("demo", Sqlite), ("hooli", MySql), ("umbrella", Postgres)], 1).fleet;
    fleet.hash = "5f0c9a1e".into();
    fleet.sources = vec![Source { kind: SourceKind::Registry, line: 9, found: 1, least_active: 1, discovery: None }];
    fleet.rollout.waves = vec![Wave { name: "canary".into(), ..Wave::default() }];
    fleet.tenants.iter_mut().skip(1).for_each(|tenant| tenant.wave = WaveId(1));
    let access = Access {
        user: Some("migrator".into()),
        password: Password::Known(Secret::new("hunter2")),
        tls: Tls::default(),
    };
    fleet.tenants[0].access = access.into();
    fleet.tenants[0].origin = Origin { source: Some(0), position: 7 };
    fleet.tenants[1].labels = Default::default();
    fleet.tenants[2].provisioning = true;
    fleet.tenants[3].quarantined = Some("moves\nsoon".into());
    fleet
}

fn told(fleet: &Fleet, format: TenantsFormat, width: Option<usize>) -> String {
    let selection: Vec<TenantId> = fleet.tenants.iter().map(|tenant| tenant.id).collect();
    let mut out = Vec::new();
    TenantsReport::new(fleet, &selection).write(format, Paint::Plain, width, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table_says_where_each_lives_and_where_it_is_listed() {
    assert_eq!(
        told(&fleet(), TenantsFormat::Table, None),
        "\
name      state         engine    server  database      schema    wave    labels   from
acme      active        postgres  eu      shared        acme      canary  eu prod  row 7 of the registry in line 9
demo      active        sqlite    data    data/demo.db  -         rest             entry 2 of tenants
hooli     provisioning  mysql     us      hooli         -         rest    eu prod  entry 3 of tenants
umbrella  quarantined   postgres  eu      shared        umbrella  rest    eu prod  entry 4 of tenants; moves soon

4 tenants: 2 active, 1 provisioning, 1 quarantined; 3 servers
"
    );
}

#[test]
fn columns_that_say_nothing_are_left_out() {
    let mut fleet = Sample::of(&[("demo", Sqlite)], 1).fleet;
    fleet.tenants[0].labels = Default::default();
    assert_eq!(
        told(&fleet, TenantsFormat::Table, Some(80)),
        "name  state   engine  server  database      from\n\
         demo  active  sqlite  data    data/demo.db  entry 1 of tenants\n\n1 tenant: 1 active; 1 server\n"
    );
}

#[test]
fn the_json_format_is_pinned() {
    assert_eq!(told(&fleet(), TenantsFormat::Json, None), include_str!("../pinned/tenants.json"));
}

#[test]
fn the_csv_format_has_a_record_for_each_tenant() {
    let text = told(&fleet(), TenantsFormat::Csv, None);
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], "name,engine,server,address,database,schema,user,tls,labels,wave,state,origin");
    assert_eq!(
        lines[1],
        "acme,postgres,eu,db.eu.example:5432,shared,acme,migrator,prefer,eu prod,canary,active,row 7 of the registry in line 9"
    );
    assert_eq!(lines[2].split(',').nth(7), Some(""), "a file is not encrypted");
    assert_eq!(lines.len(), 6);
}

#[test]
fn no_form_holds_a_password_and_none_commands_a_terminal() {
    let mut fleet = fleet();
    fleet.tenants[1].name = "\u{1b}[2J=1+1".into();
    for format in [TenantsFormat::Table, TenantsFormat::Json, TenantsFormat::Csv] {
        let text = told(&fleet, format, None);
        assert!(!text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
    }
}
