//! What kind of server it is, and how a session begins that reads the same from all of them.
//!
//! Pure.

/// What the server is, as far as its catalogs differ. Two that differ here are not comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flavor {
    pub maria: bool,
    pub version: (u16, u16, u16),
}

impl Flavor {
    /// Reads `10.11.6-MariaDB-log` or `8.4.2`.
    pub fn parse(version: &str) -> Self {
        let maria = version.to_ascii_lowercase().contains("mariadb");
        // What MariaDB says to old replicas.
        let numbers = version.strip_prefix("5.5.5-").filter(|_| maria).unwrap_or(version);
        let mut numbers = numbers.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self { maria, version: (next(), next(), next()) }
    }

    /// Returns the engine and its major version, as the basis of descriptions names them.
    pub fn engine(self) -> String {
        let (major, minor, _) = self.version;
        format!("{}-{major}.{minor}", if self.maria { "mariadb" } else { "mysql" })
    }

    /// Whether it is at least MariaDB's or MySQL's version.
    pub fn has(self, maria: (u16, u16, u16), mysql: (u16, u16, u16)) -> bool {
        self.version >= if self.maria { maria } else { mysql }
    }
}

/// Begins a session in which the same rows are read whatever the server's defaults are. The link's reset ends it.
///
/// `sql_quote_show_create` and `sql_mode` change how views are written, `sql_select_limit` cuts answers off. No value is
/// over what every server takes (MariaDB's `group_concat_max_len` ends at 2^30): a server whose own mode has
/// STRICT_ALL_TABLES refuses such a value instead of cutting it down, and that mode holds while this is checked.
pub(super) fn open(lock_wait_s: u64) -> String {
    format!(
        "SET NAMES utf8mb4; SET SESSION sql_mode='', lock_wait_timeout={lock_wait_s}, sql_quote_show_create=1, \
         sql_select_limit=18446744073709551615, max_error_count=1000, group_concat_max_len=1073741824 \
         /*M!100101 , max_statement_time=0 */"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_kind_is_read_from_its_version() {
        for (version, engine) in [
            ("10.11.6-MariaDB-0+deb12u1-log", "mariadb-10.11"),
            ("5.5.5-10.6.1-MariaDB", "mariadb-10.6"),
            ("8.4.2", "mysql-8.4"),
            ("8.0.36-0ubuntu0.22.04.1", "mysql-8.0"),
        ] {
            assert_eq!(Flavor::parse(version).engine(), engine);
        }
        assert!(Flavor::parse("8.0.16").has((0, 0, 0), (8, 0, 13)));
        assert!(!Flavor::parse("10.5.9-MariaDB").has((10, 5, 10), (8, 0, 16)));
    }
}
