//! Why a command gave no answer, told in one line and a hint.
//!
//! The hint is given where the next step is known. An error is an exit code
//! of 2; a reader of our output that went away is no error at all.

use std::{error::Error as _, fmt::Write as _, io, path::PathBuf, process::ExitCode};

use strongroom_core::{plan::PlanError, text::line_shown};
use strongroom_server::{
    ConfigError, ServeError, image::ImageError, registry::RegistryError, trial::TrialError,
};

use crate::{client::ClientError, files::FilesError, keep::KeepError, login::LoginError, ui::Ui};

/// How a command that gave an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Yes,
    /// The answer is no: a run did not succeed, a wall is missing.
    No,
}

impl Outcome {
    pub fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("could not write the output")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("could not watch {}", .path.display())]
    Watch {
        path: PathBuf,
        source: notify::Error,
    },
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was asked for makes no sense.
    #[error("{message}")]
    Use {
        message: String,
        hint: Option<String>,
    },
}

impl CliError {
    pub fn wrong_use(message: impl Into<String>) -> Self {
        Self::Use {
            message: message.into(),
            hint: None,
        }
    }

    pub fn wrong_use_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Use {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// The next step, where we know one.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Keep(error) => error.hint(),
            Self::Login(error) => error.hint(),
            Self::Use { hint, .. } => hint.clone(),
            Self::Registry(RegistryError::Unknown { .. }) => Some(
                "`podman login`, `skopeo login` or `docker login` writes credentials that are read here"
                    .to_owned(),
            ),
            Self::Image(ImageError::Unknown(_)) => {
                Some("`strongroom runtime images` lists those that are here".to_owned())
            }
            Self::Trial(TrialError::Read { .. }) => Some(
                "a trial run takes local files; what a station has is named owner/name".to_owned(),
            ),
            Self::Watch { .. } => Some(
                "the kernel bounds what one user may watch: `sysctl fs.inotify.max_user_watches`"
                    .to_owned(),
            ),
            Self::Trial(TrialError::Plan(PlanError::ExposeOff)) => Some(
                "`--transform-expose-all-datasets` lets it, since all of this is yours".to_owned(),
            ),
            Self::Serve(ServeError::Listen { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse =>
            {
                Some("`--listen 127.0.0.1:0` takes any free port".to_owned())
            }
            _ => None,
        }
    }

    /// Tells it, and says what the program exits with.
    pub fn tell(&self, ui: &mut Ui) -> ExitCode {
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        // What could not be told has nowhere else to go.
        let _ = ui.out.flush();
        let _ = writeln!(ui.err, "error: {}", lines_shown(&chain(self)));
        if let Some(hint) = self.hint() {
            let _ = writeln!(ui.err, "hint: {}", lines_shown(&hint));
        }
        ExitCode::from(2)
    }
}

/// The error and its causes, each said once.
fn chain(error: &CliError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

fn lines_shown(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(line_shown).collect();
    lines.join("\n")
}
