//! Between a runner and a server: messages that are lost, late, or answered to nobody.
//!
//! The server works on a message in a task of its own, which a dead runner leaves behind.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::world::{Lot, SessionId, Shared, World};

/// How long a runner waits for an answer before it gives the connection up.
const DEADLINE: Duration = Duration::from_secs(30);

/// A runner's end of a session. Dropped, the server notices after a while that its client is gone.
pub(super) struct Connection {
    world: Shared,
    pub id: SessionId,
}

/// The connection is lost, or was given up.
#[derive(Debug)]
pub(super) struct Gone;

/// A server's end of a session.
#[derive(Clone)]
pub(super) struct Backend {
    pub world: Shared,
    pub id: SessionId,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.world.cut(self.id);
    }
}

impl Backend {
    /// Lets time pass; nothing if the session is over then.
    pub async fn pause(&self, ms: u64) -> Option<()> {
        sleep(Duration::from_millis(ms)).await;
        self.world.lock().sessions.contains_key(&self.id).then_some(())
    }

    /// Changes the world at once, if the session is not over.
    pub fn at_once<T>(&self, what: impl FnOnce(&mut World) -> T) -> Option<T> {
        let mut world = self.world.lock();
        world.sessions.contains_key(&self.id).then(|| what(&mut world))
    }
}

impl Connection {
    /// Opens a session for a process; nothing if the server refuses.
    pub async fn open(world: &Shared, process: u32, server: usize) -> Option<Self> {
        let pause = Duration::from_millis(world.lock().dice.between(1, 4));
        sleep(pause).await;
        let id = world.lock().open(process, server)?;
        Some(Self { world: world.clone(), id })
    }

    /// Sends a message, which the server works on as `job` says, and waits for the answer.
    ///
    /// # Errors
    /// The connection is lost: before the server saw the message, in the middle, or after.
    pub async fn ask<T, J>(&self, job: impl FnOnce(Backend) -> J) -> Result<T, Gone>
    where
        T: Send + 'static,
        J: Future<Output = Option<T>> + Send + 'static,
    {
        let (lot, there, back) = self.world.lock().lot();
        if lot == Lot::LostBefore {
            sleep(there).await;
            self.world.cut(self.id);
            return Err(Gone);
        }
        let backend = Backend { world: self.world.clone(), id: self.id };
        let job = job(backend.clone());
        let (answer, heard) = oneshot::channel();
        tokio::spawn(async move {
            sleep(there).await;
            if !backend.world.lock().begin(backend.id) {
                return;
            }
            let said = job.await;
            backend.world.lock().done(backend.id);
            let Some(said) = said else { return };
            sleep(back).await;
            // Nobody may be there to hear it.
            let _ = answer.send(said);
        });
        let heard = match lot {
            Lot::LostDuring => {
                let before_the_end = Duration::from_millis(self.world.lock().dice.below(40));
                sleep(there + before_the_end).await;
                None
            }
            _ => timeout(DEADLINE, heard).await.ok().and_then(Result::ok).filter(|_| lot == Lot::Arrives),
        };
        heard.ok_or_else(|| {
            self.world.cut(self.id);
            Gone
        })
    }

    /// Asks what the server answers at once.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub async fn ask_at_once<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut World, SessionId) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        self.ask(|backend| async move {
            let id = backend.id;
            backend.at_once(|world| what(world, id))
        })
        .await
    }

    /// Says goodbye; nobody waits for an answer.
    pub async fn close(self) {
        sleep(Duration::from_millis(1)).await;
        self.world.lock().end(self.id);
    }
}
