//! Connections under a budget: reused by key, the least recently used one closed when another is needed.
//!
//! Not a general pool: no background work, and no health check but whether a connection is known to be closed. A connection goes back only when its user says that
//! it is clean ([`Lease::keep`]); one that is dropped instead is closed.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{Code, Diagnostic, Result};

/// A connection that can be closed so that the server has seen the end of it.
pub(crate) trait Close: Send {
    /// Says goodbye and waits for the socket's end.
    fn close(self) -> impl Future<Output = ()> + Send;

    /// Whether its end is known already: the server closed it while it was idle.
    fn is_closed(&self) -> bool {
        false
    }
}

/// At most `limit` connections, idle ones included.
pub(crate) struct Pool<K, C> {
    limit: usize,
    permits: Semaphore,
    held: Mutex<Held<K, C>>,
}

struct Held<K, C> {
    /// The least recently used first.
    idle: VecDeque<(K, C)>,
    leased: usize,
}

/// A connection in use.
pub(crate) struct Lease<'p, K: PartialEq + Clone, C: Close> {
    pool: &'p Pool<K, C>,
    key: K,
    connection: Option<C>,
    /// Whether it was opened for this lease, and has a fresh session.
    pub fresh: bool,
    _permit: SemaphorePermit<'p>,
}

impl<K: PartialEq + Clone + Send, C: Close> Pool<K, C> {
    /// Makes an empty pool of at least one connection.
    pub fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        let held = Mutex::new(Held { idle: VecDeque::new(), leased: 0 });
        Self { limit, permits: Semaphore::new(limit), held }
    }

    /// Returns the limit.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns an idle connection with this key, or opens one, closing another if the budget asks for it.
    ///
    /// Waits while all are in use.
    ///
    /// # Errors
    /// What `connect` answers.
    pub async fn lease<F>(&self, key: &K, connect: impl FnOnce() -> F) -> Result<Lease<'_, K, C>>
    where
        F: Future<Output = Result<C>>,
    {
        let permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| Diagnostic::new(Code::BUG, "a connection was asked for after the pool was closed"))?;
        let (found, evicted) = self.take(key);
        let mut lease = Lease { pool: self, key: key.clone(), connection: None, fresh: false, _permit: permit };
        if let Some(evicted) = evicted {
            evicted.close().await;
        }
        match found {
            Some(connection) => lease.connection = Some(connection),
            None => {
                lease.connection = Some(connect().await?);
                lease.fresh = true;
            }
        }
        Ok(lease)
    }

    /// Closes the idle connections.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut self.held().idle);
        for (_, connection) in idle {
            connection.close().await;
        }
    }

    fn take(&self, key: &K) -> (Option<C>, Option<C>) {
        let mut held = self.held();
        held.leased += 1;
        held.idle.retain(|(_, connection)| !connection.is_closed());
        if let Some(at) = held.idle.iter().rposition(|(k, _)| k == key) {
            return (held.idle.remove(at).map(|(_, c)| c), None);
        }
        let full = held.idle.len() + held.leased > self.limit;
        let evicted = if full { held.idle.pop_front().map(|(_, c)| c) } else { None };
        (None, evicted)
    }

    fn held(&self) -> MutexGuard<'_, Held<K, C>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: PartialEq + Clone + Send, C: Close> Lease<'_, K, C> {
    /// Gives the connection back for others; its session must be clean, or be reset by its next user.
    pub fn keep(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.held().idle.push_back((self.key.clone(), connection));
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
        let mut held = self.pool.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.leased -= 1;
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
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    struct Fake(Arc<AtomicUsize>);

    impl Close for Fake {
        async fn close(self) {
            tokio::task::yield_now().await;
            self.0.fetch_sub(1, SeqCst);
            std::mem::forget(self);
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }

    #[tokio::test]
    async fn more_keys_than_the_limit_are_served_and_the_limit_holds_at_every_instant() {
        let open = Arc::new(AtomicUsize::new(0));
        let peak = Arc::new(AtomicUsize::new(0));
        let pool: Pool<u32, Fake> = Pool::new(3);
        let work = |key: u32| {
            let (open, peak, pool) = (open.clone(), peak.clone(), &pool);
            async move {
                let lease = pool
                    .lease(&key, || async {
                        peak.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                        tokio::task::yield_now().await;
                        Ok(Fake(open.clone()))
                    })
                    .await
                    .unwrap();
                tokio::task::yield_now().await;
                match key % 3 {
                    0 => lease.discard().await,
                    1 => drop(lease),
                    _ => lease.keep(),
                }
            }
        };
        futures_util::future::join_all((0..200).map(|i| work(i % 7))).await;
        assert_eq!(peak.load(SeqCst), 3);
        pool.close().await;
        assert_eq!(open.load(SeqCst), 0);
    }

    #[tokio::test]
    async fn the_same_key_gets_its_connection_back() {
        let open = Arc::new(AtomicUsize::new(0));
        let pool: Pool<u32, Fake> = Pool::new(2);
        for i in 0..5 {
            let lease = pool
                .lease(&1, || async {
                    open.fetch_add(1, SeqCst);
                    Ok(Fake(open.clone()))
                })
                .await
                .unwrap();
            assert_eq!(lease.fresh, i == 0);
            lease.keep();
        }
        assert_eq!(open.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn an_abandoned_lease_gives_its_place_back_wherever_it_was() {
        let open = Arc::new(AtomicUsize::new(0));
        let pool: Pool<u32, Fake> = Pool::new(1);
        let connect = |pauses: usize| {
            let open = open.clone();
            move || async move {
                for _ in 0..pauses {
                    tokio::task::yield_now().await;
                }
                open.fetch_add(1, SeqCst);
                Ok(Fake(open.clone()))
            }
        };
        pool.lease(&1, connect(0)).await.unwrap().keep();
        // The first poll evicts, the later ones connect: give up at each of them.
        for polls in 1..5u32 {
            let key = 10 + polls;
            let abandoned = pool.lease(&key, connect(9));
            futures_util::pin_mut!(abandoned);
            for _ in 0..polls {
                assert!(futures_util::poll!(abandoned.as_mut()).is_pending());
            }
        }
        assert_eq!((pool.held().leased, open.load(SeqCst)), (0, 0));
        pool.lease(&1, connect(0)).await.unwrap().keep();
        assert_eq!(open.load(SeqCst), 1);
    }

    struct Mortal(bool);

    impl Close for Mortal {
        async fn close(self) {}

        fn is_closed(&self) -> bool {
            self.0
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_known_to_be_closed_is_not_given_out() {
        let pool: Pool<u32, Mortal> = Pool::new(2);
        let mut lease = pool.lease(&1, || async { Ok(Mortal(false)) }).await.unwrap();
        lease.0 = true;
        lease.keep();
        assert!(pool.lease(&1, || async { Ok(Mortal(false)) }).await.unwrap().fresh);
    }

    #[tokio::test]
    async fn a_failed_connect_gives_its_place_back() {
        let pool: Pool<u32, Fake> = Pool::new(1);
        for _ in 0..3 {
            assert!(pool.lease(&1, || async { Err(Diagnostic::new(Code::UNREACHABLE, "no")) }).await.is_err());
        }
        assert_eq!(pool.held().leased, 0);
    }
}
