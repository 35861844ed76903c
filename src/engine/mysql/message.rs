//! Several statements that travel as one message.
//!
//! Pure. The server executes them in turn and stops at the first that it refuses, so each stands on those before it.

/// A message under way.
#[derive(Default)]
pub(super) struct Message {
    text: String,
    count: usize,
}

impl Message {
    /// Adds a statement; returns its place, from 0.
    pub fn add(&mut self, statement: &str) -> usize {
        if self.count > 0 {
            self.text.push_str("; ");
        }
        self.text.push_str(statement);
        self.count += 1;
        self.count - 1
    }

    /// Returns what is sent.
    pub fn text(&self) -> &str {
        &self.text
    }
}
