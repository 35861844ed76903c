//! Opens a tenant's file: to write, or to read without leaving a trace.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::kept::Shelf;
use super::writing::Writing;
use super::{fault, fence};
use crate::error::{Code, Diagnostic, Result};
use crate::tenant::{Datasource, Tenant};

/// How long a reader waits for a writer that is in the middle of its commit.
const READ_WAIT: Duration = Duration::from_secs(5);

/// How often a file is read anew because it was changed meanwhile, before it is read with locks.
const STILL_TRIES: u32 = 3;

const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// A tenant's file.
pub(super) struct File<'t> {
    /// As the user wrote it.
    pub shown: &'t str,
    path: &'t Path,
    create: bool,
    shelf: &'t Shelf,
}

impl<'t> File<'t> {
    /// Returns the file in which a tenant lives; `shelf` has the connections of its directory that are kept.
    ///
    /// # Errors
    /// `MT900` for a tenant of another engine.
    pub fn of(tenant: &'t Tenant, shelf: &'t Shelf) -> Result<Self> {
        match &tenant.datasource {
            Datasource::Sqlite { shown, file, create } => Ok(Self { shown, path: file, create: *create, shelf }),
            other => Err(Diagnostic::new(
                Code::BUG,
                format!("tenant {} ({}) was given to a directory of SQLite files", tenant.name, other.engine()),
            )),
        }
    }

    /// Opens it to write; makes it, and its folder, only where the tenant asks for that.
    ///
    /// Foreign keys are not enforced on the connection: with `foreign_keys=ON`, as the bundled SQLite has it by
    /// default, dropping a table that is rebuilt deletes its children's rows. The pragma has no effect inside a
    /// transaction, so this is the last moment for it. <https://www.sqlite.org/lang_altertable.html#otheralter>
    /// `defer_foreign_keys` would not help: it delays the check, not the deletes.
    ///
    /// The [`fence`] stands around it. Loadable extensions are off by SQLite's own default.
    ///
    /// # Errors
    /// `MT312` where it is missing, `MT310` where it cannot be opened, `MT318` where it is no database.
    pub fn to_write(&self) -> Result<Writing> {
        self.shelf.forget(self.path);
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if self.find()?.is_none() {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder).map_err(|e| {
                    Diagnostic::new(Code::UNREACHABLE, format!("the folder of {} cannot be made", self.shown))
                        .cause(e.to_string())
                        .hint("make it, or let this user make it")
                })?;
            }
        }
        let opened = Connection::open_with_flags(self.path, flags).and_then(|mut connection| {
            connection.pragma_update(None, "foreign_keys", false)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false)?;
            fence::put(&mut connection)?;
            Ok(Writing::new(connection))
        });
        opened.map_err(|e| fault::unreadable(self.shown, &e))
    }

    /// As [`File::to_write`], with a connection that was kept if there is one: for what gets the same answers in each.
    ///
    /// # Errors
    /// As there.
    pub fn to_write_again(&self) -> Result<Writing> {
        self.shelf.take(self.path, true).map_or_else(|| self.to_write(), Ok)
    }

    /// Keeps a connection for the next order or look, if that may be: one of [`File::to_write`] that left nothing in its
    /// session.
    pub fn keep(&self, connection: Writing) {
        self.shelf.put(self.path, connection, true);
    }

    /// Reads the file as it is; without a file that may be missing, answers nothing.
    ///
    /// Writes nothing and makes nothing, with two exceptions that SQLite owes to every reader: it completes the
    /// rollback of a writer that was killed, and makes `-shm` anew beside a `-wal` that was left without one.
    ///
    /// # Errors
    /// `MT312` where it is missing, `MT310` where it cannot be opened, `MT318` where it cannot be read.
    pub fn read<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<Option<T>> {
        if let Some(connection) = self.shelf.take(self.path, false)
            && let Ok(done) = in_one_look(&connection, &work)
        {
            let writes = connection.is_readonly("main").is_ok_and(|read_only| !read_only);
            self.shelf.put(self.path, connection, writes);
            return Ok(Some(done));
        }
        if cfg!(unix) && self.find()?.is_some() {
            match self.read_without_wal(&work) {
                Ok(done) => return Ok(Some(done)),
                Err(e) if fault::kind(&e) == Some(ErrorCode::DatabaseBusy) && !self.has_wal() => {
                    return Err(fault::unreadable(self.shown, &e));
                }
                Err(_) => {}
            }
        }
        let mut tries = 0;
        while let Some(before) = self.find()? {
            let still = tries < STILL_TRIES && self.is_wal_at_rest();
            let done = if still { self.read_still(&work) } else { self.read_with_locks(&work) };
            if still && !self.is_as(&before) {
                tries += 1;
                continue;
            }
            return done.map(Some).map_err(|e| match fault::kind(&e) {
                // The `-wal` cannot be read without a `-shm`, and none can be made here.
                Some(ErrorCode::CannotOpen) if self.has_wal() => fault::unrecovered(self.shown, &e),
                _ => fault::unreadable(self.shown, &e),
            });
        }
        Ok(None)
    }

    /// Returns whether this user may write to the file; a missing one can be written to.
    ///
    /// Not by opening it: closing a file that SQLite has open in the same process drops its locks.
    /// <https://www.sqlite.org/howtocorrupt.html> (2.2)
    #[cfg(unix)]
    pub fn takes_writes(&self) -> bool {
        use rustix::fs::{Access, access};
        access(self.path, Access::WRITE_OK).is_ok() || !self.path.exists()
    }

    /// As above, by SQLite's own opening.
    #[cfg(not(unix))]
    pub fn takes_writes(&self) -> bool {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(self.path, flags)
            .is_ok_and(|c| c.is_readonly("main").is_ok_and(|read_only| !read_only))
            || !self.path.exists()
    }

    /// Returns whether this user may make files beside it, as SQLite does while it writes; a folder that is not there yet
    /// is made with the file.
    pub fn folder_takes_files(&self) -> bool {
        let folder = self.path.parent().filter(|folder| folder.exists());
        #[cfg(unix)]
        return folder.is_none_or(|folder| rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok());
        #[cfg(not(unix))]
        return folder.is_none_or(|folder| folder.metadata().is_ok_and(|found| !found.permissions().readonly()));
    }

    /// Reads a file that is not in WAL mode, as nearly all are, with one connection; refuses another one at once.
    ///
    /// A connection that wants the file for itself, and may not write to it, gets no lock to open a `-wal` with, and
    /// makes none. Once the file is locked as for any reader it wants it no longer.
    fn read_without_wal<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.path, read_only)?;
        connection.busy_timeout(READ_WAIT)?;
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE;
             BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1;
             PRAGMA locking_mode = NORMAL",
        )?;
        let done = work(&connection)?;
        connection.execute_batch("COMMIT")?;
        self.shelf.put(self.path, Writing::new(connection), false);
        Ok(done)
    }

    fn read_with_locks<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let done = Connection::open_with_flags(self.path, read_only).and_then(|c| in_one_look(&c, &work));
        match &done {
            // A writer was killed, and its rollback is still to be done: any connection that may write does it.
            // <https://www.sqlite.org/lockingv3.html#hot_journals>
            Err(e) if fault::owes_recovery(e) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(self.path, flags).and_then(|c| in_one_look(&c, &work)).or(done)
            }
            _ => done,
        }
    }

    /// Reads a file that nobody has open, without the `-wal` and `-shm` that a reader would make and leave behind.
    ///
    /// <https://www.sqlite.org/wal.html#read_only_databases>
    fn read_still<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        in_one_look(&self.by_uri("immutable=1")?, &work)
    }

    /// Returns whether the file is in WAL mode and nobody has it open.
    ///
    /// Without locks SQLite refuses a file in WAL mode: that answers it without a look into the file by other means,
    /// which would drop the locks of SQLite's connections in this process.
    fn is_wal_at_rest(&self) -> bool {
        if self.has_wal() {
            return false;
        }
        let look = |c: Connection| c.query_row("PRAGMA schema_version", [], |_| Ok(()));
        let refused = self.by_uri("nolock=1").and_then(look);
        refused.is_err_and(|e| fault::kind(&e) == Some(ErrorCode::CannotOpen))
    }

    fn by_uri(&self, parameter: &str) -> rusqlite::Result<Connection> {
        let path = percent_encode(self.path.as_os_str().as_encoded_bytes(), IN_PATH);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(format!("file:{path}?mode=ro&{parameter}"), flags)
    }

    fn has_wal(&self) -> bool {
        let mut wal = self.path.as_os_str().to_owned();
        wal.push("-wal");
        PathBuf::from(wal).exists()
    }

    fn is_as(&self, before: &Metadata) -> bool {
        let same = |now: Metadata| now.len() == before.len() && now.modified().ok() == before.modified().ok();
        !self.has_wal() && fs::metadata(self.path).is_ok_and(same)
    }

    /// Looks for the file; answers nothing where it is missing and may be.
    fn find(&self) -> Result<Option<Metadata>> {
        let shown = self.shown;
        match fs::metadata(self.path) {
            Ok(found) if found.is_file() => Ok(Some(found)),
            Ok(found) => {
                let what = if found.is_dir() { "a directory" } else { "not a regular file" };
                Err(Diagnostic::new(Code::UNREACHABLE, format!("{shown} is {what}, not a database file"))
                    .hint("correct the tenant's path"))
            }
            Err(e) if e.kind() == ErrorKind::NotFound && self.create => Ok(None),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(Diagnostic::new(Code::NO_DATABASE, format!("file {shown} does not exist"))
                    .hint("create it, correct the tenant's path, or let mtmigrate create it: `?mode=rwc` in the URL"))
            }
            Err(e) => Err(Diagnostic::new(Code::UNREACHABLE, format!("file {shown} cannot be opened"))
                .cause(e.to_string())
                .hint("let this user open the file and every folder above it")),
        }
    }
}

/// Works in one read transaction, so that all that is read was true at one instant.
///
/// The first query takes the lock; from then on what the connection knows of the schema holds.
fn in_one_look<T>(connection: &Connection, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    connection.busy_timeout(READ_WAIT)?;
    connection.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1")?;
    let done = work(connection)?;
    connection.execute_batch("COMMIT")?;
    Ok(done)
}
