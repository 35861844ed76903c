//! A connection that writes, and the rollback journal that it may leave beside the file between two changesets.
//!
//! SQLite makes that journal for each transaction and removes it after; both reach the disk with the folder. A connection
//! that carries one changeset after another keeps it instead, with zeros where it begins, which no connection takes for a
//! transaction that was interrupted; and it is removed before the connection ends. The file itself knows nothing of that,
//! and others may use it as they like meanwhile. A process that is killed leaves the journal behind: the next commit to the
//! file removes it. <https://www.sqlite.org/pragma.html#pragma_journal_mode>

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::reading;

/// The most that a journal keeps of the disk between two transactions, in bytes.
const KEPT: &str = "262144";

/// A connection that writes. Its journal is removed with it.
pub(super) struct Writing {
    connection: Connection,
    journal: Cell<Journal>,
    /// Whether it served before: then more may follow, and a journal that stays is worth its making.
    again: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Journal {
    /// Of each transaction a new one.
    New,
    /// It is there, beside this file.
    Kept(Identity),
    /// It is not to be kept: the file is in another mode, or others could not use the journal.
    Never,
}

impl Writing {
    pub fn new(connection: Connection) -> Self {
        Self { connection, journal: Cell::new(Journal::New), again: false }
    }

    /// Notes that it is taken once more.
    pub fn again(mut self) -> Self {
        self.again = true;
        self
    }

    /// Lets the journal of the transaction that has just begun stay when it ends, and those after it.
    ///
    /// Within the transaction: there SQLite refuses it of a file in WAL mode, which would have to leave that mode.
    pub fn keep_journal(&self) {
        if !self.again || self.journal.get() != Journal::New {
            return;
        }
        let kept =
            self.identity().filter(|_| self.set("journal_size_limit", KEPT) && self.set("journal_mode", "persist"));
        self.journal.set(kept.map_or(Journal::Never, Journal::Kept));
    }

    /// Returns whether the connection may stay open as it is. It may not with a journal that not everybody may use who may
    /// use the file: SQLite gives it the file's rights, but not always the file's group.
    pub fn may_stay(&self) -> bool {
        let Journal::Kept(_) = self.journal.get() else { return true };
        self.path().is_some_and(|file| is_of_the_same(file, &journal_of(file)))
    }

    /// Removes the journal that was kept, unless another connection writes at this moment: then it is that one's.
    fn remove_journal(&self) -> rusqlite::Result<()> {
        let Journal::Kept(identity) = self.journal.get() else { return Ok(()) };
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        // A journal beside a file that came in place of ours is not ours either.
        if self.identity() != Some(identity) {
            return Ok(());
        }
        self.connection.busy_timeout(Duration::ZERO)?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.set("journal_mode", "delete");
        self.connection.execute_batch("ROLLBACK")
    }

    /// Sets a pragma that answers with its value, and returns whether that is what it should be.
    fn set(&self, pragma: &str, value: &str) -> bool {
        let told =
            self.connection.query_row(&format!("PRAGMA main.{pragma} = {value}"), [], |row| reading::text(row, 0));
        told.is_ok_and(|told| told.as_deref() == Some(value))
    }

    /// Where the file is, without symbolic links: the journal lies beside it.
    fn path(&self) -> Option<&Path> {
        self.connection.path().map(Path::new)
    }

    fn identity(&self) -> Option<Identity> {
        self.path().and_then(Identity::of)
    }
}

impl Deref for Writing {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Err(error) = self.remove_journal() {
            tracing::debug!(%error, "a journal was left beside its file");
        }
    }
}

fn journal_of(file: &Path) -> PathBuf {
    let mut journal = file.as_os_str().to_owned();
    journal.push("-journal");
    journal.into()
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        path.metadata().ok().map(|file| Self(file.dev(), file.ino()))
    }

    /// Elsewhere nothing is kept.
    #[cfg(not(unix))]
    fn of(_: &Path) -> Option<Self> {
        None
    }
}

/// Whether two files have one owner, one group and the same rights; so it is too where the second is not there.
#[cfg(unix)]
fn is_of_the_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let of = |path: &Path| path.metadata().ok().map(|file| (file.uid(), file.gid(), file.mode()));
    of(other).is_none_or(|other| of(one) == Some(other))
}

#[cfg(not(unix))]
fn is_of_the_same(_: &Path, _: &Path) -> bool {
    false
}
