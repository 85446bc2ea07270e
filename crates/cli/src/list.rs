//! Lists that come in pages, and how much of one is wanted.

use serde::de::DeserializeOwned;
use strongroom_server::api::Page;

use crate::{
    client::{Client, ClientError},
    error::CliError,
    ui::Ui,
};

/// The most rows that a station sends at once.
const PAGE_MAX: u32 = 200;

/// How much of a list is wanted.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Go on after this cursor, which the page before ended with
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

impl ListArgs {
    /// Reads as many pages as it takes.
    pub fn read<T: DeserializeOwned>(
        &self,
        client: &Client,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Page<T>, ClientError> {
        let mut whole = Page {
            items: Vec::new(),
            next: self.after.clone(),
        };
        loop {
            let left = self.limit.saturating_sub(whole.items.len() as u32);
            if left == 0 {
                return Ok(whole);
            }
            let mut query = query.to_vec();
            query.push(("limit", left.min(PAGE_MAX).to_string()));
            query.extend(whole.next.take().map(|cursor| ("after", cursor)));
            let page: Page<T> = client.get(path, &query)?;
            whole.items.extend(page.items);
            whole.next = page.next;
            if whole.next.is_none() {
                return Ok(whole);
            }
        }
    }
}

/// Says how to see more, or that there is nothing.
pub fn say_rest<T>(ui: &mut Ui, page: &Page<T>, nothing: &str) -> Result<(), CliError> {
    if page.items.is_empty() {
        return ui.say(nothing);
    }
    match &page.next {
        Some(cursor) => ui.say(format_args!("there are more: --after {cursor}")),
        None => Ok(()),
    }
}
