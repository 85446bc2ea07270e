//! Where runs happen: in the jail of this host, or in containers of an engine.
//!
//! The configuration names it. There is no falling back from one to the other.

use std::sync::Arc;

use strongroom_core::{
    name::Name,
    permit::Permit,
    plan::{Plan, RuntimePin},
    runtime::RuntimeName,
};
use strongroom_jail::{Tier, Wall};

use crate::{
    build::Build,
    docker::Docker,
    job::Job,
    local::Local,
    prepare::PrepareError,
    prepared::Prepared,
    runtime::{RuntimeError, Runtimes},
};

/// A place where guests run. Dropping it ends every guest.
pub enum Backend {
    Local(Local),
    Docker(Docker),
}

impl Backend {
    /// Builds the box for `job`, up to the moment before its guest begins.
    ///
    /// Dropping the returned [`Prepared`], or this future, ends the guest.
    ///
    /// # Errors
    ///
    /// [`PrepareError`]; nothing of the guest has run and nothing is left of it.
    pub async fn prepare(&self, permit: Permit, job: Job) -> Result<Prepared, PrepareError> {
        match self {
            Self::Local(local) => local.prepare(permit, job).await,
            Self::Docker(docker) => docker.prepare(permit, job).await,
        }
    }

    /// Builds the box for work of the station's own, as [`Local::prepare_build`].
    ///
    /// # Errors
    ///
    /// [`PrepareError`]; nothing has run and nothing is left of it.
    pub async fn prepare_build(&self, build: Build) -> Result<Prepared, PrepareError> {
        match self {
            Self::Local(local) => local.prepare_build(build).await,
            Self::Docker(docker) => docker.prepare_build(build).await,
        }
    }

    /// What stands around guests, found by trying.
    pub fn walls(&self) -> &[Wall] {
        match self {
            Self::Local(local) => local.walls(),
            Self::Docker(docker) => docker.walls(),
        }
    }

    /// What the walls are together, if all that are required stand.
    pub fn tier(&self) -> &'static str {
        match self {
            Self::Local(local) => local.kernel().tier.as_str(),
            Self::Docker(_) => crate::docker::TIER,
        }
    }

    /// Whether anything can be let out to a network alone, by a gateway.
    pub fn has_gateways(&self) -> bool {
        match self {
            Self::Local(local) => local.kernel().tier != Tier::Reduced,
            Self::Docker(docker) => docker.has_gateways(),
        }
    }

    /// The runtimes that guests can have.
    pub fn runtimes(&self) -> &Arc<Runtimes> {
        match self {
            Self::Local(local) => local.runtimes(),
            Self::Docker(docker) => docker.runtimes(),
        }
    }

    /// The runtime as it is now, as [`Local::pin`].
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Missing`] when the host lacks the interpreter.
    pub fn pin(&self, runtime: &RuntimeName) -> Result<RuntimePin, RuntimeError> {
        self.runtimes().pin(runtime)
    }

    /// The number of guests that could be prepared now.
    pub fn slots_free(&self) -> usize {
        match self {
            Self::Local(local) => local.slots_free(),
            Self::Docker(docker) => docker.slots_free(),
        }
    }

    /// Whether a guest waits that could take the first stage of this plan, for
    /// this caller. Another run may take it before.
    pub fn has_waiting(&self, plan: &Plan, tenant: &Name) -> bool {
        match self {
            Self::Local(local) => local.has_waiting(plan, tenant),
            // A container is made for its run.
            Self::Docker(_) => false,
        }
    }

    /// Waits until nothing is left of guests that are over.
    pub async fn close(&self) {
        if let Self::Docker(docker) = self {
            docker.close().await;
        }
    }
}

impl From<Local> for Backend {
    fn from(local: Local) -> Self {
        Self::Local(local)
    }
}
