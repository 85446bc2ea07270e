//! What the audit record says: who did what to which thing.
//!
//! Every change of state is one transaction together with its event. Events
//! form a hash chain: each carries the digest over itself and the one before,
//! so that a later change of an old event shows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{digest::Digest, json};

/// One entry of the audit record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    pub seq: i64,
    pub at_ms: i64,
    /// A user's name, or `station`.
    pub actor: String,
    /// A noun and a verb: `request.approve`.
    pub action: String,
    /// The name or id of what was changed.
    pub subject: String,
    pub detail: Value,
}

impl Event {
    /// The digest that chains this event to the one before it.
    pub fn chained(&self, before: Option<Digest>) -> Digest {
        let before = before.map(|digest| digest.to_string()).unwrap_or_default();
        Digest::of(format!("{before}\n{}", json::canonical_of(self)).as_bytes())
    }
}
