//! What was found by reading a body, kept for the next who asks.
//!
//! It follows from the body's bytes and from how they are read, so it is kept
//! by these two and by no version: two versions with one body share it. Who
//! asks must be allowed to read the body.

use strongroom_core::{digest::Digest, json, statistics::Profile};

use crate::{Store, error::StoreError, question::query};

const KEEP: &str = "
    INSERT INTO profile (body, reading, content) VALUES ($1, $2, $3)
    ON CONFLICT (body, reading) DO NOTHING";

const FIND: &str = "SELECT content FROM profile WHERE body = $1 AND reading = $2";

impl Store {
    /// Keeps a finding. There is no audit event: it changes nothing.
    pub async fn profile_keep(
        &self,
        body: &Digest,
        reading: &Digest,
        profile: &Profile,
    ) -> Result<(), StoreError> {
        let question = query(KEEP)
            .bind(body.to_string())
            .bind(reading.to_string())
            .bind(json::canonical_of(profile));
        self.change("keep what was found in a body", move |tx| {
            Box::pin(async move { tx.execute(question).await.map(drop) })
        })
        .await
    }

    pub async fn profile_find(
        &self,
        body: &Digest,
        reading: &Digest,
    ) -> Result<Option<Profile>, StoreError> {
        let mut connection = self.read("look for what was found in a body").await?;
        let question = query(FIND).bind(body.to_string()).bind(reading.to_string());
        let found = connection.one(question).await?;
        found.as_ref().map(|row| row.json("content")).transpose()
    }
}
