//! A text of a source in which `{tenant}` is filled in, escaped for the place where it stands.
//!
//! What comes from variables is filled in first and is data: a `{tenant}` in it stays as it is.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::super::interpolate::{Environment, Kind, fill};
use super::super::password::Part;
use crate::error::{Code, Diagnostic, plain};
use crate::sql::EngineKind;

/// All but the characters that mean themselves everywhere in a URL.
pub(super) const DATA: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Characters that YAML forbids, so that the file cannot hold them. One stands for `{tenant}` while variables are filled in.
const MARKS: std::ops::RangeInclusive<char> = '\u{1}'..='\u{8}';

/// The longest label of a DNS name, in characters (RFC 1035, 2.3.4).
const DNS_LABEL: usize = 63;

/// A text and the places in it where a tenant's name is filled in. No `Debug`: it may hold secrets.
pub(in crate::tenant) struct Pattern {
    /// What stands before the first place, between two, and after the last.
    parts: Vec<String>,
    /// One for each place.
    places: Vec<Hole>,
    /// What its password is made of, where that is fetched late.
    late: Option<Vec<Part>>,
}

/// Where a name is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    /// An identifier, or a user: as it is, for the engines quote it.
    Plain,
    /// In a URL, but for its host.
    Encoded,
    /// In a URL's host.
    Host,
    /// One part of a file's path.
    File,
    /// The same in a list with commas.
    Listed,
}

/// Why a name cannot be filled in, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tenant) struct Unfit {
    pub(in crate::tenant) why: &'static str,
    pub(in crate::tenant) hint: &'static str,
}

impl Pattern {
    /// Reads a text of the file and fills in its variables.
    ///
    /// # Errors
    /// `MT141` for braces that are not understood; what [`fill`] refuses.
    pub(in crate::tenant) fn read(
        written: &str,
        kind: Kind,
        env: &dyn Environment,
        folder: &Path,
    ) -> Result<Self, Vec<Diagnostic>> {
        for mark in MARKS {
            let (marked, holes) = mark_holes(written, mark).map_err(|mistake| vec![mistake])?;
            let mut text = fill(&marked, kind, env, folder)?;
            let late = text.take_late();
            let filled = text.into_value();
            // A variable that holds the mark would be taken for a place: then another one is tried.
            if filled.matches(mark).count() == holes {
                let made = Self::of_marked(&filled, mark, kind).map_err(|mistake| vec![mistake])?;
                return Ok(Self { late, ..made });
            }
            if late.is_some() && filled.matches(mark).count() < holes {
                return Err(vec![in_a_secret()]);
            }
        }
        let message = "a variable of a template holds every control character from U+0001 to U+0008";
        Err(vec![Diagnostic::new(Code::BAD_TEMPLATE, message).hint("look at what it is set to")])
    }

    fn of_marked(filled: &str, mark: char, kind: Kind) -> Result<Self, Diagnostic> {
        let host = if kind == Kind::Url { host_of(filled) } else { 0..0 };
        let is_file = kind == Kind::Url && is_sqlite(filled);
        let query = filled[host.end..].find('?').map_or(filled.len(), |at| host.end + at);
        let place = |(at, _)| {
            Ok(match kind {
                Kind::Url if at > query => of_parameter(&filled[query + 1..at], is_file)?,
                Kind::Url if is_file => Hole::File,
                Kind::Url if host.contains(&at) => Hole::Host,
                Kind::Url => Hole::Encoded,
                _ => Hole::Plain,
            })
        };
        Ok(Self {
            parts: filled.split(mark).map(str::to_owned).collect(),
            places: filled.match_indices(mark).map(place).collect::<Result<_, _>>()?,
            late: None,
        })
    }

    /// Returns what a URL speaks, if the text itself says so.
    pub(in crate::tenant) fn engine(&self) -> Option<EngineKind> {
        let (scheme, _) = self.parts.first()?.split_once(':')?;
        match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Some(EngineKind::Postgres),
            "mysql" | "mariadb" => Some(EngineKind::MySql),
            "sqlite" => Some(EngineKind::Sqlite),
            _ => None,
        }
    }

    /// Returns what its password is made of, where that is fetched late.
    pub(in crate::tenant) fn late(&self) -> Option<&[Part]> {
        self.late.as_deref()
    }

    /// Whether a tenant's name is filled in anywhere.
    pub(in crate::tenant) fn names_the_tenant(&self) -> bool {
        !self.places.is_empty()
    }

    /// Returns the text for a tenant.
    ///
    /// # Errors
    /// For a name that cannot stand in a host or as a file's name.
    pub(in crate::tenant) fn filled(&self, tenant: &str) -> Result<String, Unfit> {
        let mut made = String::with_capacity(self.parts.iter().map(String::len).sum::<usize>() + tenant.len());
        for (part, place) in self.parts.iter().zip(self.places.iter().map(Some).chain([None])) {
            made.push_str(part);
            match place {
                None => {}
                Some(Hole::Plain) => made.push_str(tenant),
                Some(Hole::Encoded) => made.extend(utf8_percent_encode(tenant, DATA)),
                Some(Hole::Host) => made.push_str(dns_label(tenant)?),
                Some(Hole::Listed) if tenant.contains(',') => {
                    return Err(Unfit {
                        why: "holds a comma, and `{tenant}` stands in a list of hosts",
                        hint: "write the way to such a tenant under `tenants:`",
                    });
                }
                Some(Hole::File | Hole::Listed) => made.extend(utf8_percent_encode(file_name(tenant)?, DATA)),
            }
        }
        Ok(made)
    }
}

fn in_a_secret() -> Diagnostic {
    let message = "`{tenant}` stands in a password that comes from a file or a command";
    let hint = "such a password is one for all tenants of the source; a registry may have one for each";
    Diagnostic::new(Code::BAD_TEMPLATE, message).hint(hint)
}

/// Puts a mark in place of each `{tenant}`. References to variables stay as they are.
fn mark_holes(written: &str, mark: char) -> Result<(String, usize), Diagnostic> {
    let (mut made, mut holes, mut rest) = (String::with_capacity(written.len()), 0, written);
    while let Some(at) = rest.find('{') {
        let (before, braces) = rest.split_at(at);
        made.push_str(before);
        rest = if before.ends_with('$') {
            // `${…}` is a reference, and `$${` writes `${`.
            let end = if before.ends_with("$$") { Some(0) } else { braces.find('}') };
            let end = end.unwrap_or(braces.len() - 1) + 1;
            let inside = &braces[1..end];
            if (inside.starts_with("cmd:") || inside.starts_with("file:")) && inside.contains('{') {
                return Err(in_a_secret());
            }
            made.push_str(&braces[..end]);
            &braces[end..]
        } else if let Some(rest) = braces.strip_prefix("{tenant}") {
            holes += 1;
            made.push(mark);
            rest
        } else if let Some(rest) = braces.strip_prefix("{{") {
            made.push('{');
            rest
        } else {
            let inside = braces[1..].split('}').next().filter(|_| braces.contains('}'));
            let message = match inside {
                Some(inside) => format!("`{{{}}}` is not known here", plain(inside)),
                None => "`{` has no `}`".to_owned(),
            };
            let hint = "write `{tenant}` for the tenant's name, and `{{` for a brace";
            return Err(Diagnostic::new(Code::BAD_TEMPLATE, message).hint(hint));
        };
    }
    made.push_str(rest);
    Ok((made, holes))
}

fn is_sqlite(url: &str) -> bool {
    url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sqlite:"))
}

/// Returns the bytes of a URL that are its hosts and ports.
fn host_of(url: &str) -> std::ops::Range<usize> {
    let Some(start) = url.find("://").map(|at| at + 3) else { return 0..0 };
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let host = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
    host..end
}

/// Returns how a name is filled in after this beginning of a query: by the parameter in whose value it stands.
fn of_parameter(before: &str, is_file: bool) -> Result<Hole, Diagnostic> {
    let pair = before.rsplit('&').next().unwrap_or_default();
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (key, value) = match pair.split_once('=') {
        Some((key, value)) if !is_file => (decoded(key).replace('_', "-"), decoded(value)),
        _ => (String::new(), String::new()),
    };
    Ok(match key.as_str() {
        "user" | "password" => Hole::Encoded,
        "host" if value.rsplit(',').next().is_some_and(|host| host.starts_with('/')) => Hole::Listed,
        "host" => Hole::Host,
        "socket" | "passfile" | "defaults-file" | "sslrootcert" | "sslcert" | "sslkey" | "ssl-ca" | "ssl-cert"
        | "ssl-key" => Hole::File,
        _ => {
            let message = "`{tenant}` stands in a URL's parameter that it cannot be a part of";
            let hint = "it may stand in the values of `host`, `socket`, `user` and `password`, and of files";
            return Err(Diagnostic::new(Code::BAD_TEMPLATE, message).hint(hint));
        }
    })
}

fn dns_label(name: &str) -> Result<&str, Unfit> {
    let fits = !name.is_empty()
        && name.len() <= DNS_LABEL
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    let unfit = Unfit {
        why: "is no DNS label, and `{tenant}` stands in a URL's host",
        hint: "a label has up to 63 letters, digits and `-`; write the host of such a tenant under `tenants:`",
    };
    if fits { Ok(name) } else { Err(unfit) }
}

/// Returns a name that is one part of a path: a stranger's name must not lead to another folder.
pub(in crate::tenant) fn file_name(name: &str) -> Result<&str, Unfit> {
    let unfit = Unfit {
        why: "cannot be a part of a file's name, and `{tenant}` stands in one",
        hint: "a file's name holds no `/` and is not `.` or `..`; list such a tenant under `tenants:` with a `url`",
    };
    if name.contains(['/', '\0']) || matches!(name, "." | "..") { Err(unfit) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn filled(written: &str, kind: Kind, tenant: &str) -> Result<String, String> {
        let env = HashMap::from([("PW", "p@{tenant}/"), ("MARK", "\u{1}")]);
        let pattern =
            Pattern::read(written, kind, &env, Path::new(".")).map_err(|mistakes| mistakes[0].message().to_owned())?;
        pattern.filled(tenant).map_err(|unfit| unfit.why.to_owned())
    }

    #[test]
    fn a_name_is_escaped_for_the_place_where_it_stands() {
        const NAME: &str = "a/b?c@d:e%f#g'h\"i ü";
        const ENCODED: &str = "a%2Fb%3Fc%40d%3Ae%25f%23g%27h%22i%20%C3%BC";
        for (written, kind, tenant, expected) in [
            ("{tenant}", Kind::Plain, NAME, NAME.to_owned()),
            ("x_{tenant}_{tenant}", Kind::Plain, "{tenant}", "x_{tenant}_{tenant}".to_owned()),
            ("{{tenant}", Kind::Plain, "a", "{tenant}".to_owned()),
            ("$${tenant}", Kind::Plain, "a", "${tenant}".to_owned()),
            ("${NO:-{}{tenant}", Kind::Plain, "a", "{a".to_owned()),
            ("${PW}{tenant}", Kind::Plain, "a", "p@{tenant}/a".to_owned()),
            ("${MARK}{tenant}", Kind::Plain, "a", "\u{1}a".to_owned()),
            ("postgres://h/{tenant}", Kind::Url, NAME, format!("postgres://h/{ENCODED}")),
            ("postgres://{tenant}:${PW}@h/x", Kind::Url, "a@b", "postgres://a%40b:p%40%7Btenant%7D%2F@h/x".to_owned()),
            ("postgres://u@db/x?user={tenant}", Kind::Url, "a&b=c", "postgres://u@db/x?user=a%26b%3Dc".to_owned()),
            ("mysql://u@{tenant}.db.eu:3307/x", Kind::Url, "acme-1", "mysql://u@acme-1.db.eu:3307/x".to_owned()),
            ("sqlite://data/{tenant}.db", Kind::Url, "ü ?%", "sqlite://data/%C3%BC%20%3F%25.db".to_owned()),
        ] {
            assert_eq!(filled(written, kind, tenant), Ok(expected), "{written}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_host_or_a_files_name_is_refused() {
        let long = "a".repeat(64);
        for tenant in ["a.b", "a@b", "a:1", "-a", "a-", "ü", "a_b", "", &long, "a/b"] {
            let refused = filled("postgres://{tenant}.db/x", Kind::Url, tenant).unwrap_err();
            assert!(refused.contains("DNS label"), "{tenant}: {refused}");
        }
        for tenant in ["a/b", "..", ".", "../x", "a\0"] {
            let refused = filled("sqlite://data/{tenant}", Kind::Url, tenant).unwrap_err();
            assert!(refused.contains("file's name"), "{tenant}: {refused}");
        }
    }

    #[test]
    fn a_name_in_a_parameter_leads_to_no_other_host_and_no_other_folder() {
        for (written, tenant, expected) in [
            ("postgres://u@/x?host=/run/{tenant}", "a b", Ok("postgres://u@/x?host=/run/a%20b")),
            ("postgres://u@/x?host=%2Frun%2F{tenant}", "..", Err("file's name")),
            ("postgres://u@/x?host=/run/{tenant}", "a,evil.example", Err("holds a comma")),
            ("postgres://u@/x?host=a,/run/{tenant}", "x/y", Err("file's name")),
            ("postgres://u@/x?host=/run,{tenant}.db", "a,b", Err("DNS label")),
            ("postgres://u@/x?host={tenant}", "/tmp/x", Err("DNS label")),
            ("postgres://u@/x?host={tenant}.db", "acme", Ok("postgres://u@/x?host=acme.db")),
            ("mysql://u@h/x?socket=/run/{tenant}.sock", "../x", Err("file's name")),
            ("mysql://u@h/x?defaults_file=/etc/{tenant}", "../x", Err("file's name")),
            ("postgres://u@h/x?passfile=keys/{tenant}", "../x", Err("file's name")),
            ("postgres://u@h/x?sslrootcert={tenant}", "/x", Err("file's name")),
            ("postgres://u@h/x?sslmode=prefer&port={tenant}", "1", Err("parameter")),
            ("postgres://u@h/x?sslmode={tenant}", "disable", Err("parameter")),
            ("postgres://u@h/x?{tenant}=x", "host", Err("parameter")),
            ("sqlite://x/{tenant}?mode={tenant}", "rwc", Err("parameter")),
        ] {
            let got = filled(written, Kind::Url, tenant);
            match expected {
                Ok(expected) => assert_eq!(got.as_deref(), Ok(expected), "{written}"),
                Err(why) => assert!(got.as_ref().is_err_and(|got| got.contains(why)), "{written}: {got:?}"),
            }
        }
    }

    #[test]
    fn braces_that_are_not_understood_are_mistakes() {
        for (written, message) in [
            ("a{tenat}b", "`{tenat}` is not known here"),
            ("{}", "`{}` is not known here"),
            ("a{tenant", "`{` has no `}`"),
            ("${", "`${` has no `}`"),
            ("${file:/x/{tenant}}", "`{tenant}` stands in a password that comes from a file or a command"),
            ("${cmd:get {tenant} x}", "`{tenant}` stands in a password that comes from a file or a command"),
            ("${NO}{tenant}", "the variable NO is not set"),
        ] {
            assert_eq!(filled(written, Kind::Plain, "a"), Err(message.to_owned()), "{written}");
        }
    }
}
