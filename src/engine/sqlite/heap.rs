//! Pieces of work that several threads work off together.
//!
//! A look at a file is shorter than it takes to wake a thread for it: a thread that is awake takes the next one itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Diagnostic, Result};

/// Work that is still to be done, and the answers to what is done.
pub(super) struct Heap<T, W>(Mutex<State<T, W>>);

struct State<T, W> {
    /// From the last to the first.
    left: Vec<W>,
    answers: Vec<Option<Result<T>>>,
}

impl<T, W: FnOnce() -> Result<T>> Heap<T, W> {
    /// Begins with nothing done.
    pub fn new(mut work: Vec<W>) -> Arc<Self> {
        let answers = work.iter().map(|_| None).collect();
        work.reverse();
        Arc::new(Self(Mutex::new(State { left: work, answers })))
    }

    /// Does what nobody else has begun, until nothing is left.
    pub fn work_off(&self) {
        loop {
            let (at, work) = {
                let mut state = self.state();
                let Some(work) = state.left.pop() else { return };
                (state.answers.len() - state.left.len() - 1, work)
            };
            let answer = work();
            self.state().answers[at] = Some(answer);
        }
    }

    /// Returns the answers in order; `lost` is that of work whose thread died.
    pub fn answers(&self, lost: impl Fn() -> Diagnostic) -> Vec<Result<T>> {
        let answers = std::mem::take(&mut self.state().answers);
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(lost()))).collect()
    }

    fn state(&self) -> MutexGuard<'_, State<T, W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the work when it is dropped: what nobody has begun is not done.
pub(super) struct Abandon<T, W: FnOnce() -> Result<T>>(pub Arc<Heap<T, W>>);

impl<T, W: FnOnce() -> Result<T>> Drop for Abandon<T, W> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.0.state().left);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::{Abandon, Heap};
    use crate::error::{Code, Diagnostic, Result};

    type Work = Box<dyn FnOnce() -> Result<usize> + Send>;

    fn lost() -> Diagnostic {
        Diagnostic::new(Code::BUG, "lost")
    }

    #[test]
    fn every_piece_is_done_once_and_answered_in_order_and_one_that_dies_takes_no_other_with_it() {
        let work = (0..500_usize)
            .map(|at| Box::new(move || if at == 7 { panic!("it dies") } else { Ok(at) }) as Work)
            .collect();
        let heap = Heap::new(work);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let heap: Arc<_> = heap.clone();
                thread::spawn(move || heap.work_off())
            })
            .collect();
        assert_eq!(threads.into_iter().filter_map(|thread| thread.join().err()).count(), 1);
        let answers = heap.answers(lost);
        assert!(answers.iter().enumerate().all(|(at, answer)| match answer {
            Ok(done) => *done == at,
            Err(error) => at == 7 && error.message() == "lost",
        }));
        assert_eq!(answers.len(), 500);
    }

    #[test]
    fn work_that_nobody_waits_for_is_not_begun() {
        let heap = Heap::new(vec![Box::new(|| Ok(1_usize)) as Work]);
        drop(Abandon(heap.clone()));
        heap.work_off();
        assert!(heap.answers(lost)[0].is_err());
    }
}
