//! The texts against the fleet's own places: no text may name another tenant's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::recipient::Recipient;
use super::template::asked;
use super::{Changelog, Text};
use crate::error::{Code, Diagnostic, Place, count, plain};
use crate::sql::{Dialect, EngineKind, Qualified, SqlMode, qualified};

/// The places of tenants that can name each other's: the databases of one MySQL/MariaDB server, the schemas of one
/// PostgreSQL database.
#[derive(Clone, Debug, Default)]
pub struct Neighbourhood {
    /// The server, and the database there, for people.
    pub shown: String,
    /// The tenants' names by their databases or schemas.
    pub homes: BTreeMap<String, String>,
}

/// Checks that no text names a place of another tenant: on MySQL/MariaDB in its statements, on every server in its
/// `touches`. On PostgreSQL the fence sees what a text does when it runs. Of a template every distinct text that these
/// tenants get is looked at; there a tenant's own place is its own.
///
/// A place that is the only one of its neighbourhood is nobody else's. Case is folded, as a server may do.
///
/// # Errors
/// `MT133`, once for a file and place, where that is named first.
pub fn check_names(
    changelog: &Changelog,
    neighbourhoods: &BTreeMap<EngineKind, Vec<Neighbourhood>>,
    tenants: &[Recipient<'_>],
) -> Result<(), Vec<Diagnostic>> {
    let mut errors = Vec::new();
    for (&engine, places) in neighbourhoods {
        let places = Places::of(places);
        let mut seen = BTreeSet::new();
        for changeset in changelog.changesets() {
            for text in [changeset.text(engine), changeset.down(engine)].into_iter().flatten() {
                if seen.insert(&text.file) {
                    judge_touches(text, engine, &places, &mut errors);
                    match text.directives.template {
                        false => drop(judge(text, engine, &places, None, &mut BTreeSet::new(), &mut errors)),
                        true => judge_each(text, engine, &places, tenants, &mut errors),
                    }
                }
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Judges what a template becomes: once for each of the texts that tenants get.
fn judge_each(
    text: &Text,
    engine: EngineKind,
    places: &Places<'_>,
    tenants: &[Recipient<'_>],
    errors: &mut Vec<Diagnostic>,
) {
    if engine != EngineKind::MySql {
        return;
    }
    let asked = asked(text, engine);
    // Of each text, whether it names anybody's place: who that is counts then, for a tenant may name its own.
    let mut seen: HashMap<u64, bool> = HashMap::new();
    let mut said = BTreeSet::new();
    for tenant in tenants.iter().filter(|tenant| tenant.engine == engine && text.is_for(tenant)) {
        let mut hasher = DefaultHasher::new();
        asked.iter().for_each(|(_, name, _)| tenant.value(name).hash(&mut hasher));
        let known = hasher.finish();
        if seen.get(&known) != Some(&false)
            && let Ok(rendered) = text.rendered(tenant)
        {
            seen.insert(known, judge(&rendered, engine, places, Some(tenant.name), &mut said, errors));
        }
    }
}

/// Neighbourhoods of more than one tenant, by the places in lower case.
struct Places<'n>(BTreeMap<String, (&'n Neighbourhood, &'n str)>);

impl<'n> Places<'n> {
    fn of(neighbourhoods: &'n [Neighbourhood]) -> Self {
        let crowded = neighbourhoods.iter().filter(|one| one.homes.len() > 1);
        let places = crowded.flat_map(|one| one.homes.iter().map(move |(home, tenant)| (one, home, tenant)));
        Self(places.map(|(one, home, tenant)| (home.to_lowercase(), (one, tenant.as_str()))).collect())
    }

    fn find(&self, name: &str) -> Option<(&'n Neighbourhood, &'n str)> {
        self.0.get(&name.to_lowercase()).copied()
    }
}

fn judge_touches(text: &Text, engine: EngineKind, places: &Places<'_>, errors: &mut Vec<Diagnostic>) {
    let what = if engine == EngineKind::Postgres { "schema" } else { "database" };
    for touched in &text.directives.touches {
        if let Some((neighbourhood, tenant)) = places.find(&touched.schema) {
            let message = format!("{} touches {what} `{}`, which is tenant {tenant}'s", text.file, touched.schema);
            let made = refused(message, neighbourhood, what);
            errors.push(
                made.at(of_directive(text, "touches"))
                    .hint("take it out of the directive: it is for what no tenant owns"),
            );
        }
    }
}

/// Judges the names in a text; `own` is whose it is, if it is not everybody's. Returns whether it names any tenant's place.
fn judge(
    text: &Text,
    engine: EngineKind,
    places: &Places<'_>,
    own: Option<&str>,
    said: &mut BTreeSet<String>,
    errors: &mut Vec<Diagnostic>,
) -> bool {
    if engine != EngineKind::MySql {
        return false;
    }
    let what = "database";
    let mut any = false;
    for name in named(&text.sql) {
        let Some((neighbourhood, tenant)) = places.find(&name.qualifier) else { continue };
        any = true;
        if own == Some(tenant) || !said.insert(name.qualifier.to_lowercase()) {
            continue;
        }
        let message = format!("{} names database `{}`, which is tenant {tenant}'s", text.file, plain(&name.qualifier));
        let place = text.place_of(name.line, name.column, name.len);
        errors.push(
            refused(message, neighbourhood, what).at(place).hint(
                "take the database's name out: a changeset runs in its tenant's database, and each tenant gets it",
            ),
        );
    }
    any
}

fn refused(message: String, neighbourhood: &Neighbourhood, what: &str) -> Diagnostic {
    let tenants = count(neighbourhood.homes.len(), "tenant");
    let cause = format!("the text runs for {tenants} on {}, each in its own {what}", plain(&neighbourhood.shown));
    Diagnostic::new(Code::NEIGHBOUR, message).cause(cause)
}

/// Finds the qualified names of a text. Only a server knows its `sql_mode`, so what may be names in double quotes is
/// read as such, too.
fn named(sql: &str) -> Vec<Qualified> {
    let mut names = qualified(sql, Dialect::default_for(EngineKind::MySql));
    if sql.contains("\".") || sql.contains("\" .") {
        let ansi = qualified(sql, Dialect::MySql(SqlMode::parse("ANSI_QUOTES")));
        names.extend(ansi.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    names
}

/// Points at a directive of a text.
pub(super) fn of_directive(text: &Text, word: &str) -> Place {
    let lines = || text.sql.lines().enumerate();
    let word = format!("{word} ");
    match lines().find(|(_, line)| line.contains("mtmigrate:") && line.contains(&word)) {
        Some((idx, line)) => Place::in_text(&text.file, &text.sql, idx + 1, 1, line.trim_end().chars().count()),
        None => Place::file(&text.file),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::changeset::load;

    /// The refusals of a text on a MySQL server with these databases, each of a tenant of that name in capitals.
    fn refusals(sql: &str, engine: EngineKind, homes: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("V1__x.sql"), sql).unwrap();
        let changelog = load(folder.path()).unwrap().changelog;
        let homes = homes.iter().map(|home| (home.to_string(), home.to_uppercase())).collect();
        let neighbourhood = Neighbourhood { shown: "server eu".into(), homes };
        let checked = check_names(&changelog, &BTreeMap::from([(engine, vec![neighbourhood])]), &[]);
        let said = |e: &Diagnostic| {
            assert_eq!(e.code(), Code::NEIGHBOUR);
            let place = e.place().unwrap().to_string();
            format!("{}: {}", &place[place.find("V1").unwrap()..], &e.message()[e.message().find("V1").unwrap()..])
        };
        checked.err().unwrap_or_default().iter().map(said).collect()
    }

    #[test]
    fn a_text_that_names_another_tenants_database_is_refused_with_its_line() {
        let homes = ["acme", "globex"];
        let refused = |sql| refusals(sql, EngineKind::MySql, &homes);
        assert_eq!(
            refused("SELECT 1;\nINSERT INTO acme.t SELECT * FROM ACME.u;\nDELETE FROM `globex`.t;"),
            [
                "V1__x.sql:2:13: V1__x.sql names database `acme`, which is tenant ACME's",
                "V1__x.sql:3:13: V1__x.sql names database `globex`, which is tenant GLOBEX's",
            ]
        );
        assert_eq!(
            refused("DELETE FROM \"acme\".t")[0],
            "V1__x.sql:1:13: V1__x.sql names database `acme`, which is tenant ACME's"
        );
        assert_eq!(refused("-- mtmigrate: touches shared\nSELECT * FROM shared.t, acme"), Vec::<String>::new());
        assert_eq!(
            refused("-- why\n-- mtmigrate: touches shared, Acme\nSELECT 1"),
            ["V1__x.sql:2:1: V1__x.sql touches database `acme`, which is tenant ACME's"]
        );
    }

    #[test]
    fn a_fleet_of_one_has_no_neighbours_and_postgresql_has_its_fence() {
        assert!(refusals("DELETE FROM acme.t", EngineKind::MySql, &["acme"]).is_empty());
        assert!(refusals("DELETE FROM acme.t", EngineKind::Postgres, &["acme", "globex"]).is_empty());
        let touches = refusals("-- mtmigrate: touches acme.t\nSELECT 1", EngineKind::Postgres, &["acme", "globex"]);
        assert_eq!(touches, ["V1__x.sql:1:1: V1__x.sql touches schema `acme`, which is tenant ACME's"]);
    }
}
