//! Labels: the original datasets behind what a run reads.
//!
//! A version that a run made counts as the originals that it was made of,
//! however many runs lie between. Their owners are asked like the owners of
//! the inputs themselves, and whatever comes out of the run carries the same
//! labels on.

use std::collections::BTreeSet;

use strongroom_core::plan::{InputVersion, Inputs};

use crate::{Connection, dataset::origin, error::StoreError};

/// The original versions behind some inputs.
pub type Labels = BTreeSet<InputVersion>;

/// The labels of a run on these inputs.
pub(crate) async fn of(
    connection: &mut Connection,
    inputs: &Inputs<InputVersion>,
) -> Result<Labels, StoreError> {
    let mut labels = Labels::new();
    for (_, input) in inputs.iter() {
        labels.extend(origin::behind(connection, input).await?);
    }
    Ok(labels)
}

/// Those of a request that was made before labels were kept: nothing was
/// derived then.
pub(crate) fn plain(inputs: &Inputs<InputVersion>) -> Labels {
    inputs.iter().map(|(_, input)| input.clone()).collect()
}
