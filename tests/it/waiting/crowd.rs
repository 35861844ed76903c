//! Other clients of a server: sessions that do nothing but take places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use mysql_async::Conn;
use tokio::runtime::Builder;
use tokio_postgres::NoTls;

/// The longest wait for the crowd to have what it wants.
const LIMIT: Duration = Duration::from_secs(60);

/// Takes so many places on a server, and knocks until it has them. They are free again when it is dropped.
pub struct Crowd {
    leave: Arc<AtomicBool>,
    here: Arc<AtomicUsize>,
    wanted: usize,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Begins to take `wanted` places, as who the URL says.
    pub fn gather(url: &str, wanted: usize) -> Crowd {
        let (leave, here): (Arc<AtomicBool>, Arc<AtomicUsize>) = Default::default();
        let (url, told, count) = (url.to_owned(), leave.clone(), here.clone());
        let thread = spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (mut postgres, mut mariadb) = (Vec::new(), Vec::new());
                while !told.load(SeqCst) {
                    if count.load(SeqCst) < wanted && url.starts_with("mysql") {
                        mariadb.extend(Conn::from_url(&url).await.ok());
                    } else if count.load(SeqCst) < wanted
                        && let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await
                    {
                        tokio::spawn(connection);
                        postgres.push(client);
                    }
                    count.store(postgres.len() + mariadb.len(), SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        });
        Crowd { leave, here, wanted, thread: Some(thread) }
    }

    /// Takes `wanted` places and waits until it has them.
    #[track_caller]
    pub fn gathered(url: &str, wanted: usize) -> Crowd {
        let crowd = Crowd::gather(url, wanted);
        crowd.wait();
        crowd
    }

    /// Waits until it has what it wants.
    #[track_caller]
    pub fn wait(&self) {
        let began = Instant::now();
        while self.here.load(SeqCst) < self.wanted {
            assert!(began.elapsed() < LIMIT, "{} of {} places", self.here.load(SeqCst), self.wanted);
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.leave.store(true, SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
