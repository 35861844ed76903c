use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// How long the pools of these tests knock, in virtual time.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let pool: Pool<u32, Fake> = Pool::new(3, PATIENCE);
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
    let pool: Pool<u32, Fake> = Pool::new(2, PATIENCE);
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
    let pool: Pool<u32, Fake> = Pool::new(1, PATIENCE);
    let connect = |pauses: usize| {
        let open = open.clone();
        move || {
            let open = open.clone();
            async move {
                for _ in 0..pauses {
                    tokio::task::yield_now().await;
                }
                open.fetch_add(1, SeqCst);
                Ok(Fake(open))
            }
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
    let pool: Pool<u32, Mortal> = Pool::new(2, PATIENCE);
    let mut lease = pool.lease(&1, || async { Ok(Mortal(false)) }).await.unwrap();
    lease.0 = true;
    lease.keep();
    assert!(pool.lease(&1, || async { Ok(Mortal(false)) }).await.unwrap().fresh);
}

#[tokio::test]
async fn a_failed_connect_gives_its_place_back() {
    let pool: Pool<u32, Fake> = Pool::new(1, PATIENCE);
    for _ in 0..3 {
        assert!(pool.lease(&1, || async { Err(Diagnostic::new(Code::UNREACHABLE, "no")) }).await.is_err());
    }
    assert_eq!(pool.held().leased, 0);
}

/// A server that takes so many connections, ours and others'.
struct Crowded {
    places: AtomicUsize,
    open: Arc<AtomicUsize>,
    refused: AtomicUsize,
}

impl Crowded {
    fn with(places: usize) -> Self {
        Self { places: AtomicUsize::new(places), open: Arc::default(), refused: AtomicUsize::new(0) }
    }

    async fn connect(&self) -> Result<Fake> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        if self.open.load(SeqCst) >= self.places.load(SeqCst) {
            self.refused.fetch_add(1, SeqCst);
            return Err(Diagnostic::new(Code::NO_CONNECTION, "too many connections"));
        }
        self.open.fetch_add(1, SeqCst);
        Ok(Fake(self.open.clone()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_with_fewer_places_than_the_budget_serves_all_and_is_not_asked_for_more_again() {
    let server = Crowded::with(3);
    let pool: Pool<u32, Fake> = Pool::new(9, PATIENCE);
    let work = |key: u32| {
        let (pool, server) = (&pool, &server);
        async move {
            let lease = pool.lease(&key, || server.connect()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            match key % 3 {
                0 => lease.discard().await,
                1 => drop(lease),
                _ => lease.keep(),
            }
        }
    };
    futures_util::future::join_all((0..60).map(|i| work(i % 11))).await;
    assert_eq!((pool.limit(), server.refused.load(SeqCst)), (3, 6));
    futures_util::future::join_all((0..60).map(work)).await;
    assert_eq!((pool.limit(), server.refused.load(SeqCst)), (3, 6));
    assert_eq!(pool.permits.available_permits(), 3);
    pool.close().await;
    assert_eq!((server.open.load(SeqCst), pool.held().leased), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_another_key_gives_way_when_the_server_has_no_place() {
    let server = Crowded::with(2);
    let pool: Pool<u32, Fake> = Pool::new(5, PATIENCE);
    for key in 0..2 {
        pool.lease(&key, || server.connect()).await.unwrap().keep();
    }
    pool.lease(&7, || server.connect()).await.unwrap().keep();
    assert_eq!((pool.limit(), server.open.load(SeqCst)), (2, 2));
    // The lock's connection takes one of them for good.
    let _lock = pool.beside(|| server.connect()).await.unwrap();
    assert_eq!((pool.limit(), server.open.load(SeqCst)), (1, 2));
    pool.lease(&8, || server.connect()).await.unwrap().keep();
    assert_eq!(server.open.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_a_connection_knocks_until_others_leave() {
    let server = Crowded::with(0);
    let pool: Pool<u32, Fake> = Pool::new(4, PATIENCE);
    let others_leave = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        server.places.store(1, SeqCst);
    };
    let (leases, ()) = futures_util::future::join(
        futures_util::future::join_all((0..6).map(|key| {
            let (pool, server) = (&pool, &server);
            async move { pool.lease(&key, || server.connect()).await.map(Lease::keep) }
        })),
        others_leave,
    )
    .await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!((pool.limit(), server.open.load(SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_has_a_place_is_given_up_after_the_patience_by_all_who_wait() {
    let server = Crowded::with(0);
    let pool: Pool<u32, Fake> = Pool::new(4, PATIENCE);
    let began = Instant::now();
    let (pool, server) = (&pool, &server);
    let lease = |key: u32| async move { pool.lease(&key, || server.connect()).await.map(|_| ()) };
    let leases = futures_util::future::join_all((0..50).map(lease)).await;
    let codes: Vec<Code> = leases.iter().filter_map(|lease| lease.as_ref().err().map(Diagnostic::code)).collect();
    assert_eq!(codes, [Code::NO_CONNECTION; 50]);
    assert!(began.elapsed() < PATIENCE + Duration::from_secs(3), "{:?}", began.elapsed());
    // Much later it is another matter, and waited for again.
    tokio::time::sleep(PATIENCE * 3).await;
    let began = Instant::now();
    assert!(pool.lease(&1, || server.connect()).await.is_err());
    assert!(began.elapsed() >= PATIENCE);
    assert_eq!((pool.held().leased, pool.permits.available_permits()), (0, 1));
}
