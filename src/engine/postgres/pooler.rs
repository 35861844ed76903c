//! Finds poolers that share one server session among several of ours: the run lock would not hold behind one, and one
//! tenant's settings would reach the next.
//!
//! A session whose server process sees our own socket's address is nobody else's. Other ways are honest too (address
//! translation, tunnels, a pooler in session mode), so there two sessions look for each other.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join;
use tokio::time::timeout;

use crate::engine::pool::Close;
use crate::error::{Diagnostic, Result};

use super::session::{Key, Session};
use super::{Postgres, fault};

/// How long two sessions may look for each other.
const LOOKING: Duration = Duration::from_secs(30);

/// How often each says which process it is in: a pooler that goes round its sessions shows in the second turn.
const TURNS: usize = 4;

/// How a session reaches its server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Over our own socket.
    Direct,
    /// Over another address, but the process is the one that greeted us.
    Forwarded,
    /// Nothing tells, or another process greeted us than the one that answers: a pooler.
    Unknown,
}

impl Way {
    /// Tells the way from what the server sees of its client, our own end, and both numbers of the process.
    pub fn of(seen: (Option<&str>, Option<&str>), ours: Option<SocketAddr>, greeted: Option<i32>, pid: i32) -> Self {
        let seen = match seen {
            (Some(address), Some(port)) => address.parse::<IpAddr>().ok().zip(port.parse::<u16>().ok()),
            _ => None,
        };
        match (seen, ours) {
            (Some((address, port)), Some(ours))
                if (address.to_canonical(), port) == (ours.ip().to_canonical(), ours.port()) =>
            {
                Self::Direct
            }
            _ if greeted == Some(pid) => Self::Forwarded,
            _ => Self::Unknown,
        }
    }
}

/// Checks that sessions with this key are not shared. Takes one of the pool's, and one in the place of the run lock's.
///
/// # Errors
/// `MT317` when they are; the server's own otherwise.
pub(super) async fn probe(server: &Postgres, key: &Key) -> Result<()> {
    let name = &server.session_name();
    let other = server.pool.beside(|| Session::open(&server.door, key, name)).await?;
    probe_with(server, key, other).await?.close().await;
    Ok(())
}

/// As [`probe`], with a session that is there; returns it.
///
/// # Errors
/// Likewise; then the session is closed.
pub(super) async fn probe_with(server: &Postgres, key: &Key, other: Session) -> Result<Session> {
    let name = &server.session_name();
    let one = match server.pool.lease(key, || Session::open(&server.door, key, name)).await {
        Ok(one) => one,
        Err(diagnostic) => {
            other.close().await;
            return Err(diagnostic);
        }
    };
    let found = timeout(LOOKING, look(&one, &other)).await;
    // It bears the mark: nobody else gets it.
    one.discard().await;
    let shared = match found {
        Ok(Ok(None)) => return Ok(other),
        Ok(Ok(Some(why))) => pooled(server, key).cause(why),
        Ok(Err(error)) => fault::connecting(&server.server, key, &error),
        Err(_) => fault::unreachable(&server.server, key, &fault::no_answer(LOOKING)),
    };
    other.close().await;
    Err(shared)
}

fn pooled(server: &Postgres, key: &Key) -> Diagnostic {
    fault::pooled(&server.server, &key.database).state("nothing was changed")
}

/// Returns what shows that two sessions are not each one's own.
async fn look(one: &Session, other: &Session) -> Result<Option<String>, tokio_postgres::Error> {
    let mark = uuid::Uuid::now_v7().to_string();
    let who = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('mtmigrate.session', true)";
    let marking =
        format!("SELECT pg_catalog.pg_backend_pid(), pg_catalog.set_config('mtmigrate.session', '{mark}', false)");
    let first = of(one.ask(&marking).await?);
    let second = of(other.ask(&format!("BEGIN;\n{who}")).await?);
    for turn in 0..TURNS {
        // In the first turn the other one holds its process in a transaction.
        let again = of(one.ask(who).await?);
        if again != first {
            return Ok(Some(format!("one connection was served by process {}, then by {}", first.0, again.0)));
        }
        // The transaction's end and what comes after it travel together.
        let ended = async { if turn == 0 { other.ask("ROLLBACK").await.map(drop) } else { Ok(()) } };
        let (ended, them) = join(ended, other.ask(who)).await;
        ended?;
        let them = of(them?);
        if them.0 == first.0 || second.0 == first.0 {
            return Ok(Some(format!("two connections were served by one server process, {}", first.0)));
        }
        if them.0 != second.0 || second.1 == mark || them.1 == mark {
            return Ok(Some(format!("one connection was served by process {}, then by {}", second.0, them.0)));
        }
    }
    Ok(None)
}

/// Returns the process and the mark that it bears.
fn of(rows: Vec<Vec<Option<String>>>) -> (String, String) {
    let mut cells = rows.into_iter().next().unwrap_or_default().into_iter().map(Option::unwrap_or_default);
    (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_direct_when_the_server_sees_our_own_socket() {
        let ours: SocketAddr = "10.0.0.5:41000".parse().unwrap();
        let way = |address, port, greeted| Way::of((address, port), Some(ours), greeted, 812);
        assert_eq!(way(Some("10.0.0.5"), Some("41000"), None), Way::Direct);
        assert_eq!(way(Some("::ffff:10.0.0.5"), Some("41000"), None), Way::Direct);
        assert_eq!(way(Some("10.0.0.5"), Some("41001"), Some(812)), Way::Forwarded);
        assert_eq!(way(Some("10.0.0.5"), Some("41001"), Some(7)), Way::Unknown);
        assert_eq!(way(None, None, None), Way::Unknown);
    }
}
