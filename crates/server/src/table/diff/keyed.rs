//! Comparing rows that a key names.

use std::collections::{BTreeMap, HashMap};

use strongroom_core::{structure::Column, text::shown};

use super::{Reader, RowHash, Side, count};
use crate::{
    api::{DatasetDiff, RowChange, RowChangeKind},
    table::{Cell, TableError, places::Places},
};

/// The keys that are held at once.
const KEYS_HELD_MAX: u64 = 500_000;
/// How often the bodies are read, at most.
const PASSES_MAX: u64 = 200;

/// The row of the older body that a key names.
struct Old {
    hash: u128,
    number: u64,
    /// Where the newer body has it.
    found: Option<u64>,
}

/// The columns of a key, on one side.
struct Key<'a> {
    columns: Vec<Column>,
    places: Places,
    hasher: &'a RowHash,
}

impl<'a> Key<'a> {
    fn of(side: &Side, names: &[String], hasher: &'a RowHash) -> Result<Self, TableError> {
        let mut columns = Vec::new();
        for name in names {
            let mut all = side.structure.columns.iter();
            let found = all.find(|column| column.name == *name);
            let missing = || TableError::Asked(format!("there is no column `{}`", shown(name, 80)));
            columns.push(found.ok_or_else(missing)?.clone());
        }
        Ok(Self {
            columns,
            places: Places::of(names.iter().cloned()),
            hasher,
        })
    }

    fn hash(&mut self, reader: &Reader<'_>) -> u128 {
        self.places.look(&*reader.rows);
        let cells = self.places.cells(&*reader.rows);
        self.hasher.row(&self.columns, cells)
    }

    fn shown(&self, reader: &Reader<'_>) -> String {
        let cells = self.places.cells(&*reader.rows).map(Cell::to_text);
        let texts: Vec<_> = cells.collect();
        shown(&texts.join(", "), 120)
    }
}

pub fn by_key(
    before: &Side,
    after: &Side,
    names: &[String],
    shown_max: usize,
    diff: &mut DatasetDiff,
) -> Result<(), TableError> {
    let passes = before.rows.max(after.rows).div_ceil(KEYS_HELD_MAX).max(1);
    if PASSES_MAX < passes {
        let most = PASSES_MAX * KEYS_HELD_MAX;
        let why = format!("more than {most} rows are not compared by key");
        return Err(TableError::TooMuch(why));
    }
    let hasher = RowHash::default();
    let mut shown = Vec::new();
    for pass in 0..passes {
        let part = |hash: u128| hash % u128::from(passes) == u128::from(pass);
        let mut rows = older(before, names, &hasher, &part)?;
        newer(
            after,
            names,
            &hasher,
            &part,
            &mut rows,
            |change, old, new| {
                count(diff, change);
                if shown.len() < shown_max {
                    shown.push((change, old, new));
                }
            },
        )?;
        for old in rows.values().filter(|old| old.found.is_none()) {
            count(diff, RowChangeKind::Removed);
            if shown.len() < shown_max {
                shown.push((RowChangeKind::Removed, Some(old.number), None));
            }
        }
    }
    shown.sort_by_key(|(_, old, new)| (new.or(*old), old.is_some()));
    diff.rows = contents(before, after, &shown)?;
    Ok(())
}

/// One part of the older rows, by the hashes of their keys.
fn older(
    side: &Side,
    names: &[String],
    hasher: &RowHash,
    part: &dyn Fn(u128) -> bool,
) -> Result<HashMap<u128, Old>, TableError> {
    let mut key = Key::of(side, names, hasher)?;
    let mut reader = Reader::open(side)?;
    let mut rows: HashMap<u128, Old> = HashMap::new();
    while reader.advance()? {
        let name = key.hash(&reader);
        if !part(name) {
            continue;
        }
        let (hash, number) = (reader.hash(hasher), reader.number);
        let old = Old {
            hash,
            number,
            found: None,
        };
        if let Some(first) = rows.insert(name, old) {
            return Err(twice("before", first.number, &reader, &key));
        }
    }
    Ok(rows)
}

/// Compares one part of the newer rows with the older ones.
fn newer(
    side: &Side,
    names: &[String],
    hasher: &RowHash,
    part: &dyn Fn(u128) -> bool,
    rows: &mut HashMap<u128, Old>,
    mut changed: impl FnMut(RowChangeKind, Option<u64>, Option<u64>),
) -> Result<(), TableError> {
    /// Stands for an older row where there is none.
    const NEVER: u64 = 0;
    let mut key = Key::of(side, names, hasher)?;
    let mut reader = Reader::open(side)?;
    while reader.advance()? {
        let name = key.hash(&reader);
        if !part(name) {
            continue;
        }
        let number = reader.number;
        let old = rows.entry(name).or_insert(Old {
            hash: 0,
            number: NEVER,
            found: None,
        });
        if let Some(first) = old.found.replace(number) {
            return Err(twice("after", first, &reader, &key));
        }
        if old.number == NEVER {
            changed(RowChangeKind::Added, None, Some(number));
        } else if old.hash != reader.hash(hasher) {
            changed(RowChangeKind::Changed, Some(old.number), Some(number));
        }
    }
    Ok(())
}

fn twice(side: &str, first: u64, reader: &Reader<'_>, key: &Key<'_>) -> TableError {
    let (second, named) = (reader.number, key.shown(reader));
    TableError::Asked(format!(
        "rows {first} and {second} of what was {side} have the same key `{named}`"
    ))
}

type Shown = (RowChangeKind, Option<u64>, Option<u64>);

/// Reads the rows that are to be shown.
fn contents(before: &Side, after: &Side, shown: &[Shown]) -> Result<Vec<RowChange>, TableError> {
    let old = picked(before, shown.iter().filter_map(|(_, old, _)| *old))?;
    let new = picked(after, shown.iter().filter_map(|(_, _, new)| *new))?;
    let one = |(change, row_before, row_after): &Shown| RowChange {
        change: *change,
        row_before: *row_before,
        row_after: *row_after,
        before: row_before.and_then(|row| old.get(&row).cloned()),
        after: row_after.and_then(|row| new.get(&row).cloned()),
    };
    Ok(shown.iter().map(one).collect())
}

type Picked = BTreeMap<u64, serde_json::Map<String, serde_json::Value>>;

fn picked(side: &Side, wanted: impl Iterator<Item = u64>) -> Result<Picked, TableError> {
    let mut rows: Picked = wanted.map(|row| (row, Default::default())).collect();
    let Some(last) = rows.last_key_value().map(|(row, _)| *row) else {
        return Ok(rows);
    };
    let mut reader = Reader::open(side)?;
    while reader.number < last && reader.advance()? {
        if let Some(row) = rows.get_mut(&reader.number) {
            *row = reader.shown();
        }
    }
    Ok(rows)
}
