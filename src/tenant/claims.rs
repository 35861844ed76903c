//! What tenants of a file have taken: names, homes, and the sets of labels that they share.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::interpolate::shown;
use super::locate::{Locator, Path};
use super::servers::canonical;
use super::vars::Vars;
use super::{RowOf, ServerId};

/// What is taken: names and schemas, with the tenant that has them.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) names: HashMap<String, usize>,
    pub(super) homes: HashMap<Home, Claim>,
    /// The rows of sources, which come after the file's own list, in the order in which they were read.
    rows: Vec<(Option<Rc<str>>, RowOf)>,
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
    written: Option<&'v str>,
    /// Its place among all that were read: the file's list, then the rows of sources.
    pub(super) index: usize,
    /// What it is called without a name.
    what: Option<&'static str>,
}

impl<'v> Who<'v> {
    /// Makes a tenant of the file's own list, without a name.
    pub(super) fn listed(index: usize) -> Self {
        Self { written: None, index, what: None }
    }

    /// Makes the tenant of a row, without a name.
    pub(super) fn row(index: usize) -> Self {
        Self { written: None, index, what: Some("a tenant") }
    }

    /// Returns it with its name, as that stands in the file.
    pub(super) fn called<'n>(self, written: Option<&'n str>) -> Who<'n> {
        Who { written, index: self.index, what: self.what }
    }

    /// Whether its name was understood.
    pub(super) fn is_named(self) -> bool {
        self.written.is_some()
    }

    /// Whether it is a row of a source.
    pub(super) fn is_row(self) -> bool {
        self.what.is_some()
    }

    /// Makes what is no tenant.
    pub(super) fn named(what: &'static str) -> Self {
        Self { written: None, index: 0, what: Some(what) }
    }
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.written, self.what) {
            (Some(written), _) => write!(f, "tenant `{}`", shown(written)),
            (None, Some(what)) => f.write_str(what),
            (None, None) => write!(f, "tenant number {}", self.index + 1),
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

/// Returns the path of the name of a tenant of the file's own list.
pub(super) fn path_of_name(index: usize) -> Path<'static> {
    Path::ROOT.key("tenants").index(index).key("name")
}

impl Claims {
    /// Adds a row of a source, and returns its place among all that were read.
    pub(super) fn row(&mut self, listed: usize, name: Option<Rc<str>>, row: RowOf) -> usize {
        self.rows.push((name, row));
        listed + self.rows.len() - 1
    }

    /// Returns a row of a source; none for a tenant of the file's own list.
    pub(super) fn row_at(&self, listed: usize, index: usize) -> Option<&(Option<Rc<str>>, RowOf)> {
        self.rows.get(index.checked_sub(listed)?)
    }

    /// Returns where a tenant is listed, in brackets: ` (line 7)`, ` (row 3 of the registry in line 20)`.
    pub(super) fn origin(&self, listed: usize, index: usize, locator: &Locator<'_>) -> String {
        match self.row_at(listed, index) {
            Some((_, row)) => format!(" ({row})"),
            None => locator.line_of(path_of_name(index)),
        }
    }

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
