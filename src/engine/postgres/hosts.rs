//! A server with several hosts: tried in order, and the first that will do is the one for as long as this process lives.
//!
//! A run works on one server. Where the host it works on goes away, or is no longer what was asked for, the run halts as with
//! any lost server; the next one tries the hosts anew.

use std::sync::Arc;

use tokio::time::Instant;

use crate::engine::pool::Close;
use crate::error::{Code, Diagnostic, Result};
use crate::tenant::{Endpoint, SessionTarget};

use super::fault::place;
use super::session::{Door, Key, Session};

/// Which of the hosts is worked on.
#[derive(Default)]
pub(super) struct Choice {
    /// Its place in the list.
    host: Option<usize>,
    /// Why none would do, and when the last was tried.
    failed: Option<(Instant, Diagnostic)>,
}

/// Opens a session on the host that is worked on; the first one to ask finds it, and others wait for that.
///
/// # Errors
/// As [`Session::open`]. A host that answers and refuses the user, or lacks the database, is not passed over.
pub(super) async fn open(door: &Arc<Door>, key: &Key, name: &str, places: &[Endpoint]) -> Result<Session> {
    let asked = Instant::now();
    let mut choice = door.choice.lock().await;
    let wanted = door.server.address.wanted();
    if let Some(at) = choice.host {
        drop(choice);
        // The one that was found need be no better than it was.
        let wanted = if wanted == SessionTarget::PreferStandby { SessionTarget::Any } else { wanted };
        let opened = open_as(door, key, name, (&places[at], wanted)).await;
        return opened.map_err(|diagnostic| match moves_on(&diagnostic) {
            true => left(diagnostic, &places[at]),
            false => diagnostic,
        });
    }
    if let Some((when, diagnostic)) = &choice.failed
        && *when >= asked
    {
        return Err(diagnostic.clone());
    }
    let mut causes = Vec::new();
    let mut answers = false;
    // Where no standby is found any host will do.
    let passes: &[SessionTarget] = match wanted {
        SessionTarget::PreferStandby => &[SessionTarget::Standby, SessionTarget::Any],
        _ => &[wanted],
    };
    for wanted in passes {
        causes.clear();
        for (at, place) in places.iter().enumerate() {
            match open_as(door, key, name, (place, *wanted)).await {
                Ok(session) => {
                    choice.host = Some(at);
                    return Ok(session);
                }
                Err(diagnostic) if moves_on(&diagnostic) => {
                    answers |= diagnostic.code() == Code::NO_HOST;
                    let why = diagnostic.causes().first().map_or(diagnostic.message(), String::as_str);
                    causes.push(format!("{why} ({place})"));
                }
                Err(diagnostic) => return Err(diagnostic),
            }
        }
    }
    let none = causes.into_iter().fold(none(door, key, answers), Diagnostic::cause);
    choice.failed = Some((Instant::now(), none.clone()));
    Err(none)
}

/// Opens a session there, if it is what is wanted.
async fn open_as(door: &Arc<Door>, key: &Key, name: &str, (at, wanted): (&Endpoint, SessionTarget)) -> Result<Session> {
    let session = Session::open_at(door, key, name, at).await?;
    let (in_recovery, read_only) = session.kind;
    let Some(why) = wanted.misses(in_recovery, read_only) else { return Ok(session) };
    session.close().await;
    Err(Diagnostic::new(Code::NO_HOST, message(door, wanted)).cause(why).hint(HINT))
}

const HINT: &str = "see which host is what: `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')`; correct the \
                    hosts or `target_session_attrs` in tenants.yaml, or wait for the end of a failover; then run the command again";

fn message(door: &Door, wanted: SessionTarget) -> String {
    format!("no host of server {} is {}", place(&door.server), wanted.as_str())
}

/// Whether the next host is tried: this one is away, or it is not what is asked for.
fn moves_on(diagnostic: &Diagnostic) -> bool {
    [Code::UNREACHABLE, Code::NO_HOST].contains(&diagnostic.code())
}

/// Says that no host will do; `answers` when one of them is there all the same.
fn none(door: &Door, key: &Key, answers: bool) -> Diagnostic {
    if answers {
        return Diagnostic::new(Code::NO_HOST, message(door, door.server.address.wanted())).hint(HINT);
    }
    let user = key.access.user.as_deref().unwrap_or("(none)");
    Diagnostic::new(Code::UNREACHABLE, format!("cannot reach server {} as {user}", place(&door.server)))
        .hint("check that one of them runs, and their names and ports in tenants.yaml; then try again")
}

/// Says that the host that is worked on is lost: another one is another server.
fn left(diagnostic: Diagnostic, at: &Endpoint) -> Diagnostic {
    let made = Diagnostic::new(diagnostic.code(), diagnostic.message());
    let made = made.cause(format!("this command works on {at}, and goes on at no other host"));
    let made = diagnostic.causes().iter().fold(made, Diagnostic::cause);
    made.hint("run the command again: it tries the hosts in their order")
}
