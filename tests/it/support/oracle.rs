//! Stock refinery, as a program: `tests/oracle`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::fleet::Place;
use super::sandbox::sandbox;
use super::{Output, Running};

/// How wide refinery's versions are: it is fixed when refinery is built.
#[derive(Clone, Copy, Debug)]
pub enum Width {
    Int4,
    Int8,
}

/// Stock refinery with versions of one width.
pub struct Oracle {
    program: PathBuf,
}

/// Refinery, built beside mtmigrate. Builds it if `tests/run` has not.
pub fn oracle(width: Width) -> Oracle {
    let (name, features) = match width {
        Width::Int4 => ("refinery-oracle-int4", ""),
        Width::Int8 => ("refinery-oracle-int8", "int8-versions"),
    };
    let folder = Path::new(env!("CARGO_BIN_EXE_mtmigrate")).parent();
    let program = folder.expect("a folder").join(name);
    static ONE_BUILD: Mutex<()> = Mutex::new(());
    let _one = ONE_BUILD.lock().unwrap_or_else(PoisonError::into_inner);
    if !program.exists() {
        build(&program, name, features);
    }
    Oracle { program }
}

impl Oracle {
    /// Applies a folder of migrations to a tenant. Stdout has one `V1__name` a line.
    #[track_caller]
    pub fn run(&self, place: &Place, migrations: &Path) -> Output {
        let migrations = migrations.display().to_string();
        let (engine, url, schema) = match place {
            Place::Postgres { server, database, schema } => ("postgres", server.url(database), schema.as_deref()),
            Place::MariaDb { server, database } => ("mysql", server.url(database), None),
            Place::Sqlite(path) => ("sqlite", path.display().to_string(), None),
        };
        let mut args = vec![engine, &url, &migrations];
        args.extend(schema.iter().flat_map(|schema| ["--schema", schema]));
        let mut command = sandbox().own_command("KILL", &self.program, sandbox().root());
        command.args(args);
        Running::start(command).wait()
    }
}

fn build(program: &Path, name: &str, features: &str) {
    static CARGO: LazyLock<String> = LazyLock::new(|| std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    let profile_folder = program.parent().expect("a folder");
    let mut command = Command::new(&*CARGO);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--locked", "--package", "refinery-oracle"])
        .args(["--bin", name, "--features", features])
        .arg("--target-dir")
        .arg(profile_folder.parent().expect("a folder"));
    if profile_folder.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().expect("cargo");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "building {name}:\n{errors}");
}
