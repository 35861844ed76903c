//! The templates against the fleet: what a tenant lacks is said before anybody is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::recipient::{FACTS, Recipient, Who};
use super::template::{Form, asked, place};
use super::{Changelog, Text, quote};
use crate::error::{Code, Diagnostic, count, names, plain};
use crate::sql::EngineKind;

/// How many tenants one message names.
const NAMES: usize = 5;

/// Checks that every tenant has what the templates ask of it, and that its values can stand where they are put. A tenant
/// that a changeset is not for need not have it.
///
/// Returns warnings: `MT123` for a label or a name behind `only` or `except` that no tenant has.
///
/// # Errors
/// `MT134` and `MT136`, each once for a file and a placeholder, with all tenants that it is about.
pub fn check_variables(changelog: &Changelog, tenants: &[Recipient<'_>]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut by_engine: BTreeMap<EngineKind, Vec<&Recipient<'_>>> = BTreeMap::new();
    for tenant in tenants {
        by_engine.entry(tenant.engine).or_default().push(tenant);
    }
    for changeset in changelog.changesets() {
        let mut told = BTreeSet::new();
        let mut found: BTreeMap<(&str, usize, Option<String>), Found<'_>> = BTreeMap::new();
        for (&engine, tenants) in &by_engine {
            let Some(text) = changeset.text(engine) else { continue };
            let is_for_some = !text.directives.only.is_empty() || !text.directives.except.is_empty();
            if is_for_some && told.insert(&text.file) {
                warnings.extend(nobody(text, tenants_of(changeset, text, &by_engine).as_slice()));
            }
            if text.directives.template {
                compare(text, engine, tenants, &mut found);
            }
        }
        errors.extend(found.into_iter().map(|((_, _, why), found)| found.diagnostic(why)));
    }
    if errors.is_empty() { Ok(warnings) } else { Err(errors) }
}

/// The tenants that one placeholder cannot be filled in for.
struct Found<'f> {
    text: &'f Text,
    form: Form,
    name: &'f str,
    span: Range<usize>,
    tenants: Vec<&'f str>,
}

/// Notes whom a text asks for what they have not: by file, place, and why the value is refused where there is one.
fn compare<'f>(
    text: &'f Text,
    engine: EngineKind,
    tenants: &[&'f Recipient<'f>],
    found: &mut BTreeMap<(&'f str, usize, Option<String>), Found<'f>>,
) {
    let asked = asked(text, engine);
    for tenant in tenants.iter().filter(|tenant| text.is_for(tenant)) {
        for (form, name, span) in &asked {
            let why = match tenant.value(name) {
                None => None,
                Some(value) => match quote::quoted(&value, *form, engine) {
                    Ok(_) => continue,
                    Err(why) => Some(why),
                },
            };
            let made = || Found { text, form: *form, name, span: span.clone(), tenants: Vec::new() };
            found.entry((&text.file, span.start, why)).or_insert_with(made).tenants.push(tenant.name);
        }
    }
}

impl Found<'_> {
    fn diagnostic(self, why: Option<String>) -> Diagnostic {
        let Self { text, form, name, span, tenants } = self;
        let written = format!("${{{}:{name}}}", form.as_str());
        let whom = match tenants.as_slice() {
            [one] => format!("tenant {}", plain(one)),
            many => format!("{} ({})", count(many.len(), "tenant"), names(many.iter().copied(), NAMES)),
        };
        let made = match why {
            Some(why) => {
                let message = format!("{}: the value of `{written}` for {whom} {why}", text.file);
                Diagnostic::new(Code::BAD_VARIABLE, message).hint("give another value in tenants.yaml")
            }
            None if name.starts_with("tenant.") => {
                let message = format!("{} asks for `{written}`, which {whom} has not", text.file);
                let hint = match FACTS.contains(&name) {
                    true => "give the tenant a `schema:` in tenants.yaml".to_owned(),
                    false => format!("of a tenant there are {}", FACTS.join(", ")),
                };
                Diagnostic::new(Code::MISSING_VARIABLE, message).hint(hint)
            }
            None => {
                let message = format!("{} asks for the variable `{name}`, which is not set for {whom}", text.file);
                Diagnostic::new(Code::MISSING_VARIABLE, message).hint(format!(
                    "write `vars: {{ {name}: … }}` in tenants.yaml: at the tenant, at a label of its, at its server, or in `defaults`"
                ))
            }
        };
        made.at(place(text, &span)).state("nothing was touched")
    }
}

/// Returns the tenants whose text this is.
fn tenants_of<'r>(
    changeset: &super::Changeset,
    text: &Text,
    by_engine: &BTreeMap<EngineKind, Vec<&'r Recipient<'r>>>,
) -> Vec<&'r Recipient<'r>> {
    let of_it = by_engine.iter().filter(|(engine, _)| changeset.text(**engine).is_some_and(|t| t.file == text.file));
    of_it.flat_map(|(_, tenants)| tenants.iter().copied()).collect()
}

/// Warns of words that mean nobody: a misspelt label would skip a changeset everywhere, or nowhere.
fn nobody(text: &Text, tenants: &[&Recipient<'_>]) -> Vec<Diagnostic> {
    let words = [("only", &text.directives.only), ("except", &text.directives.except)];
    let idle = words.into_iter().flat_map(|(directive, words)| words.iter().map(move |who| (directive, who)));
    let idle =
        idle.filter(|(_, who)| !matches!(who, Who::Engine(_)) && !tenants.iter().any(|tenant| who.means(tenant)));
    idle.map(|(directive, who)| {
        let who = plain(&who.to_string());
        let message = format!("{}: `{directive} {who}` means no tenant of this fleet", text.file);
        Diagnostic::warning(Code::BAD_DIRECTIVE, message)
            .at(super::neighbours::of_directive(text, directive))
            .hint("see whether it is spelled as in tenants.yaml; `mtmigrate plan` lists who skips what")
    })
    .collect()
}
