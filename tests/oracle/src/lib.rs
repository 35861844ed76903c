//! Runs stock refinery over a folder of migrations, against one database.
//!
//! `refinery-oracle-int4|int8 <postgres|mysql|sqlite> <url or path> <folder> [--schema NAME]`
//! prints each migration that was applied, `V1__name`, one a line. Status 1 is refinery's own
//! refusal or error, status 2 a mistake in the arguments.
//! The width of versions is the `int8-versions` feature, fixed when this is built.

use std::error::Error;
use std::process::ExitCode;

use refinery_core::{Report, Runner, load_sql_migrations};

const USAGE: &str = "usage: <postgres|mysql|sqlite> <url or path> <folder> [--schema NAME]";

/// The whole program; both binaries call it.
pub fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (engine, place, folder, schema) = match args[..] {
        [engine, place, folder] => (engine, place, folder, None),
        [engine, place, folder, "--schema", schema] => (engine, place, folder, Some(schema)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(engine, place, folder, schema) {
        Ok(report) => {
            for migration in report.applied_migrations() {
                println!("{migration}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("refinery: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("cause: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(engine: &str, place: &str, folder: &str, schema: Option<&str>) -> Result<Report, Box<dyn Error>> {
    let runner = Runner::new(&load_sql_migrations(folder)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match (engine, schema) {
        ("postgres", schema) => runtime.block_on(postgres(&runner, place, schema)),
        ("mysql", None) => runtime.block_on(mysql(&runner, place)),
        ("sqlite", None) => Ok(runner.run(&mut rusqlite::Connection::open(place)?)?),
        _ => Err(USAGE.into()),
    }
}

async fn postgres(runner: &Runner, url: &str, schema: Option<&str>) -> Result<Report, Box<dyn Error>> {
    let (mut client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    // Ends when `client` is dropped; an error of the connection surfaces in the client's calls.
    tokio::spawn(connection);
    if let Some(schema) = schema {
        let quoted = schema.replace('"', "\"\"");
        let sql = format!("SET search_path TO \"{quoted}\"");
        client.batch_execute(&sql).await?;
    }
    Ok(runner.run_async(&mut client).await?)
}

async fn mysql(runner: &Runner, url: &str) -> Result<Report, Box<dyn Error>> {
    let mut pool = mysql_async::Pool::new(mysql_async::Opts::from_url(url)?);
    let report = runner.run_async(&mut pool).await;
    pool.disconnect().await?;
    Ok(report?)
}
