//! One step of a build: a program of ours in a sandbox, and what it said.
//!
//! Its only network is a gateway of its own, open for the hosts that it is
//! given and closed when it ends. Of its log the end is kept. What it says went
//! wrong is cut to the line that matters.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use serde_json::Value;
use strongroom_core::{
    limits::{Limits, MIB},
    network::Network,
    run::Reason,
    text,
};
use strongroom_run::{Backend, Build, LogChunk, OutFolder, Reach};
use tokio::sync::{mpsc, oneshot};

use super::InstallError;
use crate::{
    app::clock::Clock,
    gateway::{Gateway, Mask, Mode, Order, Session},
};

/// What is kept of a step's log.
pub const LOG_LINES_MAX: usize = 40;
const LINE_CHARS_MAX: usize = 500;

/// A step by its name, which is stable, and with its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Imports,
    Lock,
    Install,
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imports => "imports",
            Self::Lock => "lock",
            Self::Install => "install",
        }
    }

    pub fn limits(self) -> Limits {
        let small = Limits {
            time_ms: 20_000,
            processes: 16,
            ..Limits::DEFAULT
        };
        match self {
            Self::Imports => small,
            Self::Lock => Limits {
                cpu_milli: 2000,
                memory_bytes: 2048 * MIB,
                time_ms: 180_000,
                processes: 128,
                tmp_bytes: 1024 * MIB,
                ..small
            },
            Self::Install => Limits {
                cpu_milli: 4000,
                memory_bytes: 6144 * MIB,
                time_ms: 600_000,
                processes: 128,
                out_bytes: 4096 * MIB,
                out_files: 100_000,
                tmp_bytes: 2048 * MIB,
                ..small
            },
        }
    }
}

/// What a step left.
pub struct Done {
    pub value: Value,
    pub out: Option<OutFolder>,
    pub log: Vec<String>,
    pub wall_ms: u64,
}

/// Where steps are done.
pub struct Bench<'a> {
    pub backend: &'a Backend,
    pub gateway: &'a Arc<Gateway>,
    pub clock: &'a Clock,
}

impl Bench<'_> {
    /// Does one step to its end.
    ///
    /// # Errors
    ///
    /// [`InstallError::Failed`] with the line that matters.
    pub async fn take(
        &self,
        step: Step,
        build: Build,
        network: Option<Network>,
    ) -> Result<Done, InstallError> {
        let begun = Instant::now();
        let build = Build {
            reach: match network {
                Some(_) => Reach::Gateway,
                None => Reach::Nothing,
            },
            limits: step.limits(),
            ..build
        };
        let mut prepared = self.backend.prepare_build(build).await?;
        let listener = prepared.take_gateway();
        let (sender, lines) = mpsc::channel(64);
        // Whoever waits for the step ends it by going away.
        let (_cancel, cancelled) = oneshot::channel();
        let guest = async { tokio::join!(prepared.run(sender, cancelled), tail(lines)) };
        let (mut ended, log) = match (listener, network) {
            (Some(listener), Some(network)) => {
                let (session, mut told) = Session::new(self.gateway, self.order(network));
                // Of a build the log is kept, and nothing waits for more.
                let noted = async {
                    while let Some(request) = told.recv().await {
                        request.is_kept();
                    }
                };
                tokio::join!(session.beside(listener, guest), noted).0
            }
            _ => guest.await,
        };
        let log = Vec::from(log);
        let value = ended.value.take();
        match (ended.reason, value) {
            (Reason::Succeeded, Some(value)) => Ok(Done {
                value,
                out: ended.out,
                log,
                wall_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            }),
            (Reason::HostError { what }, _) => Err(InstallError::Host(what)),
            (reason, _) => Err(InstallError::Failed {
                step,
                why: match (line_that_matters(&log), reason) {
                    (Some(line), Reason::Failed { .. } | Reason::Succeeded) => line,
                    (_, reason) => reason.to_string(),
                },
                log,
            }),
        }
    }

    fn order(&self, network: Network) -> Order {
        Order {
            network,
            mask: Mask::new([]),
            mode: Mode::Live,
            clock: self.clock.clone(),
        }
    }
}

async fn tail(mut lines: mpsc::Receiver<LogChunk>) -> VecDeque<String> {
    let mut kept = VecDeque::new();
    while let Some(LogChunk { text, .. }) = lines.recv().await {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if kept.len() == LOG_LINES_MAX {
                kept.pop_front();
            }
            kept.push_back(text::shown(line, LINE_CHARS_MAX));
        }
    }
    kept
}

/// What a developer has to read of a log: an explanation from where it begins
/// to be one, or the last complaint.
fn line_that_matters(log: &[String]) -> Option<String> {
    let explained = log.iter().position(|line| line.contains("╰─▶"));
    let complained = log.iter().rposition(|line| line.starts_with("error"));
    let from = explained.or(complained);
    let lines = match from {
        Some(from) => &log[from..],
        None => log.get(log.len().checked_sub(1)?..)?,
    };
    let words = lines.iter().flat_map(|line| line.split_whitespace());
    let words: Vec<&str> = words.filter(|word| !"╰─▶├│".contains(word)).collect();
    Some(text::shown(&words.join(" "), 600))
}

#[cfg(test)]
mod tests {
    use super::line_that_matters;

    #[test]
    fn of_a_log_the_explanation_matters_or_else_the_last_complaint() {
        for (log, line) in [
            (
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because nosuch was \
                 not found\n      in the registry, we can conclude",
                "Because nosuch was not found in the registry, we can conclude",
            ),
            (
                "warning: x\nerror: Failed to fetch\n  Caused by: refused",
                "error: Failed to fetch Caused by: refused",
            ),
            ("one\ntwo", "two"),
        ] {
            let log: Vec<String> = log.lines().map(str::to_owned).collect();
            assert_eq!(line_that_matters(&log).as_deref(), Some(line));
        }
        assert_eq!(line_that_matters(&[]), None);
    }
}
