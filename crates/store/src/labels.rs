//! Labels: the original datasets behind what a run reads.
//!
//! A version that a run made counts as the originals that it was made of,
//! however many runs lie between. Their owners are asked like the owners of
//! the inputs themselves, and whatever comes out of the run carries the same
//! labels on.

use std::collections::BTreeSet;

use strongroom_core::{
    name::{Name, ObjectName},
    plan::{InputVersion, Inputs},
};

use crate::{Connection, dataset::origin, error::StoreError, question::query};

const CALLED: &str = "
    SELECT name FROM dataset_version WHERE owner = $1 AND version = $2 ORDER BY name";

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

/// These versions under the names that their owners give them now, by which
/// rules speak of them. What is gone keeps its name, and so does what is the
/// caller's own: no name that he gives decides what he may see.
pub(crate) async fn called_now(
    connection: &mut Connection,
    caller: &Name,
    versions: &Labels,
) -> Result<Labels, StoreError> {
    let mut called = Labels::new();
    for version in versions {
        let owner = &version.dataset.owner;
        if owner == caller {
            called.insert(version.clone());
            continue;
        }
        let question = query(CALLED)
            .bind(owner.as_str())
            .bind(version.version.to_string());
        let rows = connection.all(question).await?;
        let names = rows.iter().map(|row| row.parsed("name"));
        let names: Vec<Name> = names.collect::<Result<_, _>>()?;
        let name = match names.first() {
            Some(first) if !names.contains(&version.dataset.name) => first.clone(),
            _ => version.dataset.name.clone(),
        };
        called.insert(InputVersion {
            dataset: ObjectName {
                owner: owner.clone(),
                name,
            },
            version: version.version,
        });
    }
    Ok(called)
}

/// Those of a request that was made before labels were kept: nothing was
/// derived then.
pub(crate) fn plain(inputs: &Inputs<InputVersion>) -> Labels {
    inputs.iter().map(|(_, input)| input.clone()).collect()
}
