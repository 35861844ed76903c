//! `tenants.yaml` as a user meets it: what it becomes, what is wrong with it, and what never shows.

mod mistakes;
mod resolving;
mod secrets;
mod selecting;
mod sources;

use std::collections::HashMap;
use std::path::Path;

use super::{Fleet, parse};
use crate::error::{Paint, render_all};

/// Resolves a text as the file `tenants.yaml` of the working directory.
fn fleet_with(text: &str, variables: &[(&str, &str)]) -> Result<Fleet, String> {
    let env: HashMap<&str, &str> = variables.iter().copied().collect();
    parse(Path::new("tenants.yaml"), text, &env).map_err(|mistakes| render_all(&mistakes, Paint::Plain))
}

fn fleet(text: &str) -> Fleet {
    fleet_with(text, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}
