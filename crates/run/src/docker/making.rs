//! A container to be made, after the one that carries what it is shown.

use bollard::models::ContainerCreateBody;
use strongroom_jail::Shown;
use tokio::sync::mpsc;

use super::{Shared, contained::Word, elsewhere};
use crate::prepare::PrepareError;

/// A container to be made, and the one that carries what it is shown, if the
/// engine does not see that.
pub(super) struct Making {
    pub(super) body: ContainerCreateBody,
    pub(super) load: Option<(ContainerCreateBody, Vec<Shown>)>,
}

impl Making {
    /// Makes both. The carrier is named as soon as it is there, so that whoever
    /// called removes it whatever happens; nothing is carried on for nobody.
    pub(super) async fn made(
        self,
        shared: &Shared,
        carrier: &mut Option<String>,
        words: &mpsc::Sender<Word>,
    ) -> Result<String, PrepareError> {
        let Self { mut body, load } = self;
        if let Some((carries, carried)) = load {
            let id = shared.engine.create(carries).await?;
            *carrier = Some(id.clone());
            tokio::select! {
                filled = elsewhere::fill(&shared.engine, &id, carried) => filled?,
                () = words.closed() => return Err(PrepareError::Ended),
            }
            let host = body.host_config.get_or_insert_default();
            host.volumes_from = Some(vec![format!("{id}:ro")]);
        }
        Ok(shared.engine.create(body).await?)
    }
}
