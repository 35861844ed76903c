//! One changeset's file: its bytes, its directives, and the checks under each engine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mtmigrate::changeset::{self, Changelog, Directives, Text, Width};
use mtmigrate::error::Diagnostic;
use mtmigrate::sql::EngineKind;

use super::assert_sound;

const NAME: &str = "V1__x.sql";

/// Checks one file in a folder that holds nothing else.
pub fn check(bytes: &[u8], folder: &Path) {
    let text = String::from_utf8_lossy(bytes);
    let loaded = load(bytes, folder);
    let would_run = check_engines(&text, &loaded);
    match loaded {
        Ok(changelog) => {
            let found = only(&changelog);
            check_text(bytes, found);
            if would_run {
                check_asked(found);
            }
            check_rewritten(found, folder);
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| assert_sound(error, &text));
            let places: Vec<_> =
                errors.iter().map(|error| error.place().map(|place| (place.line, place.column))).collect();
            assert!(places.is_sorted(), "{places:?}");
        }
    }
}

fn load(bytes: &[u8], folder: &Path) -> Result<Changelog, Vec<Diagnostic>> {
    fs::write(folder.join(NAME), bytes).expect("the folder can be written");
    let loaded = changeset::load(folder).map(|loaded| loaded.changelog);
    let shown = |loaded: &Result<Changelog, _>| format!("{loaded:?}");
    let again = changeset::load(folder).map(|loaded| loaded.changelog);
    assert_eq!(shown(&loaded), shown(&again), "another time, another answer");
    loaded
}

fn only(changelog: &Changelog) -> &Text {
    let [changeset] = changelog.changesets() else { panic!("one file, one changeset: {changelog:?}") };
    changeset.text(EngineKind::Postgres).expect("the default text is every engine's")
}

/// What each engine would say points into the file. Returns whether some engine would run it.
fn check_engines(text: &str, loaded: &Result<Changelog, Vec<Diagnostic>>) -> bool {
    let Ok(changelog) = loaded else { return false };
    let mut would_run = false;
    let alone = EngineKind::ALL.map(|engine| BTreeSet::from([engine]));
    for engines in alone.into_iter().chain([BTreeSet::from(EngineKind::ALL)]) {
        let checked = changeset::check(changelog, &engines);
        would_run |= checked.is_ok();
        let (Ok(said) | Err(said)) = checked;
        said.iter().for_each(|one| assert_sound(one, text));
    }
    would_run
}

/// The text is the file's, whatever its line ends and its byte order mark, and so is its checksum.
fn check_text(bytes: &[u8], found: &Text) {
    let raw = std::str::from_utf8(bytes).expect("what is accepted is UTF-8");
    assert_eq!(found.sql, raw.strip_prefix('\u{feff}').unwrap_or(raw).replace("\r\n", "\n"));
    assert!(!found.sql.contains('\0'));
    for width in [Width::Int4, Width::Int8] {
        assert!(found.matches(found.checksum(width)));
        assert!(!found.matches(found.checksum(width) ^ 1) || found.checksum(width) ^ 1 == found.checksum(Width::Int8));
    }
}

/// A directive in the first lines is never passed over.
fn check_asked(found: &Text) {
    let Directives { no_transaction, lock_timeout, statement_timeout, .. } = &found.directives;
    for line in found.sql.lines().take_while(|line| line.trim().is_empty() || line.starts_with("-- ")) {
        let Some(directive) = line.strip_prefix("-- mtmigrate:") else { continue };
        let kept = match directive.trim_start().split([' ', '\t', '=']).next() {
            Some("no-transaction") => *no_transaction,
            Some("lock-timeout") => lock_timeout.is_some(),
            Some("statement-timeout") => statement_timeout.is_some(),
            // Others are known or refused.
            _ => true,
        };
        assert!(kept, "passed over: {line:?}");
    }
}

/// The directives, written anew, say the same.
fn check_rewritten(found: &Text, folder: &Path) {
    let &Directives { no_transaction, lock_timeout, statement_timeout, .. } = &found.directives;
    let mut written = String::new();
    if no_transaction {
        written.push_str("-- mtmigrate: no-transaction\n");
    }
    for (word, value) in [("lock-timeout", lock_timeout), ("statement-timeout", statement_timeout)] {
        if let Some(value) = value {
            written.push_str(&format!("-- mtmigrate: {word} {}ns\n", value.as_nanos()));
        }
    }
    let again =
        load(format!("{written}SELECT 1;\r\n").as_bytes(), folder).expect("what was accepted is accepted again");
    let again = only(&again);
    assert_eq!(again.directives.no_transaction, no_transaction);
    assert_eq!((again.directives.lock_timeout, again.directives.statement_timeout), (lock_timeout, statement_timeout));
    assert!(!again.empty);
}
