//! The questions that are asked of whatever has versions: datasets, functions.
//!
//! Each has a table of its own, so that the texts differ; what they are asked
//! with does not.

use strongroom_core::{
    digest::Digest,
    name::{ObjectName, Reference, VersionChoice},
};

use crate::{
    error::StoreError,
    page::Page,
    question::{Question, query},
};

/// One table's texts, each asked with an owner and a name first.
pub(crate) struct History {
    pub(crate) newest: &'static str,
    /// The versions below a number, newest first, at most so many.
    pub(crate) log: &'static str,
    /// The version with a digest.
    pub(crate) exactly: &'static str,
    /// The version so many before the newest.
    pub(crate) back: &'static str,
}

impl History {
    pub(crate) fn newest(&self, name: &ObjectName) -> Question<'static> {
        named(self.newest, name)
    }

    pub(crate) fn log(
        &self,
        name: &ObjectName,
        page: &Page,
    ) -> Result<Question<'static>, StoreError> {
        Ok(named(self.log, name)
            .bind(page.cursor_falling()?)
            .bind(page.fetch()))
    }

    pub(crate) fn exactly(&self, name: &ObjectName, version: &Digest) -> Question<'static> {
        named(self.exactly, name).bind(version.to_string())
    }

    pub(crate) fn meant(&self, reference: &Reference) -> Question<'static> {
        match &reference.version {
            VersionChoice::Exactly(version) => self.exactly(&reference.name, version),
            VersionChoice::Back(back) => named(self.back, &reference.name).bind(i64::from(*back)),
        }
    }
}

fn named(text: &'static str, name: &ObjectName) -> Question<'static> {
    query(text)
        .bind(name.owner.to_string())
        .bind(name.name.to_string())
}
