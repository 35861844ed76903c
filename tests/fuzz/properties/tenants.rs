//! `tenants.yaml`: one text, and an environment whose variables hold a secret.

use std::collections::HashSet;
use std::path::Path;

use mtmigrate::error::{Paint, render};
use mtmigrate::tenant::{Access, Environment, Fleet, parse};

use super::assert_sound;

/// What every variable holds, and where the file would be: relative paths lead nowhere.
const SECRET: &str = "c4n4ry:/@?#%'\"{}";
const FILE: &str = "/nonexistent/fleet/tenants.yaml";

/// How the secret looks inside other texts.
const MARK: &str = "c4n4ry";

/// Variables named `UNSET…` are not set, `EMPTY…` are empty, all others hold the secret.
struct Variables;

impl Environment for Variables {
    fn var(&self, name: &str) -> Option<String> {
        match name {
            _ if name.starts_with("UNSET") => None,
            _ if name.starts_with("EMPTY") => Some(String::new()),
            _ => Some(SECRET.to_owned()),
        }
    }
}

/// Checks one text; bytes that are not UTF-8 are replaced.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // Files of this machine are not part of the input.
    if text.contains("file:") || text.contains(MARK) {
        return;
    }
    let parsed = parse(Path::new(FILE), &text, &Variables);
    let again = parse(Path::new(FILE), &text, &Variables);
    assert_eq!(format!("{parsed:?}"), format!("{again:?}"), "another time, another answer");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match parsed {
        Ok(fleet) => check_fleet(&fleet),
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for mistake in &mistakes {
                assert_sound(mistake, text);
                assert!(!render(mistake, Paint::Plain).contains(MARK), "{mistake:?}");
                assert!(!format!("{mistake:?}").contains(MARK));
            }
            let places: Vec<_> =
                mistakes.iter().filter_map(|one| one.place()).map(|place| (place.line, place.column)).collect();
            assert!(places.is_sorted(), "{places:?}");
        }
    }
}

/// What is accepted is a fleet: each tenant has a name and a home of its own, and every number is in its bounds.
fn check_fleet(fleet: &Fleet) {
    let (mut names, mut homes, mut addresses) = (HashSet::new(), HashSet::new(), HashSet::new());
    for server in &fleet.servers {
        assert!(server.max_connections.get() >= 2, "{server:?}");
        assert!(!server.connect_timeout.is_zero(), "{server:?}");
        assert!(addresses.insert((server.engine, &server.address)), "{server:?} is there twice");
    }
    for (index, tenant) in fleet.tenants.iter().enumerate() {
        assert_eq!(tenant.id.0, index);
        assert!(!tenant.name.is_empty() && !tenant.name.chars().any(char::is_control), "{tenant:?}");
        assert!(names.insert(&tenant.name), "{tenant:?} is there twice");
        assert!(homes.insert((tenant.server, &tenant.datasource)), "{tenant:?} lives with another");
        assert_eq!(fleet.server(tenant.server).engine, tenant.datasource.engine());
        assert!(!tenant.labels.contains(""));
        assert!(tenant.quarantined.as_ref().is_none_or(|reason| !reason.trim().is_empty()));
        check_access(&tenant.access);
    }
}

/// The password is not shown, whatever else is.
fn check_access(access: &Access) {
    let shown = format!("{access:?}");
    let others_hold_it = access.user.as_ref().is_some_and(|user| user.contains(MARK)) || access.tls.client.is_some();
    assert!(others_hold_it || !shown.contains(MARK), "{shown}");
}
