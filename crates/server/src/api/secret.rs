//! Secrets, as bodies. None holds a secret on its way out.

use serde::{Deserialize, Serialize};
use strongroom_core::secret::SecretName;
use utoipa::ToSchema;

/// Nothing prints this.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// At most 8192 bytes.
    pub value: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    pub name: SecretName,
    /// When it was last set, in milliseconds since 1970.
    pub at_ms: i64,
}
