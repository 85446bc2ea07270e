//! Lists in pages.
//!
//! A list is in one order for ever, and the cursor is where the last page
//! ended, so that what is added meanwhile neither repeats nor hides a row.

use crate::error::StoreError;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The `next` of the page before.
    pub after: Option<String>,
    /// At most [`Page::LIMIT_MAX`]; zero is one.
    pub limit: u32,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    pub items: Vec<T>,
    /// Absent on the last page.
    pub next: Option<String>,
}

impl Page {
    pub const LIMIT_MAX: u32 = 200;

    /// The first page, as long as a page can be.
    pub fn first() -> Self {
        Self {
            after: None,
            limit: Self::LIMIT_MAX,
        }
    }

    /// One more row than asked for, which tells whether there is a next page.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit.clamp(1, Self::LIMIT_MAX)) + 1
    }

    /// The cursor, or the empty text, which sorts before everything.
    pub(crate) fn cursor(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// The cursor of a list that falls from the largest number.
    pub(crate) fn cursor_falling(&self) -> Result<i64, StoreError> {
        match &self.after {
            None => Ok(i64::MAX),
            Some(raw) => raw.parse().map_err(|_| StoreError::Cursor),
        }
    }

    pub(crate) fn cut<T>(&self, mut items: Vec<T>, cursor: impl Fn(&T) -> String) -> Paged<T> {
        let limit = usize::try_from(self.fetch() - 1).expect("a page's limit is at most 200");
        let more = limit < items.len();
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Paged { items, next }
    }
}
