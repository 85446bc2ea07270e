//! Bounds and checks of the station that a test build can leave out, to see who misses them.
//!
//! They stand between guests and what the station reads of them, or what it
//! asks for in their name; those around the guest itself are the jail's. Only
//! the cargo feature `mutation` gives these functions any effect, and it refuses
//! to exist in a release build. Deliberately absent: laws that are types, such
//! as that of the paths of outputs, without which nothing could be built.

#[cfg(all(feature = "mutation", not(debug_assertions)))]
compile_error!("the feature `mutation` takes walls away and is for debug builds only");

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wall {
    LogBytes,
    ValueBytes,
    OutBytes,
    OutFiles,
    GatewayHosts,
    GatewayMethods,
    GatewayTunnels,
    GatewayAddresses,
    GatewayRequests,
    GatewayAnswerBytes,
}

/// Whether this one is in its place.
#[cfg(not(feature = "mutation"))]
pub const fn stands(_wall: Wall) -> bool {
    true
}

/// Whether this one is in its place: the lines of a variable name those that are not.
#[cfg(feature = "mutation")]
pub fn stands(wall: Wall) -> bool {
    let name = format!("{wall:?}");
    std::env::var("STRONGROOM_REMOVED").map_or(true, |names| names.lines().all(|one| one != name))
}

/// A bound, or none.
pub fn bound(wall: Wall, value: u64) -> u64 {
    match stands(wall) {
        true => value,
        false => u64::from(u32::MAX),
    }
}
