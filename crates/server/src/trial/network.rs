//! The network of a trial: the gateway of a station, for one's own code.
//!
//! The plan says the same as on a station, the bounds are those of the same
//! configuration, and private addresses are as closed. Answers that are
//! recorded lie in a folder of the user's own, the last few of them.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use strongroom_core::{
    id::RunId,
    network::{Answers as Wanted, made::RequestMade},
    plan::Plan,
    run::Reason,
};
use strongroom_store::Blobs;

use super::{Trial, TrialError};
use crate::{
    app::clock::Clock,
    gateway::{Answers, Gateway, Mask, Mode, Order, Session},
};

/// The most trials whose answers are kept; the oldest goes first.
const RECORDED_MAX: usize = 16;
/// The requests of a trial, beside their answers.
const REQUESTS: &str = "requests.json";

/// The network of one trial.
pub(super) struct TrialNetwork {
    gateway: Arc<Gateway>,
    /// The folder of its answers, where it records or replays.
    folder: Option<PathBuf>,
}

impl TrialNetwork {
    /// Reads the certificates, and makes the folder for answers that are to be
    /// kept.
    pub fn of(trial: &Trial, run: &RunId) -> Result<Self, TrialError> {
        let gateway = Gateway::new(trial.gateway.clone())?;
        let folder = match (&trial.answers, &trial.recorded) {
            (Wanted::Live, _) | (_, None) => None,
            (Wanted::Record, Some(all)) => Some(made(all, run).map_err(TrialError::Record)?),
            (Wanted::Replay(earlier), Some(all)) => {
                let folder = all.join(earlier.as_str());
                if !folder.join(REQUESTS).is_file() {
                    return Err(TrialError::NotRecorded(earlier.clone()));
                }
                Some(folder)
            }
        };
        Ok(Self {
            gateway: Arc::new(gateway),
            folder,
        })
    }

    /// Serves the guest behind `listener` until it has ended; what it asked for.
    pub async fn beside<T>(
        &self,
        plan: &Plan,
        listener: TcpListener,
        guest: impl Future<Output = T>,
    ) -> Result<(T, Vec<RequestMade>), Reason> {
        let at_fault = |what: &str, error: &dyn std::fmt::Display| Reason::HostError {
            what: format!("{what}: {error}"),
        };
        let Some(network) = plan.download.clone() else {
            return Err(at_fault("a gateway", &"the plan names no host"));
        };
        let mode = self.mode(plan);
        let mode = mode.map_err(|error| at_fault("could not open the kept answers", &error))?;
        let keeps = matches!(mode, Mode::Record(_));
        let order = Order {
            network,
            mask: Mask::default(),
            mode,
            clock: Clock::default(),
        };
        let (session, mut told) = Session::new(&self.gateway, order);
        let noted = async {
            let mut all = std::collections::BTreeMap::new();
            while let Some(note) = told.recv().await {
                all.insert(note.made.number, note.made.clone());
                note.is_kept();
            }
            all.into_values().collect::<Vec<_>>()
        };
        let (ended, all) = tokio::join!(session.beside(listener, guest), noted);
        if let (true, Some(folder)) = (keeps, &self.folder) {
            let kept = write(folder, &all);
            kept.map_err(|error| at_fault("could not keep the answers", &error))?;
        }
        Ok((ended, all))
    }

    fn mode(&self, plan: &Plan) -> io::Result<Mode> {
        let blobs = |folder: &Path| Blobs::alone(folder).map_err(io::Error::other);
        match (&plan.answers, &self.folder) {
            (Wanted::Record, Some(folder)) => Ok(Mode::Record(blobs(folder)?)),
            (Wanted::Replay(_), Some(folder)) => {
                let requests = File::open(folder.join(REQUESTS))?;
                let requests: Vec<RequestMade> = serde_json::from_reader(BufReader::new(requests))?;
                Ok(Mode::Replay(Answers::of(requests), blobs(folder)?))
            }
            (Wanted::Live, _) => Ok(Mode::Live),
            (_, None) => Err(io::Error::other("there is no folder for them")),
        }
    }
}

/// The folder for the answers of `run`, and room for it.
fn made(all: &Path, run: &RunId) -> io::Result<PathBuf> {
    let mut private = DirBuilder::new();
    private.recursive(true).mode(0o700).create(all)?;
    let mut earlier: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(all)? {
        let entry = entry?;
        // A run's name begins with its time.
        let is_run = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<RunId>().is_ok());
        if is_run && entry.file_type()?.is_dir() {
            earlier.push(entry.path());
        }
    }
    earlier.sort();
    let over = (earlier.len() + 1).saturating_sub(RECORDED_MAX);
    for oldest in earlier.into_iter().take(over) {
        fs::remove_dir_all(oldest)?;
    }
    let folder = all.join(run.as_str());
    private.create(&folder)?;
    Ok(folder)
}

fn write(folder: &Path, requests: &[RequestMade]) -> io::Result<()> {
    let mut file = File::create(folder.join(REQUESTS))?;
    serde_json::to_writer(&mut file, requests)?;
    file.flush()
}
