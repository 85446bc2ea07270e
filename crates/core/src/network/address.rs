//! Addresses that nobody outside of the operator's own network is at.
//!
//! The rule: an address is dialled only if it is public. Everything that is
//! set aside for one host, one link, one site, one provider or for no use at
//! all is [`Kept`], and so is every way of writing such an address inside of
//! another: mapped, translated and tunnelled ones. The operator may open
//! single addresses; a plan cannot.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Loopback,
    Private,
    LinkLocal,
    Multicast,
    /// A provider's own services for the machines that it hosts.
    Metadata,
    /// Set aside for documents, tests, transitions, or later.
    Reserved,
}

impl Kept {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Metadata => "a provider's metadata service",
            Self::Reserved => "reserved",
        }
    }
}

/// Ranges of version 4: first address, length of the prefix, and why.
const RANGES: [([u8; 4], u32, Kept); 17] = [
    ([0, 0, 0, 0], 8, Kept::Reserved),
    ([10, 0, 0, 0], 8, Kept::Private),
    // Shared by the customers of one carrier; some clouds have metadata here.
    ([100, 64, 0, 0], 10, Kept::Private),
    ([127, 0, 0, 0], 8, Kept::Loopback),
    // Metadata of nearly every cloud is at 169.254.169.254.
    ([169, 254, 0, 0], 16, Kept::LinkLocal),
    ([172, 16, 0, 0], 12, Kept::Private),
    ([192, 0, 0, 0], 24, Kept::Reserved),
    ([192, 0, 2, 0], 24, Kept::Reserved),
    ([192, 31, 196, 0], 24, Kept::Reserved),
    ([192, 52, 193, 0], 24, Kept::Reserved),
    ([192, 88, 99, 0], 24, Kept::Reserved),
    ([192, 168, 0, 0], 16, Kept::Private),
    ([198, 18, 0, 0], 15, Kept::Private),
    ([198, 51, 100, 0], 24, Kept::Reserved),
    ([203, 0, 113, 0], 24, Kept::Reserved),
    ([224, 0, 0, 0], 4, Kept::Multicast),
    ([240, 0, 0, 0], 4, Kept::Reserved),
];

/// Public by its number, and yet one cloud's own service for its machines.
const METADATA: [Ipv4Addr; 1] = [Ipv4Addr::new(168, 63, 129, 16)];

/// Why this address may not be dialled; `None` if it is public.
pub fn kept(address: IpAddr) -> Option<Kept> {
    match address {
        IpAddr::V4(address) => kept_v4(address),
        IpAddr::V6(address) => kept_v6(address),
    }
}

/// The address that is reached by dialling this one: the one of version 4 that
/// a translated or mapped one carries, or else itself.
pub fn carried(address: IpAddr) -> IpAddr {
    let canonical = address.to_canonical();
    match canonical {
        IpAddr::V6(six) => match six.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into()
            }
            _ => canonical,
        },
        IpAddr::V4(_) => canonical,
    }
}

fn kept_v4(address: Ipv4Addr) -> Option<Kept> {
    if METADATA.contains(&address) {
        return Some(Kept::Metadata);
    }
    let inside = |first: [u8; 4], length: u32| {
        let different = address.to_bits() ^ u32::from_be_bytes(first);
        different >> (32 - length) == 0
    };
    let found = RANGES
        .iter()
        .find(|(first, length, _)| inside(*first, *length));
    found.map(|(_, _, why)| *why)
}

fn kept_v6(address: Ipv6Addr) -> Option<Kept> {
    let parts = address.segments();
    let last_four = || Ipv4Addr::from_bits(u32::from(parts[6]) << 16 | u32::from(parts[7]));
    // One that carries an address of version 4 is as public as that one.
    let carrying = |inner: Ipv4Addr| Some(kept_v4(inner).unwrap_or(Kept::Reserved));
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Kept::Loopback),
        [0, 0, 0, 0, 0, 0xffff, _, _] => kept_v4(last_four()),
        [0, 0, 0, 0, 0, 0, _, _] => carrying(last_four()),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => kept_v4(last_four()),
        [0xfc00..=0xfdff, ..] => Some(Kept::Private),
        [0xfe80..=0xfebf, ..] => Some(Kept::LinkLocal),
        [0xfec0..=0xfeff, ..] => Some(Kept::Private),
        [0xff00..=0xffff, ..] => Some(Kept::Multicast),
        // Relays that take a packet to an address of version 4 inside of it.
        [0x2002, high, low, ..] => {
            carrying(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            Some(Kept::Reserved)
        }
        [0x2000..=0x3fff, ..] => None,
        _ => Some(Kept::Reserved),
    }
}
