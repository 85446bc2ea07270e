//! What changed between two bodies: columns, and rows by key or by place.
//!
//! Rows are compared by the hash of what they say, column by column, so two
//! formats of the same rows do not differ. By key, the keys of a part of the
//! rows are held at once, and the bodies are read once for each part: memory
//! is bounded whatever there is to compare.

mod keyed;
mod row;

use serde_json::{Map, Value};
use strongroom_core::structure::Structure;

use self::row::RowHash;
use super::{Body, Rows, TableError, open, places::Places};
use crate::api::{ColumnChange, DatasetDiff, RowChange, RowChangeKind};

/// The most changed rows that are shown.
pub const SHOWN_MAX: u32 = 1000;

/// One side of a comparison.
pub struct Side {
    pub open: Box<dyn Fn() -> Result<Body, TableError> + Send>,
    pub structure: Structure,
    pub rows: u64,
}

/// How the rows of two bodies belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matching {
    /// The first is the first.
    Place,
    /// By the values of these columns, which name a row.
    Key(Vec<String>),
}

/// Compares two bodies and shows at most `shown_max` of the changed rows.
///
/// # Errors
///
/// [`TableError::Asked`] when a column of the key is missing, or a key names
/// two rows.
pub fn diff(
    before: &Side,
    after: &Side,
    matching: &Matching,
    shown_max: u32,
) -> Result<DatasetDiff, TableError> {
    let mut diff = DatasetDiff {
        rows_before: before.rows,
        rows_after: after.rows,
        columns: column_changes(&before.structure, &after.structure),
        ..DatasetDiff::default()
    };
    let shown_max = shown_max.min(SHOWN_MAX) as usize;
    match matching {
        Matching::Place => by_place(before, after, shown_max, &mut diff)?,
        Matching::Key(key) => keyed::by_key(before, after, key, shown_max, &mut diff)?,
    }
    Ok(diff)
}

fn column_changes(before: &Structure, after: &Structure) -> Vec<ColumnChange> {
    let find = |structure: &Structure, name: &str| {
        let mut all = structure.columns.iter();
        all.find(|column| column.name == name).cloned()
    };
    let mut changes = Vec::new();
    for column in &before.columns {
        let now = find(after, &column.name);
        if now.as_ref() != Some(column) {
            changes.push(ColumnChange {
                name: column.name.clone(),
                before: Some(column.clone()),
                after: now,
            });
        }
    }
    for column in &after.columns {
        if find(before, &column.name).is_none() {
            changes.push(ColumnChange {
                name: column.name.clone(),
                before: None,
                after: Some(column.clone()),
            });
        }
    }
    changes
}

/// Rows that are being read, with what is needed to compare them.
struct Reader<'a> {
    rows: Box<dyn Rows>,
    places: Places,
    structure: &'a Structure,
    /// From 1.
    number: u64,
}

impl<'a> Reader<'a> {
    fn open(side: &'a Side) -> Result<Self, TableError> {
        let names = side
            .structure
            .columns
            .iter()
            .map(|column| column.name.clone());
        Ok(Self {
            rows: open((side.open)()?)?,
            places: Places::of(names),
            structure: &side.structure,
            number: 0,
        })
    }

    fn advance(&mut self) -> Result<bool, TableError> {
        let is_there = self.rows.advance()?;
        self.places.look(&*self.rows);
        self.number += u64::from(is_there);
        Ok(is_there)
    }

    fn hash(&self, hasher: &RowHash) -> u128 {
        hasher.row(&self.structure.columns, self.places.cells(&*self.rows))
    }

    fn shown(&self) -> Map<String, Value> {
        row::shown_row(&self.structure.columns, self.places.cells(&*self.rows))
    }
}

fn by_place(
    before: &Side,
    after: &Side,
    shown_max: usize,
    diff: &mut DatasetDiff,
) -> Result<(), TableError> {
    let hasher = RowHash::default();
    let (mut old, mut new) = (Reader::open(before)?, Reader::open(after)?);
    loop {
        let change = match (old.advance()?, new.advance()?) {
            (false, false) => return Ok(()),
            (true, true) if old.hash(&hasher) == new.hash(&hasher) => continue,
            (true, true) => RowChangeKind::Changed,
            (true, false) => RowChangeKind::Removed,
            (false, true) => RowChangeKind::Added,
        };
        count(diff, change);
        if diff.rows.len() < shown_max {
            diff.rows.push(RowChange {
                change,
                row_before: (change != RowChangeKind::Added).then_some(old.number),
                row_after: (change != RowChangeKind::Removed).then_some(new.number),
                before: (change != RowChangeKind::Added).then(|| old.shown()),
                after: (change != RowChangeKind::Removed).then(|| new.shown()),
            });
        }
    }
}

fn count(diff: &mut DatasetDiff, change: RowChangeKind) {
    match change {
        RowChangeKind::Added => diff.added += 1,
        RowChangeKind::Removed => diff.removed += 1,
        RowChangeKind::Changed => diff.changed += 1,
    }
}
