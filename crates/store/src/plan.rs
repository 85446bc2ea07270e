//! Plans, kept once each by their digest.

use strongroom_core::{digest::Digest, json, plan::Plan};

use crate::{Connection, Tx, error::StoreError, question::query};

const KEEP: &str = "
    INSERT INTO plan (digest, content) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";

const FIND: &str = "SELECT content FROM plan WHERE digest = $1";

pub(crate) async fn keep(tx: &mut Tx, digest: &Digest, plan: &Plan) -> Result<(), StoreError> {
    let content = json::canonical_of(plan);
    let question = query(KEEP).bind(digest.to_string()).bind(content);
    tx.execute(question).await.map(drop)
}

/// The plan with this digest, which a row says was kept.
pub(crate) async fn find(connection: &mut Connection, digest: &Digest) -> Result<Plan, StoreError> {
    let question = query(FIND).bind(digest.to_string());
    let row = connection.one(question).await?;
    let row = row.ok_or_else(|| StoreError::corrupt(format!("there is no plan {digest}")))?;
    let plan: Plan = row.json("content")?;
    if plan.digest() != *digest {
        return Err(StoreError::corrupt(format!("plan {digest} is another")));
    }
    Ok(plan)
}
