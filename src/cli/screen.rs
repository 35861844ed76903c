//! Draws a run's progress: one rewritten line in a terminal, plain lines elsewhere.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lockstep::Event;

use super::console::Console;
use super::progress::Progress;

/// How often the rewritten line is.
const REDRAW: Duration = Duration::from_millis(100);

/// The part of stderr that shows a run. Its line is gone when it is dropped, by a panic too.
pub(super) struct Screen<'c> {
    console: &'c Console,
    progress: Mutex<Progress>,
}

impl<'c> Screen<'c> {
    /// Makes a screen that shows nothing yet.
    pub fn new(console: &'c Console) -> Self {
        Self { console, progress: Mutex::new(Progress::new(console.pace())) }
    }

    /// Takes an event, from any thread.
    pub fn take(&self, event: &Event) {
        let left = held(&self.progress).fold(event, Instant::now());
        if let Some(left) = left {
            self.draw();
            self.console.talk(&left);
        }
    }

    /// Redraws for ever.
    pub async fn keep_drawing(&self) -> Infallible {
        let mut beat = tokio::time::interval(REDRAW);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.draw();
            let sign_of_life = held(&self.progress).tick(Instant::now());
            if let Some(sign_of_life) = sign_of_life {
                self.console.talk(&sign_of_life);
            }
        }
    }

    /// Takes the rewritten line away.
    pub fn clear(&self) {
        self.console.line().clear();
    }

    fn draw(&self) {
        let text = held(&self.progress).live(Instant::now());
        match text {
            Some(text) => self.console.line().show(&text),
            None => self.clear(),
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
