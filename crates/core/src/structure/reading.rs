//! Which file of a version is its body, and how to read it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Column, Format, StructureAsked, StructureError};
use crate::{
    digest::Digest,
    json,
    tree::{Tree, TreePath},
};

/// Counts up when the same bytes would be found to have another structure, or
/// other statistics, than before.
const FOUND_BY: u32 = 1;

/// How to read a body: all that has to be known before its first byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub format: Format,
    /// For CSV; absent: it is found in the first line.
    pub delimiter: Option<char>,
    /// For CSV.
    pub header: bool,
    /// For CSV.
    pub nulls: Vec<String>,
    /// What the columns have to be; absent: they are found.
    pub columns: Option<Vec<Column>>,
    pub schema: Option<Value>,
}

impl Reading {
    /// The digest under which what was found by this reading is kept.
    pub fn digest(&self) -> Digest {
        let content = json!({ "found_by": FOUND_BY, "reading": self });
        Digest::of(json::canonical(&content).as_bytes())
    }
}

impl StructureAsked {
    /// Which file of `tree` has the rows, and how it is to be read.
    ///
    /// # Errors
    ///
    /// [`StructureError::WhichBody`] when no file, or more than one, could be
    /// the body and none is named. That is no fault unless a structure was given.
    pub fn reading(&self, tree: &Tree) -> Result<(TreePath, Reading), StructureError> {
        let body = self.body(tree)?;
        let format = self.format.or_else(|| Format::of_path(&body));
        let format = format.ok_or_else(|| StructureError::NoFormat(body.clone()))?;
        if format != Format::Csv {
            self.only_csv()?;
        }
        let tabs = body.as_str().to_ascii_lowercase().ends_with(".tsv");
        let delimiter = self.delimiter.or(tabs.then_some('\t'));
        let reading = Reading {
            format,
            delimiter: delimiter.filter(|_| format == Format::Csv),
            header: self.header.unwrap_or(true),
            nulls: self.nulls.clone(),
            columns: self.columns.clone(),
            schema: self.schema.clone(),
        };
        Ok((body, reading))
    }

    fn only_csv(&self) -> Result<(), StructureError> {
        let said = [
            ("delimiter", self.delimiter.is_some()),
            ("header", self.header.is_some()),
            ("nulls", !self.nulls.is_empty()),
        ];
        match said.into_iter().find(|(_, said)| *said) {
            Some((what, _)) => Err(StructureError::OnlyCsv(what)),
            None => Ok(()),
        }
    }

    fn body(&self, tree: &Tree) -> Result<TreePath, StructureError> {
        if let Some(body) = &self.body {
            return match tree.get(body) {
                Some(_) => Ok(body.clone()),
                None => Err(StructureError::NoBody(body.clone())),
            };
        }
        let paths = || tree.files().map(|(path, _)| path);
        if let (1, Some(only)) = (tree.file_count(), paths().next())
            && (self.format.is_some() || Format::of_path(only).is_some())
        {
            return Ok(only.clone());
        }
        let mut could = paths().filter(|path| Format::of_path(path).is_some());
        let whole = |path: &&TreePath| path.as_str().starts_with("body.");
        match (could.next(), could.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(StructureError::WhichBody(
                "there is no file of rows (.csv, .tsv, .json, .ndjson, .jsonl, .parquet)"
                    .to_owned(),
            )),
            (Some(one), Some(two)) => {
                let mut bodies = paths().filter(whole);
                match (bodies.next(), bodies.next()) {
                    (Some(only), None) if Format::of_path(only).is_some() => Ok(only.clone()),
                    _ => Err(StructureError::WhichBody(format!(
                        "`{one}`, `{two}` or another file could have the rows; name it as `body`"
                    ))),
                }
            }
        }
    }
}
