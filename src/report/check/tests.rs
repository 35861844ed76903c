use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Examined, Right, Wire};
use crate::error::{Code, Diagnostic, ExitStatus, Paint};
use crate::lockstep::{Checked, Read, Tried, check_findings};
use crate::report::sample::Sample;
use crate::sql::EngineKind::{MySql, Postgres, Sqlite};
use crate::tenant::TenantId;

use super::{CheckFormat, CheckReport};

fn encrypted() -> Wire {
    Wire::Encrypted { protocol: Some("TLSv1.3".into()), cipher: Some("TLS_AES_256_GCM_SHA384".into()) }
}

fn lacking(schema: &str) -> Right {
    Right::Lacking {
        who: "user app".into(),
        what: format!("create in schema {schema}"),
        grant: format!("GRANT CREATE ON SCHEMA \"{schema}\" TO \"app\""),
        kind: "create".into(),
    }
}

fn read(create: Right, wire: Wire) -> Tried {
    let examined = Examined { create, wire: Arc::new(wire), round_trip: Duration::from_micros(412) };
    Tried::Read(Box::new(Read { server_version: "15.8".into(), read_only: None, examined }))
}

/// One tenant in each state, and two that lack the same.
fn sample() -> (Sample, Vec<Checked>) {
    let names = ["acme", "beta", "gamma", "demo", "hooli", "initech", "umbrella", "wayne"];
    let engine = |name: &str| match name {
        "demo" => Sqlite,
        "hooli" | "initech" => MySql,
        _ => Postgres,
    };
    let mut sample = Sample::of(&names.map(|name| (name, engine(name))), 1).quarantined(6, "moves");
    sample.fleet.tenants[7].provisioning = true;
    let refused = Diagnostic::new(Code::ACCESS_DENIED, "server us refuses the user `app`").cause("1045: denied");
    let Tried::Read(mut standby) = read(Right::Granted, Wire::Plain) else { unreachable!("made so") };
    standby.read_only = Some("read_only is ON".into());
    let tried = [
        read(Right::Granted, encrypted()),
        read(lacking("beta"), encrypted()),
        read(lacking("gamma"), Wire::Plain),
        read(Right::Granted, Wire::File),
        Tried::Failed(refused),
        Tried::Read(standby),
        Tried::PassedOver,
        Tried::PassedOver,
    ];
    let checked = tried.into_iter().enumerate().map(|(at, tried)| Checked { tenant: TenantId(at), tried });
    (sample, checked.collect())
}

fn told(sample: &Sample, checked: &[Checked], format: CheckFormat) -> String {
    let mut out = Vec::new();
    CheckReport::new(&sample.scope(), checked).write(format, Paint::Plain, None, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table_has_what_is_wrong_first() {
    let (sample, checked) = sample();
    assert_eq!(
        told(&sample, &checked, CheckFormat::Table),
        "\
name      state         engine    server  version  tls      may            ms  note
hooli     failed        mysql     us      -        -        -               -  server us refuses the user `app`: 1045: denied
initech   read-only     mysql     us      15.8     plain    read, create  0.4  server us takes no writes: read_only is ON
beta      lacking       postgres  eu      15.8     TLSv1.3  read          0.4  user app may not create in schema beta
gamma     lacking       postgres  eu      15.8     plain    read          0.4  user app may not create in schema gamma
wayne     provisioning  postgres  eu      -        -        -               -
umbrella  quarantined   postgres  eu      -        -        -               -  moves
acme      fine          postgres  eu      15.8     TLSv1.3  read, create  0.4
demo      fine          sqlite    data    15.8     -        read, create  0.4

8 tenants: 1 failed, 1 read-only, 2 lacking, 1 provisioning, 1 quarantined, 2 fine
"
    );
}

#[test]
fn the_json_format_is_pinned() {
    let (sample, mut checked) = sample();
    checked.truncate(5);
    assert_eq!(told(&sample, &checked, CheckFormat::Json), include_str!("../pinned/check.json"));
}

#[test]
fn what_many_lack_is_one_finding_with_their_names() {
    let (sample, checked) = sample();
    let said: Vec<String> = check_findings(&sample.scope(), &checked).iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert_eq!(
        said[0],
        "error[MT315]: user app may not create in schema beta\nstate: 2 tenants: beta, gamma\n\
         hint: GRANT CREATE ON SCHEMA \"beta\" TO \"app\""
    );
}

#[test]
fn anything_that_would_stop_up_is_status_5_and_who_is_left_out_is_not() {
    let (sample, checked) = sample();
    for (at, exit) in [
        (0, ExitStatus::Done),
        (1, ExitStatus::Unreachable),
        (3, ExitStatus::Done),
        (4, ExitStatus::Unreachable),
        (5, ExitStatus::Unreachable),
        (6, ExitStatus::Done),
        (7, ExitStatus::Done),
    ] {
        let scope = sample.scope();
        assert_eq!(CheckReport::new(&scope, &checked[at..=at]).exit(), exit, "{at}");
    }
}

#[test]
fn a_version_is_shown_without_what_a_distribution_adds() {
    for (whole, short) in [
        ("10.11.6-MariaDB-0+deb12u1", "10.11.6-MariaDB"),
        ("15.8 (Debian 15.8-1.pgdg120+1)", "15.8"),
        ("3.46.0", "3.46.0"),
        ("", ""),
    ] {
        assert_eq!(super::in_short(whole), short);
    }
}
