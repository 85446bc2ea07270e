//! Two tables joined where their keys are equal.

use std::{collections::HashMap, sync::Arc};

use super::{
    cell::Cell,
    column::Column,
    frame::{Frame, check_size},
    index::Index,
};
use crate::modules::refusal::argument;

/// Which rows stay that have no partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Inner,
    Left,
    Right,
    Outer,
}

impl How {
    pub fn parse(name: &str) -> starlark::Result<Self> {
        match name {
            "inner" => Ok(Self::Inner),
            "left" => Ok(Self::Left),
            "right" => Ok(Self::Right),
            "outer" => Ok(Self::Outer),
            _ => Err(argument(format!(
                "how has to be inner, left, right or outer, not {name:?}"
            ))),
        }
    }
}

/// Columns to join on, left and right, and what is put behind names that both
/// tables have.
pub struct Keys {
    pub left: Vec<usize>,
    pub right: Vec<usize>,
    pub suffixes: [String; 2],
}

type Pair = (Option<usize>, Option<usize>);

/// Joins two tables.
///
/// # Errors
///
/// When the table would be too large, or two columns would have one name.
pub fn merge(left: &Frame, right: &Frame, keys: &Keys, how: How) -> starlark::Result<Frame> {
    let width = left.names.len() + right.names.len();
    let pairs = match how {
        How::Right => {
            let flipped = joined((right, &keys.right), (left, &keys.left), true, width)?;
            flipped
                .into_iter()
                .map(|(right, left)| (left, right))
                .collect()
        }
        _ => {
            let keep = how != How::Inner;
            let mut pairs = joined((left, &keys.left), (right, &keys.right), keep, width)?;
            if how == How::Outer {
                let met: std::collections::HashSet<usize> =
                    pairs.iter().filter_map(|(_, right)| *right).collect();
                let alone = (0..right.rows()).filter(|row| !met.contains(row));
                pairs.extend(alone.map(|row| (None, Some(row))));
                check_size(pairs.len(), width)?;
                sort_by_key(&mut pairs, left, right, keys);
            }
            pairs
        }
    };
    build(left, right, keys, &pairs)
}

fn key(frame: &Frame, columns: &[usize], row: usize) -> Vec<Cell> {
    columns
        .iter()
        .map(|at| frame.columns[*at].cell(row))
        .collect()
}

/// Each row of the first table with each of its partners in the second.
fn joined(
    (one, one_keys): (&Frame, &[usize]),
    (two, two_keys): (&Frame, &[usize]),
    keep_alone: bool,
    width: usize,
) -> starlark::Result<Vec<Pair>> {
    let mut partners: HashMap<Vec<Cell>, Vec<usize>> = HashMap::new();
    for row in 0..two.rows() {
        partners
            .entry(key(two, two_keys, row))
            .or_default()
            .push(row);
    }
    // Counted before they are made: equal keys multiply.
    let count = |row: usize| match partners.get(&key(one, one_keys, row)) {
        Some(found) => found.len(),
        None => usize::from(keep_alone),
    };
    let total = (0..one.rows()).fold(0_usize, |total, row| total.saturating_add(count(row)));
    check_size(total, width)?;
    let mut pairs = Vec::with_capacity(total);
    for row in 0..one.rows() {
        match partners.get(&key(one, one_keys, row)) {
            Some(found) => pairs.extend(found.iter().map(|other| (Some(row), Some(*other)))),
            None if keep_alone => pairs.push((Some(row), None)),
            None => {}
        }
    }
    Ok(pairs)
}

fn sort_by_key(pairs: &mut [Pair], left: &Frame, right: &Frame, keys: &Keys) {
    pairs.sort_by_cached_key(|pair| match pair {
        (Some(row), _) => key(left, &keys.left, *row),
        (None, Some(row)) => key(right, &keys.right, *row),
        (None, None) => Vec::new(),
    });
}

fn build(left: &Frame, right: &Frame, keys: &Keys, pairs: &[Pair]) -> starlark::Result<Frame> {
    let lefts: Vec<Option<usize>> = pairs.iter().map(|(left, _)| *left).collect();
    let rights: Vec<Option<usize>> = pairs.iter().map(|(_, right)| *right).collect();
    // A key of one name on both sides becomes one column.
    let shared: HashMap<usize, usize> = keys
        .left
        .iter()
        .zip(&keys.right)
        .filter(|(one, two)| left.names[**one] == right.names[**two])
        .map(|(one, two)| (*one, *two))
        .collect();
    let mut names = Vec::new();
    let mut columns = Vec::new();
    for (at, name) in left.names.iter().enumerate() {
        let column = &left.columns[at];
        if let Some(other) = shared.get(&at) {
            names.push(name.clone());
            columns.push(either(column, &right.columns[*other], pairs));
            continue;
        }
        let clash = right
            .place(name)
            .is_some_and(|other| !shared.values().any(|at| *at == other));
        names.push(if clash {
            suffixed(name, &keys.suffixes[0])
        } else {
            name.clone()
        });
        columns.push(column.take_some(&lefts));
    }
    for (at, name) in right.names.iter().enumerate() {
        if shared.values().any(|shared| *shared == at) {
            continue;
        }
        let clash = left
            .place(name)
            .is_some_and(|other| !shared.contains_key(&other));
        names.push(if clash {
            suffixed(name, &keys.suffixes[1])
        } else {
            name.clone()
        });
        columns.push(right.columns[at].take_some(&rights));
    }
    Ok(Frame {
        names,
        columns: columns.into_iter().map(Arc::new).collect(),
        index: Index::count(pairs.len()),
    })
}

fn either(left: &Column, right: &Column, pairs: &[Pair]) -> Column {
    let lefts: Option<Vec<usize>> = pairs.iter().map(|(left, _)| *left).collect();
    if let Some(lefts) = lefts {
        return left.take(&lefts);
    }
    let cells = pairs.iter().map(|pair| match pair {
        (Some(row), _) => left.cell(*row),
        (None, Some(row)) => right.cell(*row),
        (None, None) => Cell::NAN,
    });
    Column::from_cells(cells.collect())
}

fn suffixed(name: &Cell, suffix: &str) -> Cell {
    Cell::text(&format!("{}{suffix}", name.plain()))
}
