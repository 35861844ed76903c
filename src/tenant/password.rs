//! A password: none, known, or fetched when a connection is first opened.
//!
//! A late password is one for all tenants that refer to it alike. It is fetched once, off the runtime, and once more when a
//! server refuses it: it may have been rotated meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::password_file::{Asker, PasswordFile};
use super::secret_command::{LIMIT, SECRET_LIMIT, SecretCommand, without_line_end};
use crate::error::{Code, Diagnostic, Secret};
use crate::input;

/// For how long a failure to fetch, and the answer of a fetch after a refusal, stand for all who ask.
const STANDS: Duration = Duration::from_secs(5);

/// The password of a user. Equal ones come from one place; what a late one turns out to be does not count.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Password {
    /// None is sent.
    #[default]
    None,
    /// It stands in `tenants.yaml`, or in a variable.
    Known(Secret),
    /// It comes from files or commands, when it is needed.
    Late(Arc<Late>),
    /// It is looked up in a file of passwords, for each connection.
    File(Arc<PasswordFile>),
}

/// A password at one moment.
#[derive(Clone, Debug)]
pub struct Given {
    /// Nothing where none is sent.
    pub secret: Option<Secret>,
    /// Which fetch it is of.
    turn: u64,
}

/// Why there is no password, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPassword {
    causes: Vec<String>,
}

impl NoPassword {
    pub(super) fn new(cause: String) -> Self {
        Self { causes: vec![cause] }
    }

    pub(super) fn cause(mut self, cause: String) -> Self {
        self.causes.push(cause);
        self
    }

    /// Returns why, the nearest cause first.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// Makes `MT117` for a user of a server, which messages name so.
    pub fn diagnostic(&self, server: &str, user: &str) -> Diagnostic {
        let message = format!("there is no password for user {user} of server {server}");
        let made = Diagnostic::new(Code::NO_PASSWORD, message);
        let made = self.causes.iter().fold(made, |made, cause| made.cause(cause));
        made.hint("try what `${file:…}` or `${cmd:…}` names by hand, in the folder of tenants.yaml and as this user; then run the \
                   command again")
    }
}

impl Password {
    /// Whether none is sent, whatever happens.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns it if it is known without asking anybody.
    pub fn known(&self) -> Option<&Secret> {
        match self {
            Self::Known(secret) => Some(secret),
            _ => None,
        }
    }

    /// Returns it if it is at hand: known, or fetched.
    pub fn at_hand(&self) -> Option<Secret> {
        match self {
            Self::Known(secret) => Some(secret.clone()),
            Self::Late(late) => match &late.state.try_lock().ok()?.last {
                Some((Ok(secret), _)) => Some(secret.clone()),
                _ => None,
            },
            Self::None | Self::File(_) => None,
        }
    }

    /// Returns the password; a late one is fetched at the first call, and who calls meanwhile waits for that.
    ///
    /// # Errors
    /// Why it cannot be fetched. For some seconds everybody gets the same answer.
    pub async fn get(&self, asker: &Asker<'_>) -> Result<Given, NoPassword> {
        let secret = match self {
            Self::None => None,
            Self::Known(secret) => Some(secret.clone()),
            Self::Late(late) => return late.get().await,
            Self::File(file) => file.look_up(asker).await?,
        };
        Ok(Given { secret, turn: 0 })
    }

    /// Returns the password that has come in the place of one that a server refused: it is fetched again, once for all who
    /// were refused. Nothing where it is still the same.
    ///
    /// # Errors
    /// As [`Password::get`].
    pub async fn renewed(&self, refused: &Given) -> Result<Option<Given>, NoPassword> {
        match self {
            Self::Late(late) => late.renewed(refused).await,
            // A file of passwords is read for each connection.
            _ => Ok(None),
        }
    }
}

/// A part of a late password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// What stands in `tenants.yaml`, or in a variable.
    Text(Secret),
    /// The content of a file.
    File(PathBuf),
    /// The output of a command.
    Command(SecretCommand),
}

impl Part {
    fn fetch(&self, stopped: &AtomicBool) -> Result<Secret, NoPassword> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::File(path) => read_secret(path)
                .map(Secret::new)
                .map_err(|cause| NoPassword::new(format!("the file {} cannot be read: {cause}", path.display()))),
            Self::Command(command) => command.run(LIMIT, stopped).map(Secret::new),
        }
    }

    #[cfg(test)]
    pub(super) fn revealed(&self) -> String {
        match self {
            Self::Text(secret) => secret.reveal().to_owned(),
            Self::File(path) => format!("file:{}", path.display()),
            Self::Command(command) => format!("cmd:{}", command.words().join(",")),
        }
    }
}

/// Reads a secret's file without the line ending at its end.
pub(super) fn read_secret(path: &std::path::Path) -> Result<String, String> {
    let bytes = input::read(path, SECRET_LIMIT).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(without_line_end(text))
}

/// A password that is fetched when it is needed.
pub struct Late {
    parts: Vec<Part>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often it was fetched.
    turn: u64,
    /// What the last fetch gave, and when.
    last: Option<(Result<Secret, NoPassword>, Instant)>,
    /// When it was fetched because of a refusal.
    renewed: Option<Instant>,
}

impl Late {
    /// Makes a password of these parts, one after the other. Fetches nothing.
    pub(super) fn new(parts: Vec<Part>) -> Self {
        Self { parts, state: Mutex::default() }
    }

    async fn get(&self) -> Result<Given, NoPassword> {
        let mut state = self.state.lock().await;
        match &state.last {
            Some((Ok(secret), _)) => return Ok(Given { secret: Some(secret.clone()), turn: state.turn }),
            Some((Err(failure), at)) if at.elapsed() < STANDS => return Err(failure.clone()),
            _ => {}
        }
        let fetched = self.fetch().await;
        state.turn += 1;
        state.last = Some((fetched.clone(), Instant::now()));
        fetched.map(|secret| Given { secret: Some(secret), turn: state.turn })
    }

    async fn renewed(&self, refused: &Given) -> Result<Option<Given>, NoPassword> {
        let mut state = self.state.lock().await;
        let stands = state.renewed.is_some_and(|at| at.elapsed() < STANDS);
        if state.turn == refused.turn && !stands {
            let fetched = self.fetch().await;
            state.renewed = Some(Instant::now());
            state.turn += 1;
            // Where it cannot be fetched the one that is there may be good for others yet.
            state.last = Some((Ok(fetched?), Instant::now()));
        }
        match &state.last {
            Some((Ok(secret), _)) if refused.secret.as_ref() != Some(secret) => {
                Ok(Some(Given { secret: Some(secret.clone()), turn: state.turn }))
            }
            _ => Ok(None),
        }
    }

    /// Reads files and runs commands on a thread of their own; abandoned, it ends them.
    async fn fetch(&self) -> Result<Secret, NoPassword> {
        let (parts, stopped) = (self.parts.clone(), Arc::new(AtomicBool::new(false)));
        let _guard = SetWhenDropped(stopped.clone());
        let gathered = tokio::task::spawn_blocking(move || {
            let fetched: Result<Vec<Secret>, NoPassword> = parts.iter().map(|part| part.fetch(&stopped)).collect();
            let text: String = fetched?.iter().map(Secret::reveal).collect();
            if text.is_empty() { Err(NoPassword::new("it is empty".to_owned())) } else { Ok(Secret::new(text)) }
        });
        gathered.await.unwrap_or_else(|_| Err(NoPassword::new("it was not fetched".to_owned())))
    }
}

struct SetWhenDropped(Arc<AtomicBool>);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Late(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ASKER: Asker<'_> = Asker { user: "u", host: "h", port: 5432, database: "d" };

    /// A password from a command that counts its runs and prints what a file holds.
    fn late(folder: &Path) -> Password {
        let line = "sh -c 'echo run >>runs; cat secret'";
        let command = SecretCommand::parse(line, folder).unwrap();
        let parts = vec![Part::Text(Secret::new("<")), Part::Command(command), Part::Text(Secret::new(">"))];
        Password::Late(Arc::new(Late::new(parts)))
    }

    fn runs(folder: &Path) -> usize {
        std::fs::read_to_string(folder.join("runs")).map_or(0, |text| text.lines().count())
    }

    fn revealed(given: &Given) -> &str {
        given.secret.as_ref().map_or("", Secret::reveal)
    }

    #[tokio::test]
    async fn those_who_ask_at_once_share_one_fetch_and_those_who_are_refused_share_another() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "one\n").unwrap();
        let password = &late(folder.path());
        let first = futures_util::future::join_all((0..20).map(|_| password.get(&ASKER))).await;
        let first: Vec<Given> = first.into_iter().map(Result::unwrap).collect();
        assert!(first.iter().all(|given| revealed(given) == "<one>"));
        assert_eq!(runs(folder.path()), 1);
        std::fs::write(folder.path().join("secret"), "two\n").unwrap();
        let renewed = futures_util::future::join_all(first.iter().map(|given| password.renewed(given))).await;
        for given in renewed {
            assert_eq!(given.unwrap().as_ref().map(revealed), Some("<two>"));
        }
        assert_eq!(revealed(&password.get(&ASKER).await.unwrap()), "<two>");
        assert_eq!(runs(folder.path()), 2);
    }

    #[tokio::test]
    async fn a_password_that_did_not_change_is_not_tried_again_nor_fetched_for_each_who_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "one\n").unwrap();
        let password = late(folder.path());
        for _ in 0..5 {
            let given = password.get(&ASKER).await.unwrap();
            assert!(password.renewed(&given).await.unwrap().is_none());
        }
        assert_eq!(runs(folder.path()), 2);
    }

    #[tokio::test]
    async fn a_failure_is_one_for_all_who_ask_and_one_of_a_later_fetch_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let password = late(folder.path());
        for _ in 0..5 {
            let failure = password.get(&ASKER).await.unwrap_err();
            assert!(failure.causes()[0].contains("ended with status 1"), "{failure:?}");
        }
        assert_eq!(runs(folder.path()), 1);

        let file = folder.path().join("file");
        std::fs::write(&file, "one\n").unwrap();
        let password = Password::Late(Arc::new(Late::new(vec![Part::File(file.clone())])));
        let given = password.get(&ASKER).await.unwrap();
        std::fs::remove_file(file).unwrap();
        assert!(password.renewed(&given).await.is_err());
        assert_eq!(revealed(&password.get(&ASKER).await.unwrap()), "one");
    }

    #[test]
    fn equal_references_are_one_password_whatever_they_give() {
        let (one, other) = (Path::new("/one"), Path::new("/other"));
        assert_eq!(late(one), late(one));
        assert_ne!(late(one), late(other));
        assert_eq!(format!("{:?}", late(one)), "Late(Late(…))");
        let known = |text: &str| Password::Known(Secret::new(text));
        assert!(known("a") == known("a") && known("a") != known("b") && known("a") != late(one));
    }
}
