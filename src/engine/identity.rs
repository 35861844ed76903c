//! Who runs: what the journal and the lock say about a run.

use uuid::Uuid;

/// Identifies a run, in journals and to those who wait for its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunIdentity {
    /// UUIDv7: sorts by the time of the run's start.
    pub run_id: String,
    /// The operating system's user.
    pub who: String,
    /// The host's name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// `mtmigrate` and its version.
    pub tool: String,
    /// The hash of the fleet's resolved list; empty where there is none.
    pub fleet: String,
}

impl RunIdentity {
    /// Makes the identity of a run that starts now, in this process.
    pub fn new() -> Self {
        Self {
            run_id: Uuid::now_v7().to_string(),
            who: whoami::username().unwrap_or_else(|_| "unknown".into()),
            host: whoami::hostname().unwrap_or_else(|_| "unknown".into()),
            pid: std::process::id(),
            tool: concat!("mtmigrate ", env!("CARGO_PKG_VERSION")).into(),
            fleet: String::new(),
        }
    }

    /// As [`RunIdentity::new`], for a fleet whose resolved list has this hash.
    pub fn of(fleet: &str) -> Self {
        Self { fleet: fleet.to_owned(), ..Self::new() }
    }

    /// Names the session to the server: at most 63 bytes, the run id first so that it is never cut.
    pub fn session_name(&self) -> String {
        let name = format!("mtmigrate {} {}@{}", self.run_id, self.pid, self.host);
        let mut end = name.len().min(63);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name[..end].to_owned()
    }
}

impl Default for RunIdentity {
    fn default() -> Self {
        Self::new()
    }
}
