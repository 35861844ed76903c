//! What tenants of a file have taken: names, homes, and the sets of labels that they share.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::ServerId;
use super::interpolate::shown;
use super::servers::canonical;
use super::vars::Vars;

/// What is taken: names and schemas, with the tenant that has them.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) names: HashMap<String, usize>,
    pub(super) homes: HashMap<Home, Claim>,
    /// The sets of labels, each once.
    labels: HashSet<Arc<BTreeSet<String>>>,
    /// The variables, each set of them once.
    vars: HashSet<Arc<Vars>>,
}

/// Who has a home.
pub(super) struct Claim {
    pub(super) index: usize,
    /// Whether its name was understood.
    pub(super) named: bool,
}

/// A tenant in a message: its name as it stands in the file, if that was understood.
#[derive(Clone, Copy)]
pub(super) struct Who<'v> {
    pub(super) written: Option<&'v str>,
    pub(super) index: usize,
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.written {
            Some(written) => write!(f, "tenant `{}`", shown(written)),
            None => write!(f, "tenant number {}", self.index + 1),
        }
    }
}

/// A schema, however it is written.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Home {
    OnServer(ServerId, String, Option<String>),
    /// A file that is not there yet.
    File(PathBuf),
    /// A file by the numbers of its device and itself: two names of one file have one home.
    #[cfg(unix)]
    Inode(u64, u64),
}

impl Home {
    /// Returns the home of a file, by what it is if it is there.
    pub(super) fn of_file(path: PathBuf) -> Home {
        #[cfg(unix)]
        if let Ok(found) = std::fs::metadata(&path) {
            use std::os::unix::fs::MetadataExt;
            return Home::Inode(found.dev(), found.ino());
        }
        Home::File(linked(path))
    }
}

/// How many links in a row are followed, as Linux has it.
const LINKS: usize = 40;

/// Returns where a link leads, whether or not there is a file: SQLite would make it there.
fn linked(mut path: PathBuf) -> PathBuf {
    for _ in 0..LINKS {
        let Ok(target) = path.read_link() else { break };
        path = canonical(&path.parent().unwrap_or(&path).join(target));
    }
    path
}

impl Claims {
    /// Returns the one copy of equal labels.
    pub(super) fn shared(&mut self, labels: Arc<BTreeSet<String>>) -> Arc<BTreeSet<String>> {
        if let Some(known) = self.labels.get(&labels) {
            return known.clone();
        }
        self.labels.insert(labels.clone());
        labels
    }

    /// Returns the one copy of equal variables.
    pub(super) fn shared_vars(&mut self, vars: Arc<Vars>) -> Arc<Vars> {
        if let Some(known) = self.vars.get(&vars) {
            return known.clone();
        }
        self.vars.insert(vars.clone());
        vars
    }
}
