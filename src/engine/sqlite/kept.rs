//! Connections that stay open from one order, or one look, to the next.
//!
//! To open a file and to read its schema costs more than a small changeset. So a connection is kept where nothing tells
//! it from a new one: the texts that it carried left nothing in their session (`leavings`), its file was not touched by
//! anybody since, and the file is not in WAL mode, where the last to close does some work. Between two uses it holds no
//! lock. Beyond a limit that holds for the whole process nothing is kept: the others are opened each time.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::writing::Writing;

/// The most connections that are kept by a process. Each is one open file, and as a rule less than 200 KB.
pub(super) const LIMIT: usize = 256;

/// How long a connection waits for a lock when nothing else is said.
const WAIT: Duration = Duration::from_secs(5);

/// The connections of one directory that are kept.
#[derive(Default)]
pub(super) struct Shelf(Mutex<HashMap<PathBuf, Idle>>);

struct Idle {
    connection: Writing,
    /// How the file looked when the connection was last used.
    mark: Mark,
    writes: bool,
    _slot: Slot,
}

impl Shelf {
    /// Takes the connection to a file, if it is kept and nobody has touched the file since.
    pub fn take(&self, path: &Path, writes: bool) -> Option<Writing> {
        let idle = self.idle().remove(path)?;
        // A connection that does not fit is closed here, outside of the lock.
        let is_untouched = fs::metadata(path).is_ok_and(|now| Mark::of(&now).as_ref() == Some(&idle.mark));
        if !is_untouched || writes && !idle.writes {
            return None;
        }
        idle.connection.busy_timeout(WAIT).ok()?;
        Some(idle.connection.again())
    }

    /// Keeps a connection that is done with its file and may serve again; closes it where none may be kept.
    pub fn put(&self, path: &Path, connection: Writing, writes: bool) {
        let is_attached = connection.db_name(2).is_ok();
        let is_as_new = connection.is_autocommit() && !connection.is_busy() && !is_attached;
        if !is_as_new || is_in_wal_mode(path) || !connection.may_stay() {
            return;
        }
        let Some(mark) = fs::metadata(path).ok().as_ref().and_then(Mark::of) else { return };
        let Some(slot) = Slot::take().or_else(|| self.make_room(writes)) else { return };
        let replaced = self.idle().insert(path.to_owned(), Idle { connection, mark, writes, _slot: slot });
        drop(replaced);
    }

    /// Closes the connection to a file, if it is kept.
    pub fn forget(&self, path: &Path) {
        let idle = self.idle().remove(path);
        drop(idle);
    }

    /// Closes all.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.idle());
        drop(all);
    }

    /// Closes a connection that only reads, for one that writes: it will be wanted more often.
    fn make_room(&self, writes: bool) -> Option<Slot> {
        let mut all = self.idle();
        let path = all.iter().find(|(_, idle)| writes && !idle.writes).map(|(path, _)| path.clone())?;
        let reader = all.remove(&path);
        drop(all);
        drop(reader);
        Slot::take()
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<PathBuf, Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file in WAL mode has its `-wal` as long as anybody has it open.
fn is_in_wal_mode(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    Path::new(&wal).exists()
}

/// The right to keep one connection.
struct Slot;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Slot {
    fn take() -> Option<Self> {
        let more = |taken| (taken < limit()).then_some(taken + 1);
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// At most a quarter of the files that the process may have open.
fn limit() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| open_files().map_or(LIMIT, |files| LIMIT.min(files / 4)))
}

#[cfg(unix)]
fn open_files() -> Option<usize> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn open_files() -> Option<usize> {
    None
}

/// What changes when a file is written to, replaced, or given other rights.
#[derive(PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    #[cfg(unix)]
    fn of(file: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            len: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// Elsewhere a file that is kept open could be neither removed nor replaced by its owner.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }
}
