//! Makes a tenant's file: empty, or a copy of a template.
//!
//! The copy is made beside its place and moved there when it is whole: what is in the place is never half a file, and a
//! file that is there is never replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::engine::{Creation, Made, not_made};
use crate::error::{Diagnostic, Result};
use crate::tenant::{Datasource, Tenant};

/// What is to be made, owned.
pub(super) struct Making {
    tenant: Tenant,
    template: Option<PathBuf>,
}

impl Making {
    pub fn of(creation: &Creation<'_>) -> Self {
        Self { tenant: creation.tenant.clone(), template: creation.template.map(Path::to_owned) }
    }

    /// Makes the file, if it is not there. Blocks.
    pub fn make(&self) -> Result<Made> {
        let Datasource::Sqlite { file, .. } = &self.tenant.datasource else {
            return Err(self.failed("it is of another engine"));
        };
        match fs::symlink_metadata(file) {
            Ok(_) => return Ok(Made::There),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(self.failed(&error.to_string())),
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
        if let Some(folder) = folder {
            return Err(self
                .failed(&format!("its folder {} is not there", folder.display()))
                .hint("make the folder, or correct the tenant's path; then type it again"));
        }
        let made = match &self.template {
            Some(template) => self.copy(template, file)?,
            None => OpenOptions::new().write(true).create_new(true).open(file).and_then(|made| made.sync_all()),
        };
        match made.and_then(|()| settle(file)) {
            Ok(()) => Ok(Made::New),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Made::There),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// Copies the template as it stands at one moment, its `-wal` included, whoever writes to it.
    /// <https://sqlite.org/lang_vacuum.html#vacuuminto>
    fn copy(&self, template: &Path, file: &Path) -> Result<io::Result<()>> {
        let beside = beside(file);
        let cleared = match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if let Err(error) = cleared {
            return Ok(Err(error));
        }
        let copied = Connection::open_with_flags(template, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|from| from.execute("VACUUM INTO ?1", [beside.to_string_lossy()]));
        if let Err(error) = copied {
            let _ = fs::remove_file(&beside);
            return Err(self
                .failed(&format!("the template {} cannot be copied: {error}", template.display()))
                .hint("name a SQLite file at `template:`; a relative path begins at the folder of tenants.yaml"));
        }
        let moved = File::open(&beside).and_then(|whole| whole.sync_all()).and_then(|()| move_there(&beside, file));
        if moved.is_err() {
            let _ = fs::remove_file(&beside);
        }
        Ok(moved)
    }

    fn failed(&self, why: &str) -> Diagnostic {
        not_made(&self.tenant, why)
    }
}

/// Where the copy is made. Under the run lock nobody else makes one.
fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    file.with_file_name(format!(".{name}.mtmigrate-copy"))
}

/// Gives the copy its name, and replaces nothing: a link, unlike a renaming, is refused where a file is.
fn move_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // A file system without links.
        Err(_) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        Err(_) => Err(ErrorKind::AlreadyExists.into()),
    }
}

/// Makes the new name durable, where a directory can be opened.
fn settle(file: &Path) -> io::Result<()> {
    match file.parent().map(File::open) {
        Some(Ok(directory)) if cfg!(unix) => directory.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::tenant::{ServerId, TenantId};

    use super::*;

    fn making(file: &Path, template: Option<&Path>) -> Making {
        let datasource = Datasource::Sqlite { shown: "x".into(), file: file.to_owned(), create: false };
        let tenant = Tenant::new(TenantId(0), "a", ServerId(0), datasource);
        Making { tenant, template: template.map(Path::to_owned) }
    }

    #[test]
    fn a_template_is_copied_with_its_wal_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (template, file) = (folder.path().join("it's a template.db"), folder.path().join("a'b.db"));
        let open = Connection::open(&template).unwrap();
        open.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES (7)").unwrap();
        fs::write(beside(&file), "what a run that was killed has left").unwrap();
        assert_eq!(making(&file, Some(&template)).make().unwrap(), Made::New);
        let seen: i64 = Connection::open(&file).unwrap().query_row("SELECT x FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(seen, 7);
        assert!(!beside(&file).exists());
        open.execute_batch("DELETE FROM t").unwrap();
        assert_eq!(making(&file, Some(&template)).make().unwrap(), Made::There);
        let left: i64 =
            Connection::open(&file).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_template_that_is_none_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        fs::write(folder.path().join("text"), "no database at all, but text that is long enough to be looked at")
            .unwrap();
        for template in ["missing.db", "text"] {
            let refused = making(&file, Some(&folder.path().join(template))).make().unwrap_err();
            assert!(refused.causes()[0].contains("cannot be copied"), "{refused:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(making(&file, None).make().unwrap(), Made::New);
        assert_eq!(fs::metadata(&file).unwrap().len(), 0);
    }
}
