//! What became of a changeset whose session was lost: its history is read on another one.
//!
//! A row is there once and for all. Its absence is certain only when the server process that had the changeset is gone:
//! until then it may still commit. So it is waited for, and after a moment ended: nobody would hear its answer.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::engine::tables::HISTORY;
use crate::engine::{Applied, Left, Moment, Outcome};
use crate::error::{Code, Diagnostic};

use super::apply::Going;
use super::fault;
use super::sql::{PG_CATALOG_ALONE, table};
use super::watch::Backend;

/// How long the re-reading after a lost connection may take.
const READ_AGAIN: Duration = Duration::from_secs(30);

/// How long a server may be away; one that was restarted needs a moment.
const AWAY: Duration = Duration::from_secs(10);

/// How long the process of a lost session may take to notice by itself.
const NOTICES: Duration = Duration::from_secs(2);

/// The pause between two readings.
const PAUSE: Duration = Duration::from_millis(250);

/// No such table, no such schema.
const NOT_THERE: [&str; 2] = ["42P01", "3F000"];

/// What the history showed.
enum Seen {
    /// The version, with this checksum.
    There(String),
    /// No such version, and nothing is at work that could bring it.
    Missing,
    /// No such version, but the process of the lost session is still there.
    MissingYet,
    /// It could not be read, and why.
    Nothing(String),
}

fn unread(why: &str) -> String {
    match why {
        "" => "it could not be read again".to_owned(),
        why => format!("it could not be read again: {why}"),
    }
}

impl Going<'_> {
    /// Looks on another session whether the history has the row after all. `left` is the process that may still be at
    /// work on it; nothing where the session that was lost can never commit any more.
    pub(super) async fn read_again(&self, schema: &str, diagnostic: Diagnostic, left: Option<Backend>) -> Outcome {
        let unknown = diagnostic.code() == Code::OUTCOME_UNKNOWN;
        match self.seen(schema, left).await {
            Seen::There(recorded) if recorded.parse().is_ok_and(|sum| self.order.text.matches(sum)) => {
                Outcome::Applied(Applied { duration: self.began.elapsed(), notices: Vec::new(), by_another: !unknown })
            }
            Seen::There(recorded) => {
                // Somebody may have changed the row of a text that did run.
                let left = if unknown { Left::Unknown } else { Left::Unchanged };
                let diagnostic = diagnostic.cause(format!("its history has this version with checksum {recorded}"));
                self.failed(diagnostic, Moment::Commit, left, false)
            }
            Seen::Missing if unknown => {
                let diagnostic =
                    diagnostic.cause("that session is over on the server, and its history does not have it");
                self.failed(diagnostic, Moment::Execute, Left::Unchanged, false)
            }
            Seen::Missing | Seen::MissingYet if !unknown => {
                self.failed(diagnostic, Moment::Execute, Left::Unchanged, true)
            }
            // Its own text did nothing, but another run may have applied it.
            Seen::Nothing(why) if !unknown => {
                self.failed(diagnostic.cause(unread(&why)), Moment::Execute, Left::Unknown, true)
            }
            Seen::MissingYet => {
                let pid = left.map_or(0, |backend| backend.pid);
                let diagnostic = diagnostic.cause(format!(
                    "its history does not have it, but server process {pid} may still be at work on it"
                ));
                self.failed(diagnostic, Moment::Commit, Left::Unknown, false)
            }
            Seen::Nothing(why) => self.failed(diagnostic.cause(unread(&why)), Moment::Commit, Left::Unknown, false),
            _ => self.failed(diagnostic.cause(unread("")), Moment::Commit, Left::Unknown, false),
        }
    }

    /// Reads until the answer is certain, the time is over or somebody insists on an end.
    async fn seen(&self, schema: &str, left: Option<Backend>) -> Seen {
        let mut seen = Seen::Nothing(String::new());
        let began = Instant::now();
        let reading = async {
            loop {
                let end = began.elapsed() >= NOTICES;
                match self.look(schema, left, end).await {
                    Seen::Nothing(why) if matches!(seen, Seen::Nothing(_)) => {
                        seen = Seen::Nothing(why);
                        if began.elapsed() >= AWAY {
                            return;
                        }
                    }
                    Seen::Nothing(_) => {}
                    certain @ (Seen::There(_) | Seen::Missing) => {
                        seen = certain;
                        return;
                    }
                    Seen::MissingYet => seen = Seen::MissingYet,
                }
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            _ = timeout(READ_AGAIN, reading) => {}
            () = self.order.cancel.cancelled() => {}
        }
        seen
    }

    /// Looks once: first for the process, then for the row, each in a transaction of its own. A process that is gone
    /// has written its row before, or never will. With `end` it is told to end.
    async fn look(&self, schema: &str, left: Option<Backend>, end: bool) -> Seen {
        let session = match self.server.clean_session(self.order.tenant).await {
            Ok(session) => session,
            Err(diagnostic) => return Seen::Nothing(diagnostic.one_line()),
        };
        let looked = async {
            let alive = match left {
                None => false,
                Some(backend) => {
                    !session.ask(&format!("{PG_CATALOG_ALONE}SELECT 1 FROM {}", backend.row())).await?.is_empty()
                }
            };
            let sql = format!(
                "SET LOCAL lock_timeout = 1000;\nSELECT checksum FROM {} WHERE version OPERATOR(pg_catalog.=) {}",
                table(schema, HISTORY),
                self.order.changeset.version
            );
            let rows = match session.ask(&sql).await {
                // The table itself may be made by the changeset: without it there is no row.
                Err(error) if NOT_THERE.contains(&fault::code(&error)) => Ok(Vec::new()),
                rows => rows,
            };
            if alive
                && end
                && let Some(backend) = left
            {
                // Refused where the user may not; then the process is waited for.
                let _ = session
                    .ask(&format!(
                        "{PG_CATALOG_ALONE}SELECT pg_catalog.pg_terminate_backend(pid) FROM {}",
                        backend.row()
                    ))
                    .await;
            }
            rows.map(|rows| (alive, rows))
        };
        match looked.await {
            Ok((alive, rows)) => {
                session.keep();
                match (rows.into_iter().next().and_then(|row| row.into_iter().next()?), alive) {
                    (Some(recorded), _) => Seen::There(recorded),
                    (None, true) => Seen::MissingYet,
                    (None, false) => Seen::Missing,
                }
            }
            Err(error) => {
                session.discard().await;
                Seen::Nothing(fault::words(&error))
            }
        }
    }
}
