//! A gateway: the one way out of a sandbox that a guest can be given.
//!
//! The guest has its network to itself, with nothing in it but a loopback and
//! one listening socket, [`GATEWAY`], which the supervisor holds the other end
//! of. The rule: whoever has a gateway sees no data, is no copy and was not
//! made ahead, so that what reaches a network was made for one run and holds
//! nothing that its supervisor did not name. Deliberately absent: what the
//! gateway does with a connection; that is the supervisor's.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::shown::Holds;
use super::{Jail, Open, Origin, SealError, Spec};
use crate::event::Tier;
use crate::kernel::{GATEWAY as WALL, Kernel};
use crate::mutation::{Part, stands};

/// Where a guest finds its gateway, inside its own network.
pub const GATEWAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3128);

impl Jail<Open> {
    /// Gives the guest a gateway: the `Ready` event brings a socket that
    /// listens on [`GATEWAY`] inside the guest's network, and the guest may
    /// connect to it by TCP and to nothing else.
    pub fn gateway(mut self) -> Self {
        self.spec.gateway = true;
        self
    }
}

impl Spec {
    pub(crate) fn check_gateway(&self, kernel: &Kernel) -> Result<(), SealError> {
        if !self.gateway {
            return Ok(());
        }
        self.check_no_data_with_gateway()?;
        if self.waiting.is_some() || self.origin != Origin::Program {
            return Err(SealError::GatewayAhead);
        }
        match kernel.tier {
            Tier::Full => Ok(()),
            Tier::Reduced => Err(SealError::Wall {
                name: WALL.to_owned(),
                why: NO_NETWORK_OF_ITS_OWN.to_owned(),
                fix: None,
            }),
        }
    }

    pub(crate) fn check_no_data_with_gateway(&self) -> Result<(), SealError> {
        let holds_data = self.mounts.iter().any(|mount| mount.holds == Holds::Data);
        match self.gateway && holds_data && stands(Part::DataApart) {
            true => Err(SealError::DataAndNetwork),
            false => Ok(()),
        }
    }
}

/// Why the tier `reduced` has no gateways.
pub(crate) const NO_NETWORK_OF_ITS_OWN: &str = "in the tier reduced a guest has no network of its own, so nothing could be let out of it alone";
