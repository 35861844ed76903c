//! When to give up a connection on which the server is silent.
//!
//! A long statement is silent for hours, and so is a network that lost the server's answer. Who waits asks over another
//! connection now and then: while the server works on the statement it is waited for, however long that takes.

use std::time::Duration;

use tokio::time::sleep;

/// The longest pause between two looks; the first one doubles up to it.
const LONGEST: Duration = Duration::from_secs(300);

/// The pause before a second look where the first one was bad: the answer may have been on its way.
const AGAIN: Duration = Duration::from_secs(2);

/// The slowest way to a server that is reckoned with, in bytes a second. While a long text is still on its way, the server
/// looks as if it did nothing.
const SLOWEST: u64 = 32 << 10;

/// Returns how long a message of so many bytes may be on its way.
pub(crate) fn sending(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / SLOWEST)
}

/// What a look over another connection showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The server works on the statement, or nobody may see whether it does.
    AtWork,
    /// It does not, in words.
    Over(String),
    /// The server cannot be reached, in words.
    Unreachable(String),
}

/// Looks now and then, and ends when two looks in a row were bad. Returns why, in words.
pub(crate) async fn until_dead<F>(first: Duration, look: impl Fn() -> F) -> String
where
    F: Future<Output = Sight>,
{
    let mut pause = first;
    let mut bad = false;
    loop {
        sleep(if bad { AGAIN } else { pause }).await;
        match look().await {
            Sight::AtWork => {
                bad = false;
                pause = (pause * 2).min(LONGEST.max(first));
            }
            Sight::Over(why) | Sight::Unreachable(why) if bad => return why,
            Sight::Over(_) | Sight::Unreachable(_) => bad = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    use tokio::time::{Instant, timeout};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_long_text_is_given_time_to_arrive_and_a_short_one_needs_none() {
        assert_eq!([sending(5_000), sending(1 << 20), sending(64 << 20)], [0, 32, 2048].map(Duration::from_secs));
    }

    fn over() -> Sight {
        Sight::Over("over".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_at_work_is_waited_for_and_looked_at_ever_more_seldom() {
        let looks = Cell::new(0u32);
        let dead = until_dead(30 * SECOND, || async {
            looks.set(looks.get() + 1);
            Sight::AtWork
        });
        assert!(timeout(24 * 3600 * SECOND, dead).await.is_err());
        // 30 + 60 + 120 + 240 seconds, then every five minutes.
        assert_eq!(looks.get(), 4 + (24 * 3600 - 450) / 300);
    }

    #[tokio::test(start_paused = true)]
    async fn two_bad_looks_in_a_row_are_the_end_and_a_single_one_is_not() {
        let looks = Cell::new(0u32);
        let sights = [over(), Sight::AtWork, Sight::Unreachable("no answer".into()), over()];
        let began = Instant::now();
        let dead = until_dead(30 * SECOND, || {
            let sight = sights[looks.get() as usize].clone();
            looks.set(looks.get() + 1);
            async move { sight }
        });
        assert_eq!(dead.await, "over");
        assert_eq!((looks.get(), began.elapsed()), (4, (30 + 2 + 60 + 2) * SECOND));
    }
}
