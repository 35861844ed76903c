//! Connections under a budget: reused by key, the least recently used one closed when another is needed.
//!
//! Not a general pool: no background work, and no health check but whether a connection is known to be closed. A connection goes back only when its user says that
//! it is clean ([`Lease::keep`]); one that is dropped instead is closed.
//!
//! A server may have fewer free connections than the budget says. When it refuses one more ([`Code::NO_CONNECTION`]),
//! the pool makes do with those that it has, for good: who asked waits until one of them is free. Only a pool that has
//! none knocks again, for a limited time.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use crate::error::{Code, Diagnostic, Result};

/// The pause before a pool without any connection asks for one again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection that can be closed so that the server has seen the end of it.
pub(crate) trait Close: Send {
    /// Says goodbye and waits for the socket's end.
    fn close(self) -> impl Future<Output = ()> + Send;

    /// Whether its end is known already: the server closed it while it was idle.
    fn is_closed(&self) -> bool {
        false
    }
}

/// At most so many connections as its limit says, idle ones included.
pub(crate) struct Pool<K, C> {
    /// As many permits as the limit, but for those that are still in use since it was lowered.
    permits: Semaphore,
    held: Mutex<Held<K, C>>,
    /// How long a pool without any connection knocks at a server that has none free.
    patience: Duration,
}

struct Held<K, C> {
    /// The least recently used first.
    idle: VecDeque<Idle<K, C>>,
    /// Those in use, and those that are being made.
    leased: usize,
    limit: usize,
    /// How many permits there are, in use or not.
    permits: usize,
    /// Since when the server has refused a pool that has no connection, and when it did so last.
    starving: Option<(Instant, Instant)>,
}

struct Idle<K, C> {
    key: K,
    /// Whose turn it was used in last.
    lane: usize,
    connection: C,
}

/// A connection in use.
pub(crate) struct Lease<'p, K: PartialEq + Clone, C: Close> {
    pool: &'p Pool<K, C>,
    key: K,
    lane: usize,
    connection: Option<C>,
    /// Whether it was opened for this lease, and has a fresh session.
    pub fresh: bool,
    permit: Option<SemaphorePermit<'p>>,
}

impl<K: PartialEq + Clone + Send, C: Close> Pool<K, C> {
    /// Makes an empty pool of at least one connection. A pool that has none knocks for `patience` at a server that has
    /// none free.
    pub fn new(limit: usize, patience: Duration) -> Self {
        let limit = limit.max(1);
        let held = Held { idle: VecDeque::new(), leased: 0, limit, permits: limit, starving: None };
        Self { permits: Semaphore::new(limit), held: Mutex::new(held), patience }
    }

    /// Returns the limit: the budget, or fewer since the server refused more.
    pub fn limit(&self) -> usize {
        self.held().limit
    }

    /// Whether a connection with this key is idle.
    pub fn has(&self, key: &K) -> bool {
        self.held().idle.iter().any(|idle| idle.key == *key)
    }

    /// Returns an idle connection with this key, or opens one, closing another if the budget asks for it.
    ///
    /// Waits while all are in use, and where the server has no connection free until one of ours is.
    ///
    /// # Errors
    /// What `connect` answers; `MT320` only when there was no connection at all for as long as the pool's patience.
    pub async fn lease<F>(&self, key: &K, connect: impl Fn() -> F) -> Result<Lease<'_, K, C>>
    where
        F: Future<Output = Result<C>>,
    {
        self.lease_in(0, key, connect).await
    }

    /// As [`Pool::lease`], the one that was used in this lane last before others with the key.
    ///
    /// # Errors
    /// As there.
    pub async fn lease_in<F>(&self, lane: usize, key: &K, connect: impl Fn() -> F) -> Result<Lease<'_, K, C>>
    where
        F: Future<Output = Result<C>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let permit = self
                .permits
                .acquire()
                .await
                .map_err(|_| Diagnostic::new(Code::BUG, "a connection was asked for after the pool was closed"))?;
            let (found, evicted) = self.take(lane, key);
            let mut lease =
                Lease { pool: self, key: key.clone(), lane, connection: None, fresh: false, permit: Some(permit) };
            if let Some(evicted) = evicted {
                evicted.close().await;
            }
            if found.is_some() {
                lease.connection = found;
                return Ok(lease);
            }
            match connect().await {
                Ok(connection) => {
                    self.held().starving = None;
                    lease.connection = Some(connection);
                    lease.fresh = true;
                    return Ok(lease);
                }
                Err(refusal) if refusal.code() == Code::NO_CONNECTION => {
                    let others = self.lower(1);
                    if others == 0 {
                        // None of ours can come free. The place is kept meanwhile, so that one at a time knocks.
                        self.starve(refusal, &mut pause).await?;
                    }
                }
                Err(diagnostic) => return Err(diagnostic),
            }
        }
    }

    /// Opens a connection that the pool does not count, the run lock's, and closes an idle one of the pool's for it
    /// where the server has none free.
    ///
    /// # Errors
    /// As [`Pool::lease`].
    pub async fn beside<T, F>(&self, connect: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match connect().await {
                Err(refusal) if refusal.code() == Code::NO_CONNECTION => {
                    let idle = self.held().idle.pop_front();
                    self.lower(0);
                    match idle {
                        Some(idle) => idle.connection.close().await,
                        None => self.starve(refusal, &mut pause).await?,
                    }
                }
                answer => return answer,
            }
        }
    }

    /// Closes the idle connections, all at once.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut self.held().idle);
        join_all(idle.into_iter().map(|idle| idle.connection.close())).await;
    }

    /// Lowers the limit to the connections that there are, without the `mine` that were not made; returns how many
    /// there are.
    fn lower(&self, mine: usize) -> usize {
        let mut held = self.held();
        let others = held.idle.len() + held.leased - mine;
        held.limit = held.limit.min(others.max(1));
        let surplus = held.permits - held.limit;
        held.permits -= self.permits.forget_permits(surplus);
        others
    }

    /// Pauses before the next knock, or gives up: a server that refuses all for so long is not asked for ever.
    async fn starve(&self, refusal: Diagnostic, pause: &mut Duration) -> Result<()> {
        let now = Instant::now();
        let since = {
            let mut held = self.held();
            let since = match held.starving {
                Some((since, last)) if now - last <= self.patience + 2 * LONGEST_PAUSE => since,
                _ => now,
            };
            held.starving = Some((since, now));
            since
        };
        let left = self.patience.saturating_sub(now - since);
        if left.is_zero() {
            let waited = humantime::format_duration(Duration::from_millis((now - since).as_millis() as u64));
            return Err(refusal.cause(format!("this run has no connection there, and got none within {waited}")));
        }
        sleep(around(*pause).min(left)).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    fn take(&self, lane: usize, key: &K) -> (Option<C>, Option<C>) {
        let mut held = self.held();
        held.leased += 1;
        held.idle.retain(|idle| !idle.connection.is_closed());
        let same_lane = held.idle.iter().rposition(|idle| idle.key == *key && idle.lane == lane);
        if let Some(at) = same_lane.or_else(|| held.idle.iter().rposition(|idle| idle.key == *key)) {
            return (held.idle.remove(at).map(|idle| idle.connection), None);
        }
        let full = held.idle.len() + held.leased > held.limit;
        let evicted = if full { held.idle.pop_front().map(|idle| idle.connection) } else { None };
        (None, evicted)
    }
}

impl<K, C> Pool<K, C> {
    fn held(&self) -> MutexGuard<'_, Held<K, C>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a pause between half and one and a half of the mean: other runs knock too.
fn around(mean: Duration) -> Duration {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
    mean.mul_f64(0.5 + (random % 1024) as f64 / 1024.0)
}

impl<K: PartialEq + Clone + Send, C: Close> Lease<'_, K, C> {
    /// Gives the connection back for others; its session must be clean, or be reset by its next user.
    ///
    /// Where the limit was lowered meanwhile and is passed, it is closed instead.
    pub fn keep(mut self) {
        if let Some(connection) = self.connection.take() {
            let mut held = self.pool.held();
            // This one is counted among the leased until it is dropped.
            if held.idle.len() + held.leased <= held.limit {
                held.idle.push_back(Idle { key: self.key.clone(), lane: self.lane, connection });
            }
        }
    }

    /// Closes the connection and waits until it is closed.
    pub async fn discard(mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }
}

impl<K: PartialEq + Clone, C: Close> Drop for Lease<'_, K, C> {
    fn drop(&mut self) {
        let mut held = self.pool.held();
        held.leased -= 1;
        if held.permits > held.limit
            && let Some(permit) = self.permit.take()
        {
            held.permits -= 1;
            permit.forget();
        }
    }
}

impl<K: PartialEq + Clone, C: Close> std::ops::Deref for Lease<'_, K, C> {
    type Target = C;

    fn deref(&self) -> &C {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("a lease holds its connection until `keep` or `discard` consumes it"),
        }
    }
}

impl<K: PartialEq + Clone, C: Close> std::ops::DerefMut for Lease<'_, K, C> {
    fn deref_mut(&mut self) -> &mut C {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("a lease holds its connection until `keep` or `discard` consumes it"),
        }
    }
}

#[cfg(test)]
mod tests;
