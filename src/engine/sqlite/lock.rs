//! The run lock of a directory: an operating system's lock on a file in it.
//!
//! The lock lives as long as the process that holds it, so nobody has to clear one: a file that is left behind says
//! nothing by itself, and is taken again by the next run. The file is never removed: a run that waits for it might
//! hold the removed one while a third run locks a new one.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::{Holder, LockAttempt, RunIdentity};
use crate::error::{Code, Diagnostic, Result, plain};

/// The file's name. Two releases that named it otherwise would not see each other: it can never change.
pub(super) const LOCK_FILE: &str = ".mtmigrate.lock";

/// How much of the file is believed to be about its holder, in bytes.
const CONTENT_LIMIT: u64 = 1024;

/// A lock that is held until it is dropped or released.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

/// Tries once to lock a directory.
///
/// # Errors
/// `MT302` where the lock's file cannot be made or locked.
pub(super) fn try_lock(directory: &Path, run: &RunIdentity) -> Result<(LockAttempt, Option<Lock>)> {
    let path = directory.join(LOCK_FILE);
    let failed = |e: io::Error| {
        Diagnostic::new(Code::LOCK_FAILED, format!("the lock {} cannot be taken", path.display()))
            .cause(e.to_string())
            .hint("let this user make files in the directory, or remove what is in the lock's place")
    };
    let mut file = open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok((LockAttempt::Held(holder(&mut file)), None)),
        Err(TryLockError::Error(e)) => return Err(failed(e)),
    }
    let lock = Lock { file, path: path.clone() };
    lock.introduce(run).map_err(failed)?;
    Ok((LockAttempt::Taken, Some(lock)))
}

/// Opens the lock's file, or makes it. It is truncated only once it is locked: until then its content is the holder's.
///
/// Who may make files in the directory may have put a link there to a file that is not theirs: that one must neither
/// be made nor overwritten.
fn open(path: &Path) -> io::Result<File> {
    let check = |found: &Metadata| match found.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("in its place is a link, a folder or a device, and no file of its own")),
    };
    match fs::symlink_metadata(path) {
        Ok(found) => check(&found)?,
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let (ours, there) = (file.metadata()?, fs::symlink_metadata(path)?);
    check(&there)?;
    match is_same_file(&ours, &there) {
        true => Ok(file),
        false => Err(io::Error::other("another file came into its place")),
    }
}

impl Lock {
    /// Checks that the file that is locked is the one that others would lock.
    ///
    /// # Errors
    /// `MT213` when it was removed or replaced.
    pub fn check(&self) -> Result<()> {
        let lost = |what: String| {
            Diagnostic::new(Code::LOCK_LOST, format!("the lock {} was lost", self.path.display()))
                .cause(what)
                .hint("somebody removed or replaced the file while the run held it: let nobody do that, and run again")
        };
        let ours = self.file.metadata().map_err(|e| lost(e.to_string()))?;
        match fs::symlink_metadata(&self.path) {
            Ok(there) if is_same_file(&ours, &there) => Ok(()),
            Ok(_) => Err(lost("another file is in its place".into())),
            Err(e) => Err(lost(e.to_string())),
        }
    }

    /// Gives the lock back.
    pub fn release(self) {
        // Without a holder's name in it the file is only tidier; the lock's end does not depend on it.
        drop(self.file.set_len(0));
        drop(self.file.unlock());
    }

    fn introduce(&self, run: &RunIdentity) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        let now = OffsetDateTime::now_utc();
        let since = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).map_err(io::Error::other)?;
        write!(file, "run {}\nprocess {}@{}\nsince {since}\n", run.run_id, run.pid, run.host)
    }
}

/// Reads who holds the lock; nothing in the file is believed beyond being shown.
fn holder(file: &mut File) -> Holder {
    let mut content = Vec::new();
    if file.take(CONTENT_LIMIT).read_to_end(&mut content).is_err() {
        content.clear();
    }
    let content = plain(&String::from_utf8_lossy(&content));
    let run_id = content.lines().find_map(|line| line.strip_prefix("run ")).map(str::to_owned);
    let description = match content.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>() {
        lines if lines.is_empty() => "a run that has not said its name yet".to_owned(),
        lines => lines.join(", "),
    };
    Holder { description, run_id }
}

/// Makes the directory of files that may be made; says which one is missing otherwise.
pub(super) fn make_directory(directory: &Path, may_make: bool) -> Result<()> {
    let shown = directory.display();
    match fs::metadata(directory) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound && may_make => fs::create_dir_all(directory).map_err(|e| {
            Diagnostic::new(Code::UNREACHABLE, format!("directory {shown} cannot be made"))
                .cause(e.to_string())
                .hint("make it, or let this user make it")
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Diagnostic::new(Code::NO_DATABASE, format!("directory {shown} does not exist"))
                .hint("create it, correct the tenants' paths, or let mtmigrate create it: `?mode=rwc` in the URL"))
        }
        Err(e) => Err(Diagnostic::new(Code::UNREACHABLE, format!("directory {shown} cannot be opened"))
            .cause(e.to_string())
            .hint("let this user open the directory and every folder above it")),
    }
}

#[cfg(unix)]
fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Elsewhere a file that is open can be neither removed nor replaced.
#[cfg(not(unix))]
fn is_same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}
