//! `labels:` at the top: what every tenant with a label gets. It stands between the tenant's own and its server's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Tenant;
use super::create::Create;
use super::load::Loader;
use super::locate::Path;
use super::settings::Settings;
use super::suggest::did_you_mean;
use super::tree::Value;
use super::walk::{OF_AN_EXPRESSION, is_an_expression, scalar_key, type_of};
use crate::error::{Code, plain};

/// What a label may give.
pub(super) const KEYS: [&str; 5] = ["vars", "role", "server_settings", "extensions_schema", "create"];

/// How many labels a hint lists.
const SHOWN: usize = 20;

/// What the labels of a file give.
#[derive(Default)]
pub(super) struct Labels {
    by_name: BTreeMap<String, Settings>,
    /// What each set of labels that was met comes to.
    together: HashMap<Arc<BTreeSet<String>>, Arc<Together>>,
}

/// What some labels give together.
struct Together {
    settings: Settings,
    contradictions: Vec<Contradiction>,
}

/// Two labels that give one thing two values.
struct Contradiction {
    thing: Thing,
    labels: [String; 2],
}

/// What a label gives, by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Var(String),
    Role,
    Setting(String),
    ExtensionsSchema,
    Create,
}

impl Thing {
    fn shown(&self) -> String {
        match self {
            Self::Var(name) => format!("the variable `{name}`"),
            Self::Role => "`role`".to_owned(),
            Self::Setting(name) => format!("`{}` of `server_settings`", plain(name)),
            Self::ExtensionsSchema => "`extensions_schema`".to_owned(),
            Self::Create => "`create`".to_owned(),
        }
    }
}

/// A value of a thing. `create` is inherited as a whole, so it is compared as one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given<'s> {
    Text(&'s str),
    Create(&'s Create),
}

/// Returns what these settings give, one by one.
fn things(settings: &Settings) -> BTreeMap<Thing, Given<'_>> {
    let (vars, session) = (&settings.vars, &settings.session);
    let mut found: BTreeMap<Thing, Given<'_>> = BTreeMap::new();
    let text = Given::Text;
    found.extend(vars.iter().map(|(name, value)| (Thing::Var(name.clone()), text(value))));
    found.extend(session.role.iter().map(|role| (Thing::Role, text(role))));
    found.extend(session.settings.iter().map(|(name, value)| (Thing::Setting(name.clone()), text(&value.value))));
    found.extend(session.extensions_schema.iter().map(|schema| (Thing::ExtensionsSchema, text(schema))));
    found.extend(settings.create.iter().map(|create| (Thing::Create, Given::Create(create))));
    found
}

impl Labels {
    fn together(&mut self, labels: &Arc<BTreeSet<String>>) -> Arc<Together> {
        if let Some(known) = self.together.get(labels) {
            return known.clone();
        }
        let given = || labels.iter().filter_map(|label| Some((label, self.by_name.get(label)?)));
        let mut first: BTreeMap<Thing, (&String, Given<'_>)> = BTreeMap::new();
        let mut contradictions = Vec::new();
        for (label, settings) in given() {
            for (thing, value) in things(settings) {
                match first.get(&thing) {
                    Some((other, said)) if *said != value => {
                        let labels = [(*other).clone(), label.clone()];
                        contradictions.push(Contradiction { thing, labels });
                    }
                    Some(_) => {}
                    None => drop(first.insert(thing, (label, value))),
                }
            }
        }
        let settings = given().fold(Settings::default(), |made, (_, settings)| made.over(settings));
        let made = Arc::new(Together { settings, contradictions });
        self.together.insert(labels.clone(), made.clone());
        made
    }
}

impl Loader<'_> {
    /// Reads `labels:`.
    pub(super) fn read_labels(&mut self, value: &Value, at: Path<'_>) {
        let Value::Mapping(labels) = value else {
            let hint = "write `eu: { vars: { region: eu-west-1 } }` for each label";
            self.walk.wrong_type(at, "labels", "a mapping of labels", value, hint);
            return;
        };
        for (key, value) in labels.iter() {
            let Some(label) = key.as_str().filter(|label| !label.is_empty()) else {
                let what = if key.is_string() { "empty" } else { type_of(key) };
                let written = scalar_key(key);
                let hint = "a label is text; put it in quotes";
                self.walk.wrong(Code::BAD_NAME, at.key(&written).the_key_itself(), format!("a label is {what}"), hint);
                continue;
            };
            if is_an_expression(label) {
                let message = format!("the label `{}` begins with `!` or holds a comma", plain(label));
                self.walk.wrong(Code::BAD_NAME, at.key(label).the_key_itself(), message, OF_AN_EXPRESSION);
                continue;
            }
            let what = format!("label `{}`", plain(label));
            let Some(fields) = self.walk.fields(value, at.key(label), &what, &KEYS) else { continue };
            let settings = Settings::read(&mut self.walk, &fields);
            self.labels.by_name.insert(label.to_owned(), settings);
        }
    }

    /// Returns a tenant's own settings, over those of its labels, over `base`: its server's and the defaults'.
    ///
    /// `who` and `at` are the tenant's, where two of its labels contradict each other.
    pub(super) fn inherited(
        &mut self,
        own: Settings,
        base: &Settings,
        who: &dyn std::fmt::Display,
        at: Path<'_>,
    ) -> Settings {
        if self.labels.by_name.is_empty() {
            return own.over(base);
        }
        // Labels add up, so all of them are known only now.
        let made = own.clone().over(base);
        let together = self.labels.together(&made.labels);
        let set: BTreeMap<Thing, Given<'_>> = things(&own);
        for Contradiction { thing, labels: [one, other] } in &together.contradictions {
            if !set.contains_key(thing) {
                let (one, other) = (plain(one), plain(other));
                let message = format!("labels `{one}` and `{other}` give {who} two values of {}", thing.shown());
                let hint = "set it at the tenant, which wins; or let one label give it";
                self.walk.wrong(Code::CONTRADICTING_LABELS, at, message, hint);
            }
        }
        let base = together.settings.clone().over(base);
        Settings { labels: made.labels, ..own.over(&base) }
    }

    /// Checks that some tenant has each label: what a misspelt one gives reaches nobody.
    pub(super) fn check_labels(&mut self, at: Path<'_>, tenants: &[&Tenant]) {
        let known: BTreeSet<&str> =
            tenants.iter().flat_map(|tenant| tenant.labels.iter()).map(String::as_str).collect();
        let given: Vec<String> = self.labels.by_name.keys().cloned().collect();
        for label in given.iter().filter(|label| !known.contains(label.as_str())) {
            let listed = known.iter().copied().take(SHOWN).collect::<Vec<_>>().join(", ");
            let hint = match known.len() {
                0 => "no tenant has any label".to_owned(),
                many => format!("the labels are {listed}{}", if many > SHOWN { ", …" } else { "" }),
            };
            let message = format!("no tenant has the label `{}`", plain(label));
            let hint = did_you_mean(label, known.iter().copied(), &hint);
            self.walk.wrong(Code::BAD_VALUE, at.key(label).the_key_itself(), message, hint);
        }
    }
}
