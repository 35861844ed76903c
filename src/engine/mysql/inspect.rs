//! What the schemas of many tenants of one server are, in a number of questions that does not grow with them.
//!
//! First the server hashes each kind of rows of each database; then the rows of one database of each distinct list of
//! hashes are transferred. The kinds are shared out among several connections where the budget allows: the server opens
//! every table for each of them. Writes nothing, under a role that may only read.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::engine::Gauge;
use crate::error::{Code, Diagnostic, Result};
use crate::schema::{Basis, Fingerprint, Snapshot};
use crate::tenant::{Access, Tenant};

use super::asking::{Answers, Asking};
use super::catalog::{self, Part, Rows};
use super::describe::{self, Hidden, Raw};
use super::flavor::{self, Flavor};
use super::link::{ANSWER_LIMIT, Cells, Sets, Trouble};
use super::read::{LOCK_WAIT, by_access};
use super::{MySqlServer, NoSession, fault, sql};

/// How many sequences one question is about.
const SEQUENCES: usize = 200;

/// Reads what these tenants' schemas are; one answer for each, in order.
pub(super) async fn inspect(server: &MySqlServer, tenants: &[&Tenant]) -> Vec<Result<Arc<Snapshot>>> {
    let mut answers = by_access(tenants, |access, members| async move {
        match Survey::of(server, access, &members).await {
            Ok(survey) => survey.snapshots(&members).await,
            Err(diagnostic) => members.iter().map(|_| Err(diagnostic.clone())).collect(),
        }
    })
    .await;
    let mut one_of_each: HashMap<Fingerprint, Arc<Snapshot>> = HashMap::new();
    for snapshot in answers.iter_mut().flatten() {
        *snapshot = one_of_each.entry(snapshot.fingerprint().clone()).or_insert(snapshot.clone()).clone();
    }
    answers
}

/// Measures these tenants' schemas: the server's own hashes.
pub(super) async fn gauge(server: &MySqlServer, tenants: &[&Tenant]) -> Vec<Result<Gauge>> {
    by_access(tenants, |access, members| async move {
        match Survey::of(server, access, &members).await {
            Ok(survey) => survey.gauges(&members),
            Err(diagnostic) => members.iter().map(|_| Err(diagnostic.clone())).collect(),
        }
    })
    .await
}

/// What a server's databases are alike in, before any row was transferred.
struct Survey<'s> {
    asking: Asking<'s>,
    flavor: Flavor,
    folds: bool,
    /// Each database's own name by the name that it is known under, and its hashes.
    known: HashMap<String, Known>,
    /// Why a tenant's database is not known.
    missing: HashMap<String, Diagnostic>,
}

#[derive(Default)]
struct Known {
    /// As the server has it.
    name: String,
    /// The hashes of each part; equal ones mean equal rows.
    hashes: Vec<Option<Cells>>,
    /// Its sequences, as hexadecimal digits, and their options.
    sequences: Vec<Cells>,
    has_partitions: bool,
    /// Why its sequences could not be read.
    trouble: Option<Trouble>,
}

impl<'s> Survey<'s> {
    async fn of(server: &'s MySqlServer, access: &'s Arc<Access>, tenants: &[&Tenant]) -> Result<Self> {
        let asked = format!(
            "{}; SELECT VERSION(), @@lower_case_table_names, @@max_allowed_packet; \
             SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE {}",
            flavor::open(LOCK_WAIT.as_secs()),
            sql::among("SCHEMA_NAME", tenants.iter().map(|tenant| tenant.datasource.database()))
        );
        let opened = server.session(access, &asked).await;
        let (mut lease, mut sets) = opened.map_err(|none| unreadable(server, none))?;
        let schemata = sets.pop().unwrap_or_default();
        let about = sets.pop().and_then(|rows| rows.into_iter().next()).unwrap_or_default();
        let about = |at: usize| about.get(at).cloned().flatten().unwrap_or_default();
        let (flavor, folds) = (Flavor::parse(&about(0)), about(1) != "0");
        let max_packet = about(2).parse().unwrap_or(sql::SMALL_PACKET);
        let mut survey = Self {
            asking: Asking { server, access, parts: catalog::parts(flavor, server.include), max_packet },
            flavor,
            folds,
            known: HashMap::new(),
            missing: HashMap::new(),
        };
        let mut listed: HashMap<String, String> =
            schemata.into_iter().filter_map(|row| row.into_iter().next()?).map(|n| (survey.key(&n), n)).collect();
        for tenant in tenants {
            let key = survey.key(tenant.datasource.database());
            if survey.known.contains_key(&key) || survey.missing.contains_key(&key) {
                continue;
            }
            match listed.remove(&key) {
                Some(name) => {
                    let hashes = vec![None; survey.asking.parts.len()];
                    survey.known.insert(key, Known { name, hashes, ..Known::default() });
                }
                // It is not there, or the user has no right in it; or it is there now, with nothing for the user in it.
                None => {
                    match lease.ask(&format!("USE {}", sql::name(tenant.datasource.database())), ANSWER_LIMIT).await {
                        Ok(_) => {
                            let (name, hashes) =
                                (tenant.datasource.database().to_owned(), vec![None; survey.asking.parts.len()]);
                            survey.known.insert(key, Known { name, hashes, ..Known::default() });
                        }
                        Err(trouble) => drop(survey.missing.insert(key, server.trouble(trouble, tenant))),
                    }
                }
            }
        }
        server.give_back(lease).await;
        survey.hash().await?;
        survey.read_sequences().await?;
        Ok(survey)
    }

    /// Returns what a database is known under.
    fn key(&self, database: &str) -> String {
        if self.folds { database.to_lowercase() } else { database.to_owned() }
    }

    /// Has the server hash every part of every database; partitions only where a table has some.
    async fn hash(&mut self) -> Result<()> {
        let all: Vec<&str> = self.known.values().map(|known| known.name.as_str()).collect();
        let answers = self.asking.ask(&all, Part::hashes, |rows| rows != Rows::Partitions).await?;
        self.take_hashes(answers);
        let partitioned = self.known.values().filter(|known| known.has_partitions);
        let partitioned: Vec<&str> = partitioned.map(|known| known.name.as_str()).collect();
        let answers = self.asking.ask(&partitioned, Part::hashes, |rows| rows == Rows::Partitions).await?;
        self.take_hashes(answers);
        Ok(())
    }

    fn take_hashes(&mut self, answers: Answers) {
        for (database, trouble) in answers.troubles {
            self.missing.insert(self.key(&database), trouble);
        }
        for (at, rows) in answers.rows {
            for mut row in rows {
                let Some(database) = row.first_mut().and_then(Option::take) else { continue };
                let key = self.key(&self.plain(at, database));
                let Some(known) = self.known.get_mut(&key) else { continue };
                if let Some(sequences) = row.pop().flatten() {
                    known.sequences.extend(sequences.split(',').map(|name| vec![Some(name.to_owned())]));
                }
                known.has_partitions |= row.pop().flatten().is_some_and(|has| has != "0");
                known.hashes[at] = Some(row);
            }
        }
    }

    /// Returns the name of the database that a row is about: grants on one stand under a pattern.
    fn plain(&self, part: usize, database: String) -> String {
        match self.asking.parts[part].rows {
            Rows::DatabaseGrants => database.replace("\\_", "_").replace("\\%", "%"),
            _ => database,
        }
    }

    /// Reads the options of all sequences: only they themselves tell.
    async fn read_sequences(&mut self) -> Result<()> {
        let mut wanted: Vec<(String, String, String)> = Vec::new();
        for (key, known) in &mut self.known {
            for name in std::mem::take(&mut known.sequences).into_iter().flatten().flatten() {
                wanted.push((key.clone(), known.name.clone(), unhex(&name)));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let opened = self.asking.server.session(self.asking.access, &flavor::open(LOCK_WAIT.as_secs())).await;
        let (mut lease, _) = opened.map_err(|none| unreadable(self.asking.server, none))?;
        // A question that fails is halved until the sequence that it fails for is alone.
        let mut parts: Vec<&[(String, String, String)]> = wanted.chunks(SEQUENCES).collect();
        while let Some(part) = parts.pop() {
            let selects = part.iter().enumerate();
            let selects = selects.map(|(at, (_, database, name))| catalog::select_sequence(database, name, at));
            let selects = selects.collect::<Vec<_>>().join(" UNION ALL ");
            match (lease.ask(&selects, ANSWER_LIMIT).await, part) {
                (Ok(sets), _) => add_sequences(&mut self.known, part, sets),
                (Err(trouble), [(key, ..)]) => {
                    if let Some(known) = self.known.get_mut(key) {
                        known.trouble = Some(trouble);
                    }
                }
                (Err(_), _) => {
                    let (one, other) = part.split_at(part.len() / 2);
                    parts.extend([one, other]);
                }
            }
        }
        self.asking.server.give_back(lease).await;
        for known in self.known.values_mut() {
            known.sequences.sort();
        }
        Ok(())
    }

    fn gauges(self, tenants: &[&Tenant]) -> Vec<Result<Gauge>> {
        let gauge = |tenant: &&Tenant| {
            let known = self.of_tenant(tenant)?;
            let mut hasher = Sha256::new();
            let hashes = known.hashes.iter().enumerate();
            let hashes = hashes.flat_map(|(part, cells)| cells.iter().flatten().map(move |cell| (part, cell)));
            let sequences = known.sequences.iter().flatten().map(|cell| (known.hashes.len(), cell));
            for (part, cell) in hashes.chain(sequences) {
                let cell = cell.as_deref().unwrap_or_default();
                // With its part and its length, so that no two lists read alike.
                hasher.update((part as u64).to_le_bytes());
                hasher.update((cell.len() as u64).to_le_bytes());
                hasher.update(cell);
            }
            let mut value = [0; 16];
            value.copy_from_slice(&hasher.finalize()[..16]);
            Ok(Gauge { value: u128::from_le_bytes(value), mark: 0 })
        };
        tenants.iter().map(gauge).collect()
    }

    /// Returns what is known of a tenant's database.
    fn of_tenant(&self, tenant: &Tenant) -> Result<&Known> {
        let key = self.key(tenant.datasource.database());
        if let Some(missing) = self.missing.get(&key) {
            return Err(missing.clone());
        }
        let known = self.known.get(&key).ok_or_else(|| cannot_read(self.asking.server))?;
        match &known.trouble {
            Some(Trouble::Refused { error, .. }) => Err(fault::unreadable(tenant, error)),
            Some(Trouble::Lost(cause)) => Err(self.asking.server.connector.unreachable(cause)),
            None => Ok(known),
        }
    }

    async fn snapshots(self, tenants: &[&Tenant]) -> Vec<Result<Arc<Snapshot>>> {
        let basis = Basis::new(self.flavor.engine(), self.asking.server.include);
        // The first database of each kind speaks for the others.
        let mut kinds: HashMap<(&[Option<Cells>], &[Cells]), String> = HashMap::new();
        let mut speakers: HashMap<String, String> = HashMap::new();
        let mut keys: Vec<&String> = self.known.keys().collect();
        keys.sort_unstable();
        for key in keys {
            let known = &self.known[key];
            let speaker = kinds.entry((&known.hashes, &known.sequences)).or_insert_with(|| key.clone());
            speakers.insert(key.clone(), speaker.clone());
        }
        let (raws, troubles) = match self.rows(kinds.into_values().collect()).await {
            Ok(read) => read,
            Err(diagnostic) => return tenants.iter().map(|_| Err(diagnostic.clone())).collect(),
        };
        let describe = |(key, raw): (String, Raw)| {
            let made = describe::objects(&raw).map(|objects| Arc::new(Snapshot::new(&basis, objects)));
            (key, made)
        };
        let made: HashMap<String, Result<Arc<Snapshot>, Hidden>> = raws.into_iter().map(describe).collect();
        let snapshot = |tenant: &&Tenant| {
            self.of_tenant(tenant)?;
            let key = self.key(tenant.datasource.database());
            let speaker = speakers.get(&key);
            if let Some(trouble) = speaker.and_then(|speaker| troubles.get(speaker)) {
                return Err(trouble.clone());
            }
            match speaker.and_then(|speaker| made.get(speaker)) {
                Some(Ok(snapshot)) => Ok(snapshot.clone()),
                Some(Err(hidden)) => Err(self.hidden(tenant, hidden)),
                None => Err(cannot_read(self.asking.server)),
            }
        };
        tenants.iter().map(snapshot).collect()
    }

    /// Reads the rows of these databases.
    async fn rows(&self, keys: Vec<String>) -> Result<(HashMap<String, Raw>, HashMap<String, Diagnostic>)> {
        let raw = |key: &String| {
            let known = &self.known[key];
            Raw {
                database: known.name.clone(),
                maria: self.flavor.maria,
                folds: self.folds,
                rows: std::array::from_fn(|_| Vec::new()),
                sequences: known.sequences.clone(),
            }
        };
        let mut raws: HashMap<String, Raw> = keys.iter().map(|key| (key.clone(), raw(key))).collect();
        let mut names: Vec<&str> = keys.iter().map(|key| self.known[key].name.as_str()).collect();
        names.sort_unstable();
        let answers = self.asking.ask(&names, Part::rows, |_| true).await?;
        for (at, rows) in answers.rows {
            for mut row in rows {
                let Some(database) = (!row.is_empty()).then(|| row.remove(0)).flatten() else { continue };
                if let Some(raw) = raws.get_mut(&self.key(&self.plain(at, database))) {
                    raw.rows[self.asking.parts[at].rows as usize].push(row);
                }
            }
        }
        let troubles = answers.troubles.into_iter().map(|(database, trouble)| (self.key(&database), trouble)).collect();
        Ok((raws, troubles))
    }

    /// Says what a tenant's user may not see, and how to let it.
    fn hidden(&self, tenant: &Tenant, hidden: &Hidden) -> Diagnostic {
        let database = sql::name(tenant.datasource.database());
        let (what, grant) = match hidden {
            Hidden::View(name) => {
                (format!("view {}", sql::name(name)), format!("GRANT SHOW VIEW ON {database}.* TO …"))
            }
            Hidden::Routine(name) => {
                let grant = match (self.flavor.maria, self.flavor.version >= (11, 3, 0)) {
                    (true, true) => format!("GRANT SHOW CREATE ROUTINE ON {database}.* TO …"),
                    (true, false) => "GRANT SELECT ON mysql.proc TO …".to_owned(),
                    (false, _) => "GRANT SHOW_ROUTINE ON *.* TO …".to_owned(),
                };
                (format!("routine {}", sql::name(name)), grant)
            }
        };
        let message = format!("the user of tenant {} may not see the schema of database {database}", tenant.name);
        Diagnostic::new(Code::NO_PRIVILEGE, message)
            .cause(format!("the definition of {what} is hidden from it"))
            .hint(format!("grant it: {grant}"))
    }
}

fn add_sequences(known: &mut HashMap<String, Known>, part: &[(String, String, String)], sets: Sets) {
    for mut row in sets.into_iter().flatten() {
        let at = (!row.is_empty()).then(|| row.remove(0)).flatten().and_then(|at| at.parse::<usize>().ok());
        if let Some(known) = at.and_then(|at| part.get(at)).and_then(|(key, ..)| known.get_mut(key)) {
            known.sequences.push(row);
        }
    }
}

/// Reads what the server's `HEX` wrote.
fn unhex(digits: &str) -> String {
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

pub(super) fn cannot_read(server: &MySqlServer) -> Diagnostic {
    Diagnostic::new(Code::READ_FAILED, format!("the schemas on server {} cannot be read", server.shown()))
}

pub(super) fn unreadable(server: &MySqlServer, none: NoSession) -> Diagnostic {
    match none {
        NoSession::Unconnected(diagnostic) => diagnostic,
        NoSession::Trouble(Trouble::Lost(cause)) => server.connector.unreachable(&cause),
        NoSession::Trouble(Trouble::Refused { error, .. }) => cannot_read(server).cause(fault::server_words(&error)),
    }
}
