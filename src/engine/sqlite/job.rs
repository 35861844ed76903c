//! An order that a thread can own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::leavings::leaves_nothing;
use crate::changeset::{Changeset, Text, Version, Width};
use crate::engine::{Known, Order, Resume, RunIdentity, Tables};
use crate::tenant::{Limits, Tenant};

/// An [`Order`] without borrows; SQLite works on threads that outlive no borrow.
pub(super) struct Job {
    tenant: Tenant,
    changeset: Changeset,
    text: Arc<Text>,
    /// Whether the text leaves nothing in its session.
    pub leaves_nothing: bool,
    skips: bool,
    width: Width,
    run: RunIdentity,
    tables: Tables,
    rewrite: Vec<(Version, u64)>,
    resume: Option<Resume>,
    known: Known,
    limits: Limits,
    lane: usize,
    cancel: CancellationToken,
}

impl Job {
    /// Takes what the order borrows, but for the changeset's other texts.
    pub fn of(order: &Order<'_>, texts: &LastText) -> Self {
        let changeset = Changeset {
            version: order.changeset.version,
            name: order.changeset.name.clone(),
            kind: order.changeset.kind,
            default: None,
            variants: BTreeMap::new(),
            down: None,
            down_variants: BTreeMap::new(),
        };
        let (text, leaves_nothing) = texts.share(order.text);
        Self {
            tenant: order.tenant.clone(),
            changeset,
            text,
            leaves_nothing,
            skips: order.skips,
            width: order.width,
            run: order.run.clone(),
            tables: order.tables,
            rewrite: order.rewrite.clone(),
            resume: order.resume.clone(),
            known: order.known.clone(),
            limits: order.limits,
            lane: order.lane,
            cancel: order.cancel.clone(),
        }
    }

    /// Returns the order.
    pub fn order(&self) -> Order<'_> {
        Order {
            tenant: &self.tenant,
            changeset: &self.changeset,
            text: &self.text,
            skips: self.skips,
            width: self.width,
            run: &self.run,
            tables: self.tables,
            rewrite: self.rewrite.clone(),
            resume: self.resume.clone(),
            known: self.known.clone(),
            limits: self.limits,
            lane: self.lane,
            cancel: self.cancel.clone(),
        }
    }
}

/// The text that was last asked for, and whether it leaves nothing in its session: in lockstep all tenants get the same
/// one, and one copy serves them all.
#[derive(Default)]
pub(super) struct LastText(Mutex<Option<(Arc<Text>, bool)>>);

impl LastText {
    fn share(&self, text: &Text) -> (Arc<Text>, bool) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(known)
                if known.0.file == text.file && known.0.checksums == text.checksums && known.0.sql == text.sql =>
            {
                known.clone()
            }
            _ => last.insert((Arc::new(text.clone()), leaves_nothing(text))).clone(),
        }
    }
}
