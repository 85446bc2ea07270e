//! What may flow between the data and the network of a function's stages.

use strongroom_core::{id::RunId, network::Answers, stage::Expose};

#[derive(clap::Args, Debug)]
pub struct FlowArgs {
    /// For a function that defines `expose`, which sends data to its network stage: ask the owners
    /// of the data, each of whom has to name it in his yes
    #[arg(long)]
    expose: bool,
    /// The same without asking, if you own all of the data and wrote the function
    #[arg(long, conflicts_with = "expose")]
    transform_expose_all_datasets: bool,
    /// Keep every answer that its download gets, so that it can be replayed
    #[arg(long, conflicts_with = "replay")]
    record: bool,
    /// Give the answers of an earlier run again, which was recorded; nobody is asked
    #[arg(long, value_name = "RUN")]
    replay: Option<RunId>,
    /// Let a function of somebody else be told the secrets of yours that it names
    #[arg(long)]
    pub lend_secrets: bool,
}

impl FlowArgs {
    pub fn answers(&self) -> Answers {
        match (&self.replay, self.record) {
            (Some(run), _) => Answers::Replay(run.clone()),
            (None, true) => Answers::Record,
            (None, false) => Answers::Live,
        }
    }

    pub fn expose(&self) -> Expose {
        match (self.transform_expose_all_datasets, self.expose) {
            (true, _) => Expose::AllDatasets,
            (false, true) => Expose::AskOwners,
            (false, false) => Expose::Off,
        }
    }
}
