//! Users and tokens, as bodies.

use serde::{Deserialize, Serialize};
use strongroom_core::{id::TokenId, name::Name};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Me {
    pub user: Name,
    pub admin: bool,
    pub token: TokenId,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub name: Name,
    #[serde(default)]
    pub admin: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub name: Name,
    pub admin: bool,
    pub at_ms: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, at most 200 characters.
    #[serde(default)]
    pub label: String,
    /// Whose token; only an admin may name another.
    #[serde(default)]
    pub user: Option<Name>,
    /// When it ends, in milliseconds since 1970.
    #[serde(default)]
    pub until_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: TokenId,
    pub user: Name,
    pub label: String,
    pub at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    pub revoked: bool,
    /// The bearer secret; in the answer to its creation, and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}
