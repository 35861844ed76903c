//! Works off the runtime: what takes the processor for long would hold up everything else that a worker has to do.
//!
//! A login by SCRAM is thousands of rounds of a hash, as many as the server's user says; a TLS handshake reads files and
//! checks signatures.

use std::future::Future;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Drives a future on a thread of its own, where it may take the processor as long as it likes. What it spawns runs on the
/// runtime. Nothing when it panicked. Dropped, it stops at its next pause.
///
/// The caller bounds how many there are at once.
pub(super) async fn off_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let cancelled = CancellationToken::new();
    let _guard = cancelled.clone().drop_guard();
    let runtime = Handle::current();
    let driven = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => None,
                done = work => Some(done),
            }
        })
    });
    driven.await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    /// Takes the processor, as a login does.
    fn busy(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn the_only_worker_goes_on_while_a_login_takes_the_processor() {
        let work = off_runtime(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            busy(Duration::from_millis(400));
            7
        });
        let mut ticks = 0;
        let mut ticker = tokio::time::interval(Duration::from_millis(10));
        tokio::pin!(work);
        let answer = loop {
            tokio::select! {
                answer = &mut work => break answer,
                _ = ticker.tick() => ticks += 1,
            }
        };
        assert_eq!(answer, Some(7));
        assert!(ticks >= 10, "{ticks} ticks in 400 ms");
    }

    #[tokio::test]
    async fn what_is_dropped_ends_at_its_next_pause() {
        let (began, ended) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicBool::new(false)));
        let (begins, ends) = (began.clone(), ended.clone());
        let work = off_runtime(async move {
            begins.notify_one();
            tokio::time::sleep(Duration::from_secs(30)).await;
            ends.store(true, Ordering::SeqCst);
        });
        tokio::select! {
            _ = work => panic!("it slept less than it should"),
            () = began.notified() => {}
        }
        assert!(!ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_panic_there_is_no_answer_here() {
        assert_eq!(off_runtime(async { panic!("for the test") }).await, None::<()>);
    }
}
