//! Whether what a statement does is undone when it fails.

use mysql_async::ServerError;

use crate::engine::mysql::link::ANSWER_LIMIT;
use crate::engine::mysql::{fault, probe};
use crate::engine::stepwise::{Fault, Step, Steps, failed};
use crate::engine::traced::Traced;
use crate::error::Code;
use crate::sql::Trace;

use super::{MySqlSteps, first};

impl MySqlSteps<'_> {
    /// Asks what the intent's condition did not show, and makes of the step what the answer allows. Nothing of it has run.
    pub(super) async fn prove(&mut self, step: &mut Step<'_>) -> Result<(), Fault> {
        // Something there may leave its marks on the session.
        self.is_marked = true;
        self.lease.ask("ROLLBACK", ANSWER_LIMIT).await.map_err(|t| self.fault(t, None))?;
        self.check().await?;
        if !self.ask_whether_transactional().await? {
            self.is_demoted = true;
            step.ahead = None;
            step.intent.trace = Some(Traced::of(step.statement.text, Trace::Nothing));
        }
        Ok(())
    }

    pub(super) async fn ask_whether_transactional(&mut self) -> Result<bool, Fault> {
        let question = format!("SELECT {}", probe::is_transactional(self.database));
        let sets = self.lease.ask(&question, ANSWER_LIMIT).await.map_err(|t| self.fault(t, None))?;
        let all = first(sets).into_iter().next().flatten().as_deref() == Some("1");
        Ok(*self.transactional.insert(all))
    }

    /// Whether what a statement did before it failed may have stayed: what a procedure committed, and rows of tables that
    /// do not roll back.
    pub(super) fn may_leave_a_part(&self, text: &str) -> bool {
        let mut words = text.split_whitespace().map(str::to_ascii_lowercase);
        match words.next().unwrap_or_default().as_str() {
            "begin" => words.next().as_deref() == Some("not"),
            "insert" | "update" | "delete" | "replace" | "load" => self.transactional == Some(false),
            first => first == "call" || first.starts_with("call("),
        }
    }

    /// Makes the fault of a statement that failed when it may have done a part of its work: nobody knows.
    pub(super) fn partly(&self, error: &ServerError) -> Fault {
        Fault::Lost(failed(self.order, Code::HALF_APPLIED).cause(fault::server_words(error)).hint(
            "what this statement committed before it failed has stayed: look what is there; `mtmigrate up` does not run it \
             again until you say what became of it with `mtmigrate repair`",
        ))
    }
}
