//! How a run ended, for people: the value to stdout, the rest to stderr.

use std::path::Path;

use serde_json::Value;
use strongroom_core::{
    run::{Enforced, OutputFile, Reason, Usage, bytes_shown},
    stage::Stage,
    text::line_shown,
};
use strongroom_server::api::{Run, RunStage};

use crate::{error::CliError, show, ui::Ui};

/// The stage that did not succeed.
pub fn ended_in(stages: &[RunStage]) -> Option<Stage> {
    let failed = |stage: &&RunStage| {
        stage
            .reason
            .as_ref()
            .is_some_and(|reason| !reason.is_success())
    };
    stages.iter().find(failed).map(|stage| stage.stage)
}

/// The limit that a run came to its end at.
fn limit_of(reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::TimedOut { .. } => Some("time"),
        Reason::OutOfMemory { .. } => Some("memory"),
        Reason::TooManyProcesses { .. } => Some("processes"),
        Reason::DiskFull { .. } => Some("tmp"),
        Reason::OutputTooLarge { .. } => Some("out"),
        Reason::LogLimit { .. } => Some("log"),
        _ => None,
    }
}

/// How a run ended, wherever it ran.
pub struct Ending<'a> {
    pub reason: &'a Reason,
    pub usage: Option<&'a Usage>,
    pub enforced: Option<&'a Enforced>,
    pub value: Option<&'a Value>,
    pub files: &'a [OutputFile],
    /// Where it ended, if it has several stages and did not come to the end.
    pub stage: Option<Stage>,
    /// Nothing of what came out is shown any more.
    pub is_withheld: bool,
}

impl<'a> Ending<'a> {
    /// The end of a run that has ended.
    pub fn of(run: &'a Run) -> Self {
        Self {
            reason: run.reason.as_ref().unwrap_or(&Reason::Succeeded),
            usage: run.usage.as_ref(),
            enforced: run.enforced.as_ref(),
            value: run.value.as_ref(),
            files: &run.files,
            stage: ended_in(&run.stages),
            is_withheld: run.withheld,
        }
    }

    /// Tells all of it; `kept` is where the files are by now.
    pub fn tell(&self, ui: &mut Ui, kept: Option<&Path>) -> Result<(), CliError> {
        let stage = self
            .stage
            .map(|stage| format!(" in the stage {}", stage.as_str()));
        let reason = format!("{}{}", self.reason, stage.unwrap_or_default());
        // What never began used nothing.
        match self.usage.filter(|usage| **usage != Usage::default()) {
            Some(usage) => ui.say(format_args!("{reason}: {}", show::usage(usage)))?,
            None => ui.say(reason)?,
        }
        if let Some(limit) = limit_of(self.reason) {
            ui.say(format_args!("hint: `--limit {limit}=…` asks for more"))?;
        }
        if self.is_withheld {
            ui.say(
                "  an owner of the data does not allow it any more, so what came out is not shown",
            )?;
        }
        self.tell_tier(ui)?;
        self.tell_files(ui, kept)?;
        match self.value {
            Some(value) => ui.print_json(value),
            None => Ok(()),
        }
    }

    /// The full tier goes without saying; a weaker one is told with each result.
    fn tell_tier(&self, ui: &mut Ui) -> Result<(), CliError> {
        let tier = self.enforced.map_or("", |enforced| enforced.tier.as_str());
        match tier {
            "" | "full" => Ok(()),
            weaker => ui.say(format_args!(
                "  held by the tier {}, which is weaker than full",
                line_shown(weaker)
            )),
        }
    }

    fn tell_files(&self, ui: &mut Ui, kept: Option<&Path>) -> Result<(), CliError> {
        for file in self.files {
            let place = match kept {
                Some(folder) => folder.join(file.path.as_str()).display().to_string(),
                None => file.path.to_string(),
            };
            let size = bytes_shown(file.size_bytes);
            ui.say(format_args!(
                "  {}, {size}, {}",
                line_shown(&place),
                file.digest
            ))?;
        }
        Ok(())
    }
}
