//! What hands do to tenants behind the program's back, and how it is taken back.

use tokio::time::Instant;

use crate::history::Row;

use super::state::{Edit, State};
use super::world::World;

/// A version that no changelog has.
const UNKNOWN: i64 = 9999;

impl World {
    /// Changes a tenant that has a history: its history, or its schema. With `rows` a row may be removed.
    pub fn edit_by_hand(&mut self, rows: bool) {
        let has_history = |(_, state): &(usize, &State)| !state.rows.is_empty();
        let tenants: Vec<usize> =
            self.tenants.iter().enumerate().filter(has_history).map(|(tenant, _)| tenant).collect();
        if tenants.is_empty() {
            return;
        }
        let tenant = *self.dice.pick(&tenants);
        let what = self.dice.below(4);
        let state = self.durable(tenant);
        let newest = state.rows.iter().enumerate().max_by_key(|(_, row)| number(row)).map(|(idx, _)| idx);
        let edit = match what {
            0 => {
                let row = &mut state.rows[0];
                let before = row.checksum.replace("1".into());
                Edit::Checksum(row.version.clone().unwrap_or_default(), before)
            }
            // Without its newest row a tenant is merely behind.
            1 if rows && newest.is_some_and(|newest| newest != 0) => Edit::Removed(state.rows.remove(0)),
            2 => {
                let row = Row { version: Some(UNKNOWN.to_string()), ..state.rows[0].clone() };
                if state.has_row(UNKNOWN).is_some() {
                    return;
                }
                state.rows.push(row);
                Edit::Unknown(UNKNOWN.to_string())
            }
            _ => {
                let name = format!("view by_hand{}", state.edits.len());
                state.objects.insert(name.clone(), "SELECT 1".into());
                Edit::Column(name)
            }
        };
        if !matches!(edit, Edit::Column(_)) {
            state.drifted.get_or_insert_with(Instant::now);
        }
        let line = format!("by hand, t{tenant}: {edit:?}");
        state.edits.push(edit);
        self.tell(line);
    }

    /// Takes every change by hand back, and mends the schemas that a text left odd.
    pub fn take_back(&mut self) {
        self.volatile.clear();
        for state in &mut self.tenants {
            for edit in std::mem::take(&mut state.edits).into_iter().rev() {
                match edit {
                    Edit::Checksum(version, checksum) => {
                        let row = state.rows.iter_mut().find(|row| row.version.as_ref() == Some(&version));
                        if let Some(row) = row {
                            row.checksum = checksum;
                        }
                    }
                    Edit::Removed(row) => state.rows.insert(0, row),
                    Edit::Unknown(version) => state.rows.retain(|row| row.version.as_ref() != Some(&version)),
                    Edit::Column(name) => {
                        state.objects.remove(&name);
                    }
                }
            }
            state.drifted = None;
            state.objects.retain(|name, _| !name.starts_with("view odd"));
        }
        self.odd.clear();
        self.tell("what was changed by hand is taken back");
    }
}

fn number(row: &Row) -> i64 {
    row.version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}
