//! A question to the database: its text and what is bound to it.
//!
//! The text is the same for both databases and never put together at run
//! time. `$1` is what was bound first.

use std::borrow::Cow;

/// A statement with its values.
#[derive(Debug)]
pub(crate) struct Question<'q> {
    pub text: &'static str,
    pub values: Vec<Bound<'q>>,
}

/// A value. What is absent has a kind too, since PostgreSQL wants to know it.
#[derive(Debug)]
pub(crate) enum Bound<'q> {
    Text(Option<Cow<'q, str>>),
    Number(Option<i64>),
}

/// A question with nothing bound to it yet.
pub(crate) fn query<'q>(text: &'static str) -> Question<'q> {
    Question {
        text,
        values: Vec::new(),
    }
}

impl<'q> Question<'q> {
    pub fn bind(mut self, value: impl Into<Bound<'q>>) -> Self {
        self.values.push(value.into());
        self
    }
}

impl<'q> From<&'q str> for Bound<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl From<String> for Bound<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(text)))
    }
}

impl<'q> From<Cow<'q, str>> for Bound<'q> {
    fn from(text: Cow<'q, str>) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Bound<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Cow::Owned))
    }
}

impl From<i64> for Bound<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Bound<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}
