//! What native functions may ask of the guest around them.
//!
//! It is handed to the evaluator as its `extra`, so that no function needs
//! anything global, and two evaluations share nothing.

use std::{cell::Cell, rc::Rc};

use starlark::{any::ProvidesStaticType, eval::Evaluator};

use crate::{
    guest::Guest,
    network::{Answer, Network, NetworkError, Request},
};

/// The part of a function that is being run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    Expose,
    Download,
    /// A plain script is a lone transform.
    #[default]
    Transform,
}

impl Stage {
    /// Reads `STRONGROOM_STAGE`; absent or empty it is a transform.
    pub fn parse(raw: &str) -> Option<Self> {
        match raw {
            "" | "transform" => Some(Self::Transform),
            "download" => Some(Self::Download),
            "expose" => Some(Self::Expose),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Expose => "expose",
            Self::Download => "download",
            Self::Transform => "transform",
        }
    }
}

/// What the code that runs right now may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Top-level code: neither data nor network.
    #[default]
    Nothing,
    Data,
    Network,
}

/// The guest as native functions see it.
#[derive(ProvidesStaticType)]
pub struct Host {
    pub stage: Stage,
    pub network: Box<dyn Network>,
    pub(crate) guest: Guest,
    reach: Rc<Cell<Reach>>,
    /// Whether a step script has committed its dataset.
    pub(crate) committed: Cell<bool>,
}

impl Host {
    /// A guest without data and secrets, whose network stands open or not as
    /// it is given.
    pub fn new(stage: Stage, network: Box<dyn Network>) -> Self {
        Self {
            stage,
            network,
            guest: Guest::default(),
            reach: Rc::default(),
            committed: Cell::new(false),
        }
    }

    /// A guest whose network opens only while [`Reach::Network`] is set.
    pub(crate) fn of_guest(guest: Guest, network: Box<dyn Network>) -> Self {
        let reach = Rc::new(Cell::new(Reach::Nothing));
        let network = Box::new(Gated {
            reach: Rc::clone(&reach),
            network,
        });
        Self {
            stage: guest.stage,
            network,
            guest,
            reach,
            committed: Cell::new(false),
        }
    }

    /// The host behind a running evaluation.
    ///
    /// # Errors
    ///
    /// When the evaluator was started without one, which only tests do.
    pub fn of<'a>(eval: &Evaluator<'_, 'a, '_>) -> anyhow::Result<&'a Self> {
        eval.extra
            .and_then(|extra| extra.downcast_ref())
            .ok_or_else(|| anyhow::anyhow!("this function only works inside a run"))
    }

    pub(crate) fn set_reach(&self, reach: Reach) {
        self.reach.set(reach);
    }

    /// Refuses where there is no data.
    ///
    /// # Errors
    ///
    /// The reason, for the author of the script.
    pub(crate) fn needs_data(&self, what: &str) -> anyhow::Result<()> {
        match self.reach.get() {
            Reach::Data => Ok(()),
            Reach::Network => anyhow::bail!(
                "{what} is not there in a download step: what has the network never sees data"
            ),
            Reach::Nothing => anyhow::bail!(
                "{what} is not there for top-level code, which runs in every stage; \
                 call it inside of transform or expose"
            ),
        }
    }
}

/// A network that is there only while the code may reach it.
struct Gated {
    reach: Rc<Cell<Reach>>,
    network: Box<dyn Network>,
}

impl Network for Gated {
    fn fetch(&self, request: &Request) -> Result<Answer, NetworkError> {
        match self.reach.get() {
            Reach::Network => self.network.fetch(request),
            Reach::Data | Reach::Nothing => Err(NetworkError::Disabled),
        }
    }
}
