//! What datasets and functions have in common: an owner, and versions.

use strongroom_core::name::{ObjectName, Reference, VersionChoice};
use strongroom_server::api::Me;

use crate::{client::Client, error::CliError};

/// The path of one version of a noun, `datasets` or `functions`.
pub fn version_path(noun: &str, reference: &Reference) -> String {
    let version = match &reference.version {
        VersionChoice::Back(0) => "latest".to_owned(),
        VersionChoice::Back(back) => format!("~{back}"),
        VersionChoice::Exactly(digest) => digest.to_string(),
    };
    format!("/v1/{noun}/{}/versions/{version}", reference.name)
}

/// Refuses to push into somebody else's name, before anything is sent.
///
/// The station refuses it as well, but to a stranger it only says that there
/// is no such thing.
pub fn check_owner(client: &Client, name: &ObjectName) -> Result<(), CliError> {
    let me: Me = client.get("/v1/me", &[])?;
    if me.user == name.owner {
        return Ok(());
    }
    let message = format!(
        "you are {}, and only {} can push {name}",
        me.user, name.owner
    );
    Err(CliError::wrong_use(message))
}
