//! Stories of whole folders: load, then check.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::error::{Code, Diagnostic};
use crate::sql::EngineKind::{self, *};

/// A folder on disk, gone with the test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    fn names<'f>(files: impl IntoIterator<Item = &'f str>) -> Self {
        Self::new(files.into_iter().map(|name| (name, "SELECT 1;\n")))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn load(&self) -> Changelog {
        load(self.path()).unwrap_or_else(|e| panic!("{e:?}")).changelog
    }

    /// Returns each error as code, file, message and hint, without the folder.
    fn errors(&self) -> Vec<String> {
        self.told(&load(self.path()).unwrap_err())
    }

    fn told(&self, diagnostics: &[Diagnostic]) -> Vec<String> {
        let folder = format!("{}/", self.path().display());
        let tell = |d: &Diagnostic| format!("{} {} | {}", d.code(), d.message(), d.what_next().unwrap_or_default());
        diagnostics.iter().map(|d| tell(d).replace(&folder, "")).collect()
    }

    fn check(&self, engines: &[EngineKind]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        check(&self.load(), &engines.iter().copied().collect::<BTreeSet<_>>())
    }
}

fn codes(result: Result<Vec<Diagnostic>, Vec<Diagnostic>>) -> Result<Vec<Code>, Vec<Code>> {
    let codes = |list: Vec<Diagnostic>| list.iter().map(Diagnostic::code).collect();
    result.map(codes).map_err(codes)
}

#[test]
fn a_folder_is_loaded_in_order_of_number_with_every_engines_own_texts() {
    let folder = Folder::new([
        ("V10__last.sql", "SELECT 10;"),
        ("V2__search.sql", "SELECT 'any';"),
        ("postgres/V2__search.sql", "SELECT 'pg';"),
        ("V2__search.down.sql", "SELECT 'back';"),
        ("mysql/V2__search.down.sql", "SELECT 'back, mysql';"),
        ("U1__first.sql", "-- nothing\n"),
        ("sqlite/V20261121093000__wide.sql", "SELECT 1;"),
        ("README.md", "# V1__x.sql is described here"),
        (".gitkeep", ""),
        ("docs/notes.md", ""),
    ]);
    let changelog = folder.load();
    let shown: Vec<String> = changelog.changesets().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["U1__first", "V2__search", "V10__last", "V20261121093000__wide"]);
    assert_eq!(changelog.width(), Width::Int8);
    let search = changelog.get(Version(2)).unwrap();
    assert_eq!(search.text(Postgres).unwrap().sql, "SELECT 'pg';");
    assert_eq!(search.text(Sqlite).unwrap().sql, "SELECT 'any';");
    assert_eq!(search.down(Postgres).unwrap().sql, "SELECT 'back';");
    assert_eq!(search.down(MySql).unwrap().sql, "SELECT 'back, mysql';");
    assert_eq!(search.variants().collect::<Vec<_>>(), [Postgres]);
    let first = changelog.get(Version(1)).unwrap().text(MySql).unwrap();
    assert!(first.empty);
    assert_eq!(first.file, folder.path().join("U1__first.sql").display().to_string());
    assert!(!changelog.get(Version(10)).unwrap().text(MySql).unwrap().empty);
}

#[test]
fn a_checkout_on_windows_has_the_same_checksums() {
    let unix = Folder::new([("V1__a.sql", "SELECT 1;\nSELECT 2;\n")]).load();
    let windows = Folder::new([("V1__a.sql", "\u{feff}SELECT 1;\r\nSELECT 2;\r\n")]).load();
    let text = |changelog: &Changelog| changelog.changesets()[0].text(Postgres).unwrap().clone();
    for width in [Width::Int4, Width::Int8] {
        assert_eq!(text(&unix).checksum(width), text(&windows).checksum(width));
    }
    assert_eq!(text(&windows).sql, "SELECT 1;\nSELECT 2;\n");
}

#[test]
fn every_mistake_of_a_folder_is_told_in_one_go() {
    let folder = Folder::names([
        "V1__a.sql",
        "V01__a.sql",
        "U2__b.sql",
        "V2__b.sql",
        "V3_add.sql",
        "V4__x.txt",
        "V5__x.sql",
        "mysql/V5__y.sql",
        "V6__gone.down.sql",
        "V5__z.down.sql",
        "mariadb/V1__a.sql",
        "Postgres/V1__a.sql",
        "old/2024/V1__a.sql",
        "mysql/more/V1__a.sql",
    ]);
    folder.write("V7__latin.sql", b"-- Gr\xf6\xdfe\n");
    folder.write("V8__typo.sql", b"-- mtmigrate: no-transactoin\n");
    assert_eq!(
        folder.errors(),
        [
            "MT120 Postgres/V1__a.sql would never run: Postgres/ is no engine's folder | name the folder postgres",
            "MT121 V1__a.sql and V01__a.sql both have version 1 | give one of them a version of its own",
            "MT121 V2__b.sql and U2__b.sql both have version 2 | give one of them a version of its own",
            "MT120 V3_add.sql is no changeset: between version and name stand two underscores | name it V3__add.sql",
            "MT120 V4__x.txt is no changeset: its extension is not `.sql` | name it V4__x.sql",
            "MT131 V5__z.down.sql takes back a changeset that is not there: V5__z.sql | version 5 is V5__x: name the \
             file V5__x.down.sql",
            "MT131 V6__gone.down.sql takes back a changeset that is not there: V6__gone.sql | add V6__gone.sql, or \
             remove the file",
            "MT122 V7__latin.sql is not UTF-8: byte 0xf6 at offset 5 | save the file as UTF-8",
            "MT123 the directive `no-transactoin` is unknown | did you mean `no-transaction`?",
            "MT120 mariadb/V1__a.sql would never run: mariadb/ is no engine's folder | name the folder mysql; mysql/ \
             serves MariaDB too",
            "MT121 mysql/V5__y.sql and V5__x.sql both have version 5 | if it is this engine's text of V5__x, name it \
             V5__x.sql; else give it another version",
            "MT120 mysql/more/V1__a.sql would never run: more/ is no engine's folder | engines' own texts belong into \
             postgres/, mysql/ or sqlite/ beside the default ones; other files elsewhere",
            "MT120 old/2024/V1__a.sql would never run: old/ is no engine's folder | engines' own texts belong into \
             postgres/, mysql/ or sqlite/ beside the default ones; other files elsewhere",
        ]
    );
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_an_empty_one_is_not() {
    let folder = Folder::names([]);
    assert!(folder.load().changesets().is_empty());
    let errors = load(&folder.path().join("gone")).unwrap_err();
    assert_eq!(errors[0].code(), Code::FILE_UNREADABLE);
    assert!(errors[0].what_next().unwrap().contains("mtmigrate init"));
    folder.write("file", b"");
    assert_eq!(load(&folder.path().join("file")).unwrap_err()[0].code(), Code::FILE_UNREADABLE);
}

#[test]
fn an_editors_backup_is_skipped_aloud() {
    let folder = Folder::names(["V1__a.sql", "V1__a.sql~"]);
    let loaded = load(folder.path()).unwrap();
    assert_eq!(loaded.changelog.changesets().len(), 1);
    assert_eq!(
        folder.told(&loaded.warnings),
        ["MT120 V1__a.sql~ is skipped: it looks like an editor's backup | remove it"]
    );
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_is_read_and_a_broken_one_is_an_error() {
    use std::os::unix::fs::symlink;
    let folder = Folder::names(["V1__a.sql", "mysql/V2__b.sql"]);
    symlink(folder.path().join("V1__a.sql"), folder.path().join("V3__c.sql")).unwrap();
    symlink("mysql", folder.path().join("sqlite")).unwrap();
    folder.write("docs/notes.md", b"");
    symlink("..", folder.path().join("docs/loop")).unwrap();
    let changelog = folder.load();
    assert_eq!(changelog.get(Version(3)).unwrap().text(Postgres).unwrap().sql, "SELECT 1;\n");
    assert!(changelog.get(Version(2)).unwrap().text(Sqlite).is_some());
    symlink("gone", folder.path().join("V4__d.sql")).unwrap();
    symlink("gone", folder.path().join("notes.md")).unwrap();
    std::fs::create_dir(folder.path().join("V5__e.sql")).unwrap();
    assert_eq!(
        folder.errors(),
        [
            "MT101 V4__d.sql cannot be read | it is a symbolic link: mend or remove it",
            "MT120 V5__e.sql is no changeset: it is a folder | name it V<version>__<name>.sql, as V7__add_invoices.sql; \
         what is no changeset belongs elsewhere",
        ]
    );
}

#[test]
fn an_engine_of_the_fleet_without_a_text_is_an_error() {
    let folder = Folder::names(["V1__a.sql", "postgres/V5__b.sql"]);
    assert!(folder.check(&[Postgres]).is_ok());
    assert_eq!(
        folder.told(&folder.check(&EngineKind::ALL).unwrap_err()),
        ["MT127 changeset V5__b has no text for mysql and sqlite, which tenants of the fleet run on | add \
         mysql/V5__b.sql and sqlite/V5__b.sql, or V5__b.sql for every engine; comments alone are a text that does \
         nothing"]
    );
}

#[test]
fn a_text_is_judged_by_the_engines_that_run_it_and_no_other() {
    let folder =
        Folder::new([("V1__f.sql", "CREATE FUNCTION f() RETURNS text AS $$ SELECT $q$don't$q$ $$ LANGUAGE sql;\n")]);
    assert_eq!(codes(folder.check(&[Postgres])), Ok(vec![]));
    assert_eq!(codes(folder.check(&[Postgres, Sqlite])), Err(vec![Code::BROKEN_SQL]));
    folder.write("sqlite/V1__f.sql", b"-- functions are for PostgreSQL\n");
    assert_eq!(codes(folder.check(&[Postgres, Sqlite])), Ok(vec![Code::EMPTY_CHANGESET]));
}

#[test]
fn a_text_that_commits_is_refused_once_with_its_line_unless_it_has_no_transaction_on_a_server() {
    let text = "CREATE TABLE a (id int);\n  COMMIT;\nBEGIN;\n";
    let folder = Folder::new([("V1__a.sql", text)]);
    let errors = folder.check(&EngineKind::ALL).unwrap_err();
    assert_eq!(errors.iter().map(Diagnostic::code).collect::<Vec<_>>(), [Code::TRANSACTION_CONTROL]);
    let place = errors[0].place().unwrap();
    assert_eq!((place.line, place.column, place.len), (2, 3, 6));
    folder.write("V1__a.sql", format!("-- mtmigrate: no-transaction\n{text}").as_bytes());
    assert_eq!(codes(folder.check(&[Postgres, MySql])), Ok(vec![]));
    assert_eq!(codes(folder.check(&[Sqlite])), Err(vec![Code::TRANSACTION_CONTROL]));
}

#[test]
fn a_text_for_a_server_of_another_sql_mode_is_not_called_broken() {
    let folder =
        Folder::new([("V1__a.sql", "INSERT INTO \"t\" VALUES ('ends in \\');\nINSERT INTO t VALUES ('\\');\n")]);
    assert_eq!(codes(folder.check(&[MySql])), Ok(vec![]));
    folder.write("V1__a.sql", b"SELECT 'open;\n");
    assert_eq!(codes(folder.check(&[MySql])), Err(vec![Code::BROKEN_SQL]));
}

#[test]
fn what_only_a_client_program_understands_is_refused_in_down_texts_too() {
    for (name, text, engine) in [
        ("V1__a.sql", "\\connect other\nSELECT 1;\n", Postgres),
        ("V1__a.sql", "COPY t FROM STDIN;\n1\n\\.\n", Postgres),
        ("V1__a.sql", ".mode csv\nSELECT 1;\n", Sqlite),
        ("V1__a.down.sql", "\\restrict x\nSELECT 1;\n", Postgres),
    ] {
        let folder = Folder::new([("V1__a.sql", "SELECT 1;"), (name, text)]);
        assert_eq!(codes(folder.check(&[engine])), Err(vec![Code::NOT_SQL]), "{text}");
    }
}

#[test]
fn a_pragma_without_effect_and_a_text_without_a_statement_are_warned_about() {
    let folder = Folder::new([
        ("V1__a.sql", "PRAGMA foreign_keys = off;\nSELECT 1;\nPRAGMA foreign_keys = on;\n"),
        ("V2__b.sql", "/* moved to V3 */\n"),
        ("V3__c.sql", ""),
    ]);
    let warned = Ok(vec![Code::FOREIGN_KEYS_PRAGMA, Code::EMPTY_CHANGESET, Code::EMPTY_CHANGESET]);
    assert_eq!(codes(folder.check(&[Sqlite])), warned);
}

#[test]
fn the_repositorys_own_example_is_sound_on_every_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let changelog = load(&folder).unwrap_or_else(|e| panic!("{e:?}")).changelog;
    assert_eq!(changelog.changesets().len(), 8);
    assert_eq!(changelog.get(Version(5)).unwrap().variants().collect::<Vec<_>>(), [Postgres, MySql]);
    let every = EngineKind::ALL.into_iter().collect();
    assert!(check(&changelog, &every).unwrap_or_else(|e| panic!("{e:?}")).is_empty());
}
