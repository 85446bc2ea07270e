//! What runs asked of the network, as the gateway saw it.
//!
//! Requests are noted as they end, and a note may be made again by somebody
//! who does not know whether he did. There is no audit event: the run is the
//! event.

use strongroom_core::{id::RunId, json::canonical_of, network::made::RequestMade};

use crate::{Store, Tx, error::StoreError, question::query};

/// The most requests of one page.
pub const REQUESTS_PAGE_MAX: u32 = 1001;

const ADD: &str = "
    INSERT INTO request_made (run, number, content) VALUES ($1, $2, $3)
    ON CONFLICT (run, number) DO UPDATE SET content = excluded.content";

const PAGE: &str = "
    SELECT content FROM request_made WHERE run = $1 AND $2 < number ORDER BY number LIMIT $3";

impl Store {
    /// Notes what a run asked of the network.
    pub async fn requests_made_note(
        &self,
        run: &RunId,
        made: &[RequestMade],
    ) -> Result<(), StoreError> {
        let (run, made) = (run.clone(), made.to_vec());
        self.change("note what a run asked of the network", move |tx| {
            Box::pin(async move { add(tx, &run, &made).await })
        })
        .await
    }

    /// Requests after the `after`-th, in the order in which they were begun.
    pub async fn requests_made(
        &self,
        run: &RunId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<RequestMade>, StoreError> {
        let mut connection = self.read("read what a run asked of the network").await?;
        let question = query(PAGE)
            .bind(run.as_str())
            .bind(i64::from(after))
            .bind(i64::from(limit.clamp(1, REQUESTS_PAGE_MAX)));
        let rows = connection.all(question).await?;
        rows.iter().map(|row| row.json("content")).collect()
    }
}

async fn add(tx: &mut Tx, run: &RunId, made: &[RequestMade]) -> Result<(), StoreError> {
    for one in made {
        let question = query(ADD)
            .bind(run.as_str())
            .bind(i64::from(one.number))
            .bind(canonical_of(one));
        tx.execute(question).await?;
    }
    Ok(())
}
