//! What native functions may ask of the guest around them.
//!
//! It is handed to the evaluator as its `extra`, so that no function needs
//! anything global, and two evaluations share nothing.

use starlark::{any::ProvidesStaticType, eval::Evaluator};

use crate::network::Network;

/// The part of a function that is being run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Expose,
    Download,
    Transform,
}

impl Stage {
    /// Reads `STRONGROOM_STAGE`; a plain script is a lone transform.
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

/// The guest as native functions see it.
#[derive(ProvidesStaticType)]
pub struct Host {
    pub stage: Stage,
    pub network: Box<dyn Network>,
}

impl Host {
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
}
