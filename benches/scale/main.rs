//! What a very large fleet costs the program itself: time of each phase, and memory.
//!
//! `cargo bench --bench scale` measures the table of `docs/performance.md`; `-- walk SHAPE TENANTS CHANGESETS [VERIFY]`
//! and `-- load SHAPE TENANTS` measure one case. Each case is a process of its own, so that its peak is its own.

mod files;
mod memory;
mod walk;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use files::Shape;
use mtmigrate::tenant::Verify;

/// Tenants, changesets.
const WALKS: [(usize, usize); 5] = [(10_000, 10), (10_000, 100), (100_000, 10), (100_000, 50), (100_000, 100)];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done =
        match words.as_slice() {
            [] => all(),
            ["load", shape, tenants] => load(shape, tenants),
            ["walk", shape, tenants, changesets] => walked(shape, tenants, changesets, "step"),
            ["walk", shape, tenants, changesets, verify] => walked(shape, tenants, changesets, verify),
            _ => Err("what is measured: nothing, or `walk SHAPE TENANTS CHANGESETS [VERIFY]`, or `load SHAPE TENANTS`"
                .into()),
        };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything, each case in a process of its own.
fn all() -> Result<(), String> {
    for shape in Shape::ALL {
        again(&["load", shape.as_str(), "100000"])?;
    }
    for (tenants, changesets) in WALKS {
        again(&["walk", "databases", &tenants.to_string(), &changesets.to_string()])?;
    }
    again(&["walk", "schemas", "100000", "50"])?;
    again(&["walk", "databases", "100000", "50", "run"])
}

fn again(words: &[&str]) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new(program).args(words).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{} failed", words.join(" "))) }
}

fn load(shape: &str, tenants: &str) -> Result<(), String> {
    let shape = Shape::parse(shape).ok_or("unknown shape")?;
    let folder = folder(shape, number(tenants)?, 0)?;
    let (before, began) = (kilobytes("VmHWM:"), processor());
    walk::load(folder.path(), &mut |_, took| {
        let (peak, worked) = (kilobytes("VmHWM:"), (processor() - began).as_millis());
        println!(
            "load {tenants} {:<10} {:>6} ms, processor {worked:>6} ms  peak {:>4} MB (before {} MB)",
            shape.as_str(),
            took.as_millis(),
            peak / 1024,
            before / 1024
        );
    })
}

fn walked(shape: &str, tenants: &str, changesets: &str, verify: &str) -> Result<(), String> {
    let parsed = Shape::parse(shape).ok_or("unknown shape")?;
    let verify = Verify::parse(verify).ok_or("unknown time of verification")?;
    let folder = folder(parsed, number(tenants)?, number(changesets)?)?;
    println!("walk {tenants} tenants ({shape}), {changesets} changesets, verify {}", verify.as_str());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let began = Instant::now();
    let mut before = processor();
    let mut phase = |phase: &'static str, took: Duration| {
        let (now, peak, used) = (kilobytes("VmRSS:") / 1024, kilobytes("VmHWM:") / 1024, processor());
        let (ms, worked) = (took.as_millis(), (used - before).as_millis());
        println!("  {phase:<18} {ms:>6} ms, processor {worked:>6} ms  {now:>4} MB now, peak {peak:>4} MB");
        before = used;
    };
    runtime.block_on(walk::walk(folder.path(), verify, &mut phase))?;
    let (ms, worked) = (began.elapsed().as_millis(), processor().as_millis());
    println!("  {:<18} {ms:>6} ms, processor {worked:>6} ms  peak {} MB", "all", kilobytes("VmHWM:") / 1024);
    Ok(())
}

fn folder(shape: Shape, tenants: usize, changesets: usize) -> Result<tempfile::TempDir, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    files::write(folder.path(), shape, tenants, changesets).map_err(|error| error.to_string())?;
    Ok(folder)
}

fn number(word: &str) -> Result<usize, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

/// Returns how long a processor has worked for this process, to a hundredth of a second.
fn processor() -> Duration {
    let line = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = line.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Returns a line of `/proc/self/status`.
fn kilobytes(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
