//! placeholder, replaced by its own branch
use super::Row;
use crate::changeset::{Changelog, Version};
use crate::error::{Code, Diagnostic};
use crate::sql::EngineKind;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfOrder {
    Refuse,
    Allow,
}
#[derive(Clone, Debug)]
pub struct Comparison {
    pub applied: Vec<Version>,
    pub pending: Vec<Version>,
    pub newest: Option<Version>,
    pub findings: Vec<Finding>,
}
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    Unknown { version: Version, name: String },
}
impl Finding {
    pub fn kind(&self) -> &'static str {
        "unknown"
    }
    pub fn version(&self) -> Option<Version> {
        None
    }
    pub fn detail(&self) -> String {
        String::new()
    }
    pub fn diagnostic(&self, _tenants: &[&str], _changelog: &Changelog) -> Diagnostic {
        Diagnostic::new(Code::BUG, "")
    }
}
pub fn compare(_rows: &[Row], _changelog: &Changelog, _engine: EngineKind, _o: OutOfOrder) -> Comparison {
    unimplemented!()
}
