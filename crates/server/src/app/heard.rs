//! What is heard of a run while it happens: its lines, and its steps.
//!
//! Both are the guest's words, in one numbering, so who may not read the log
//! hears neither.

use strongroom_core::{id::RunId, run::Stream, stage::Stage, step::StepEvent};
use strongroom_store::{LogLine, RunRow, StageRow, StoreError};

use super::{Actor, App, AppError, show};
use crate::api;

/// One thing that was heard.
#[derive(Debug)]
pub enum Heard {
    Line(api::LogLine),
    Step(api::RunStep),
}

impl App {
    /// Lines and steps after `after_seq`; for the caller only.
    pub async fn run_heard(
        &self,
        actor: &Actor,
        id: &RunId,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<Heard>, AppError> {
        let row = self.run_whole(actor, id).await?;
        let lines = self.store.log_page_of(id, after_seq, limit, |_| true);
        let heard = lines.await?.into_iter().map(|line| match line.stream {
            Stream::Event => step(&row, line).map(Heard::Step),
            Stream::Stdout | Stream::Stderr => Ok(Heard::Line(show::log_line(line))),
        });
        heard.collect()
    }

    /// Steps alone, after `after_seq`; for the caller only.
    pub async fn run_steps(
        &self,
        actor: &Actor,
        id: &RunId,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<api::RunStep>, AppError> {
        let row = self.run_whole(actor, id).await?;
        let is_event = |stream| stream == Stream::Event;
        let lines = self.store.log_page_of(id, after_seq, limit, is_event);
        let lines = lines.await?.into_iter();
        lines.map(|line| step(&row, line)).collect()
    }
}

fn step(row: &RunRow, line: LogLine) -> Result<api::RunStep, AppError> {
    let event = StepEvent::of_text(&line.text).ok_or_else(|| StoreError::Corrupt {
        what: format!("line {} of {} is no event", line.seq, row.id),
    })?;
    Ok(api::RunStep {
        seq: line.seq,
        at_ms: line.at_ms,
        stage: stage_of(&row.stages, line.seq),
        event,
    })
}

/// The stage in which a line was written.
fn stage_of(stages: &[StageRow], seq: i64) -> Option<Stage> {
    let mut begun = stages.iter().filter(|stage| stage.log_before < seq);
    begun.next_back().map(|stage| stage.stage)
}
