//! The command line as a process: what it takes, what it prints and where, and with which status it ends.

mod example;
mod guide;
mod logs;
mod mistakes;
mod output;
mod pipes;
mod status;
pub mod terminal;
mod usage;

use std::fmt::Write;

use crate::support::Fleet;

/// A fleet of SQLite tenants `t001` and so on, with one changeset.
pub fn sqlite_fleet(tenants: usize) -> Fleet {
    let mut fleet = Fleet::new();
    let mut yaml = String::from("servers:\n  local: { url: \"sqlite://data?mode=rwc\" }\ntenants:\n");
    for number in 1..=tenants {
        writeln!(yaml, "  - {{ name: t{number:03}, server: local, database: t{number:03}.db }}").unwrap();
    }
    fleet.tenants_yaml(&yaml).changeset("V1__t.sql", "CREATE TABLE t (a int);");
    fleet
}

/// Records of RFC 4180: fields in quotes may hold commas, quotes and line ends.
pub fn csv(text: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let record = records.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                record.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                records.push(vec![String::new()]);
            }
            c => record.last_mut().unwrap().push(c),
        }
    }
    assert_eq!(records.pop(), Some(vec![String::new()]), "the last line has an end");
    records
}
