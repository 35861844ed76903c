//! What every verb understands: the global options, the selection, and the forms of values.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::changeset::Version;
use crate::tenant::Selection;

use super::{accept, drift, history, init, new, plan, provision, repair, schema, status, tenants, up, validate};

const EXAMPLES: &str = "\
Examples:
  mtmigrate init shop && cd shop       make a working example on SQLite
  mtmigrate validate                   check the files, without connecting
  mtmigrate plan                       show what `up` would do
  mtmigrate up                         bring every tenant to the newest version, in lockstep
  mtmigrate status                     show where every tenant stands
  mtmigrate drift                      show whose schema is not what it should be

Exit status:
  0         done, or nothing to do
  1         a changeset or a check between waves failed; the run halted at its barrier
  2         usage or configuration; nothing was touched
  3         drift: nothing was changed, or nobody got the next changeset
  4         changesets are pending (`status --check`, `plan --check`)
  5         a tenant cannot be reached, or another run holds the lock; try again
  6         a tenant is half applied and needs a person
  70        a bug in mtmigrate
  130, 143  interrupted: what was in flight was finished or rolled back
Where several hold, the most urgent wins: 6, 1, 3, 5, 4.";

/// Brings a fleet of tenant databases to one schema version, in lockstep.
///
/// No tenant gets changeset k+1 before every tenant has changeset k, and nothing is changed anywhere while any
/// tenant's history or schema is not what the changesets made it.
#[derive(Debug, Parser)]
#[command(name = "mtmigrate", version, max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Init(init::InitArgs),
    New(new::NewArgs),
    Validate(validate::ValidateArgs),
    Plan(plan::PlanArgs),
    Up(up::UpArgs),
    Provision(provision::ProvisionArgs),
    Status(status::StatusArgs),
    History(history::HistoryArgs),
    Drift(drift::DriftArgs),
    Accept(accept::AcceptArgs),
    Repair(repair::RepairArgs),
    Tenants(tenants::TenantsArgs),
    Schema(schema::SchemaArgs),
}

/// Options that stand before or after the verb.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The fleet
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "tenants.yaml",
        env = "MTMIGRATE_CONFIG",
        hide_env_values = true
    )]
    pub config: PathBuf,
    /// The folder of changesets [default: `migrations:` in the fleet's file, else `migrations` beside it]
    #[arg(long, global = true, value_name = "DIR")]
    pub migrations: Option<PathBuf>,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log steps and retries; twice: every tenant
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// How logs and errors are written on stderr: as text, or as an object a line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// When to use colours; auto heeds NO_COLOR and CLICOLOR_FORCE
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// How stderr is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

/// Which tenants are meant: of one option any, of several all.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Selection (repeat an option for `or`; different options mean `and`)")]
pub(super) struct Selecting {
    /// Only tenants whose name matches
    #[arg(long = "tenant", value_name = "GLOB")]
    pub tenants: Vec<String>,
    /// Only tenants with this label; `eu,prod` has both, `'!eu'` has it not
    #[arg(long = "label", value_name = "LABELS")]
    pub labels: Vec<String>,
    /// Only tenants on a server whose name matches
    #[arg(long = "server", value_name = "GLOB")]
    pub servers: Vec<String>,
    /// Only tenants of this wave; `rest` is whoever is in none
    #[arg(long = "wave", value_name = "NAME")]
    pub waves: Vec<String>,
    /// But not these: a name's glob, or `label=…`, `server=…`, `wave=…`
    #[arg(long, value_name = "WHO")]
    pub exclude: Vec<String>,
}

impl Selecting {
    /// Returns the selection in the fleet's terms.
    pub fn selection(&self) -> Selection {
        Selection {
            tenants: self.tenants.clone(),
            labels: self.labels.clone(),
            servers: self.servers.clone(),
            waves: self.waves.clone(),
            exclude: self.exclude.clone(),
        }
    }
}

/// Reads a version: `42`, and `V42` as file names have it.
pub(super) fn version(text: &str) -> Result<Version, String> {
    let digits = text.strip_prefix(['V', 'v', 'U', 'u']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a version is a whole number, as in V42__add_invoices.sql".into());
    }
    digits.parse().map(Version).map_err(|_| "a version has at most 63 bits".into())
}

/// Reads a duration: `90s`, `10m`, `1h 30m`, and `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        _ => humantime::parse_duration(text).map_err(|error| format!("{error}; write 90s, 10m or 1h")),
    }
}

/// Reads why a person did something.
pub(super) fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a sentence that whoever reads the journal will understand".into()),
        reason => Ok(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const VERBS: [&str; 17] = [
        "init",
        "new",
        "validate",
        "plan",
        "up",
        "provision",
        "status",
        "history",
        "drift",
        "accept",
        "repair",
        "tenants",
        "tenants list",
        "tenants check",
        "tenants url",
        "tenants shell",
        "schema",
    ];

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("mtmigrate").chain(line.split_whitespace()))
    }

    fn help(line: &str) -> String {
        parse(line).expect_err("help is an error to clap").render().to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_verb_has_an_example_and_says_whether_it_writes_to_tenants() {
        for verb in VERBS {
            for flag in ["-h", "--help"] {
                let text = help(&format!("{verb} {flag}"));
                assert!(text.contains(&format!("\n  mtmigrate {verb}")), "{text}");
                assert!(text.contains("Exit status"), "{text}");
            }
            let text = help(&format!("{verb} --help"));
            assert!(text.contains("Writes to tenants: ") || text.contains("Connects to nothing"), "{text}");
        }
    }

    #[test]
    fn no_line_of_any_help_is_longer_than_100_columns() {
        for line in VERBS.iter().map(|verb| format!("{verb} --help")).chain(["--help".into()]) {
            let text = help(&line);
            let long: Vec<&str> = text.lines().filter(|l| l.chars().count() > 100).collect();
            assert!(long.is_empty(), "{line}: {long:#?}");
        }
    }

    #[test]
    fn the_help_of_the_whole_names_every_verb_and_every_exit_status() {
        let text = help("--help");
        for verb in VERBS.iter().filter(|verb| !verb.contains(' ')) {
            assert!(text.contains(&format!("\n  {verb} ")), "{verb}: {text}");
        }
        for status in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "70 ", "130, 143 "] {
            assert!(text.contains(&format!("\n  {status}")), "{status}: {text}");
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        for line in [
            "-c x.yaml --migrations m -vv --log-format json --color never status",
            "status -c x.yaml --migrations m -v -v --log-format json --color never",
        ] {
            let global = parse(line).expect("understood").global;
            assert_eq!(global.config, PathBuf::from("x.yaml"));
            assert_eq!(global.migrations, Some(PathBuf::from("m")));
            assert_eq!((global.verbose, global.quiet), (2, false));
            assert_eq!((global.log_format, global.color), (LogFormat::Json, Color::Never));
        }
    }

    #[test]
    fn what_is_not_understood_exits_2_whatever_it_is() {
        for line in [
            "",
            "upp",
            "up --to x",
            "up --to -1",
            "up --jobs 0",
            "up --lock-wait soon",
            "up --format xml",
            "status --to 3",
            "history --limit 0",
            "up --verify always",
            "accept --tenant a",
            "accept --reason x",
            "accept --tenant a --reason  ",
            "accept --tenant a --reason x --label eu",
            "drift --format csv",
            "drift --against",
            "drift --repair-sql --format json",
            "drift --repair-sql --against a",
            "-q -v status",
            "new",
            "validate --tenant a",
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.use_stderr() && error.exit_code() == 2, "{line}: {error}");
        }
    }

    #[test]
    fn versions_are_whole_numbers_of_63_bits_with_or_without_their_letter() {
        for (text, number) in [("42", 42), ("V42", 42), ("u7", 7), ("007", 7), ("9223372036854775807", i64::MAX)] {
            assert_eq!(version(text), Ok(Version(number)));
        }
        for text in ["", "V", "-1", "+1", "1.2", "V1__x", "9223372036854775808", "VV1"] {
            assert!(version(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit_but_zero() {
        for (text, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("1m", 60), ("1h 30m", 5400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "-1s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
