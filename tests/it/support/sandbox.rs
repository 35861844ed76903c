//! The temporary folder of this test process, and the guard that outlives it.
//!
//! Everything a test writes and every process it starts belongs to one folder. A small shell
//! script (`guard.sh`), in a session of its own, waits for the end of the test process and then
//! stops those processes and removes the folder. A panic in a test keeps the folder.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use super::random;

/// Who runs the servers: they refuse to be root.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// The folder of this test process.
pub struct Sandbox {
    root: PathBuf,
    owner: Option<Owner>,
    /// Holds the writing end of the pipe that the guard reads.
    _guard: Child,
}

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(Sandbox::new);

thread_local! {
    static PANIC_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// The sandbox of this process, made at the first call.
pub fn sandbox() -> &'static Sandbox {
    &SANDBOX
}

/// Runs `body`, which must panic, and returns the message. Does not count as a failed test.
pub fn expect_panic(body: impl FnOnce()) -> String {
    sandbox();
    PANIC_EXPECTED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(body));
    PANIC_EXPECTED.set(false);
    let payload = outcome.expect_err("a panic was expected");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(other) => other.downcast_ref::<&str>().unwrap_or(&"").to_string(),
    }
}

/// A port of 127.0.0.1 that nobody listens on, and that no other call returns.
///
/// Below the range that the kernel gives to outgoing connections, so that a server can be
/// restarted on its port.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    (0..1000)
        .map(|_| 20_000 + u16::try_from(random(11_999)).expect("a port"))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && given.insert(*port))
        .expect("a free port")
}

impl Sandbox {
    fn new() -> Sandbox {
        let root = tempfile::Builder::new()
            .prefix("mtmigrate-it-")
            .tempdir_in(roomy_folder())
            .expect("a temporary folder")
            .keep();
        let guard = Command::new("setsid")
            .args(["sh", "-c", include_str!("guard.sh"), "guard"])
            .arg(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the guard");
        let sandbox = Sandbox { owner: rustix::process::geteuid().is_root().then(unprivileged), root, _guard: guard };
        fs::set_permissions(&sandbox.root, fs::Permissions::from_mode(0o755)).expect("chmod");
        sandbox.give(&sandbox.root);
        sandbox.folder("pids");
        let reachable = sandbox.command("KILL", Path::new("true"), &sandbox.root).status();
        assert!(
            reachable.is_ok_and(|status| status.success()),
            "{} cannot be reached by an unprivileged user: set TMPDIR",
            sandbox.root.display()
        );
        keep_after_panic(sandbox.root.clone());
        sandbox
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A new folder in it, which the user of the servers owns.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(&path).expect("a folder");
        self.give(&path);
        path
    }

    /// Hands a file or folder to the user of the servers.
    pub fn give(&self, path: &Path) {
        if let Some(Owner { uid, gid }) = self.owner {
            chown(path, Some(uid), Some(gid)).expect("chown");
        }
    }

    /// A command that the guard stops with `signal`, run as the user of the servers in `folder`.
    pub fn command(&self, signal: &str, program: &Path, folder: &Path) -> Command {
        let mut command = self.own_command(signal, program, folder);
        if let Some(Owner { uid, gid }) = self.owner {
            // Dropping the uid drops the supplementary groups too.
            command.uid(uid).gid(gid);
        }
        command
    }

    /// A command that the guard stops with `signal`, run as ourselves in `folder`.
    ///
    /// Its environment is empty but for `PATH`, `HOME`, the locale and the time zone. The shell
    /// writes down its own process id before it becomes the program: no instant is uncovered.
    pub fn own_command(&self, signal: &str, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo "$1 $$" >"$2/$$" || exit 125; shift 2; exec "$@""#])
            .args(["sh", signal])
            .arg(self.root.join("pids"))
            .arg(program)
            .env_clear()
            .env("PATH", path())
            .env("HOME", folder)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .process_group(0)
            .current_dir(folder);
        command
    }

    /// Tells the guard that the process `pid`, which has been waited for, is no longer ours.
    pub fn forget(&self, pid: u32) {
        let _ = fs::remove_file(self.root.join("pids").join(pid.to_string()));
    }
}

/// The first of `programs` that is installed.
pub fn installed(programs: &[&str]) -> PathBuf {
    programs
        .iter()
        .flat_map(|program| std::env::split_paths(&path()).map(|folder| folder.join(program)).collect::<Vec<_>>())
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{} is not installed: `tests/run` does it", programs[0]))
}

/// Debian keeps servers where a user's `PATH` does not look.
fn path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin");
    path
}

/// Memory if there is plenty, as a data folder has a thousand files: else the disk.
///
/// `TMPDIR` overrides.
fn roomy_folder() -> PathBuf {
    const GIB: u64 = 1 << 30;
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
    let plenty = free >= 4 * GIB && available_memory() >= 8 * GIB;
    if plenty && std::env::var_os("TMPDIR").is_none() {
        return memory.into();
    }
    std::env::temp_dir()
}

/// Bytes; 0 where the kernel does not say.
fn available_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn unprivileged() -> Owner {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let nobody = users.lines().find(|line| line.starts_with("nobody:"));
    let fields: Vec<&str> = nobody.expect("a user `nobody`").split(':').collect();
    Owner { uid: fields[2].parse().expect("a uid"), gid: fields[3].parse().expect("a gid") }
}

fn keep_after_panic(root: PathBuf) {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if PANIC_EXPECTED.get() {
            return;
        }
        previous(panic);
        let _ = fs::write(root.join("failed"), "");
        eprintln!("kept: {}", root.display());
    }));
}
