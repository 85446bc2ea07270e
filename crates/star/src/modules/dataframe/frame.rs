//! A table apart from Starlark: columns of one length, their names, and the
//! labels of the rows. Columns are shared between tables, not copied.

use std::{collections::HashSet, sync::Arc};

use super::{cell::Cell, column::Column, index::Index};
use crate::modules::{
    bounds::TABLE_CELLS_MAX,
    refusal::{Refusal, argument},
};

/// A table.
#[derive(Clone, Debug)]
pub struct Frame {
    pub names: Vec<Cell>,
    pub columns: Vec<Arc<Column>>,
    pub index: Index,
}

/// Refuses a table of more cells than the bound.
pub fn check_size(rows: usize, columns: usize) -> starlark::Result<()> {
    match rows.checked_mul(columns.max(1)) {
        Some(cells) if cells <= TABLE_CELLS_MAX => Ok(()),
        _ => Err(Refusal::TooLarge {
            what: "the table",
            size_max: TABLE_CELLS_MAX as u64,
            unit: "cells",
        }
        .into()),
    }
}

impl Frame {
    /// A table of columns of one length, its rows counted.
    pub fn counted(names: Vec<Cell>, columns: Vec<Column>) -> Self {
        let rows = columns.first().map_or(0, Column::len);
        Self {
            names,
            columns: columns.into_iter().map(Arc::new).collect(),
            index: Index::count(rows),
        }
    }

    pub fn rows(&self) -> usize {
        self.index.len()
    }

    pub fn place(&self, name: &Cell) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The place of a column.
    ///
    /// # Errors
    ///
    /// When there is no column of this name.
    pub fn column(&self, name: &Cell) -> starlark::Result<usize> {
        self.place(name)
            .ok_or_else(|| argument(format!("there is no column {}", shown(name))))
    }

    /// The rows at these places, in their order.
    pub fn take(&self, places: &[usize]) -> Self {
        Self {
            names: self.names.clone(),
            columns: self
                .columns
                .iter()
                .map(|column| Arc::new(column.take(places)))
                .collect(),
            index: self.index.take(places),
        }
    }

    /// Some of the columns.
    pub fn select(&self, places: &[usize]) -> Self {
        Self {
            names: places.iter().map(|at| self.names[*at].clone()).collect(),
            columns: places
                .iter()
                .map(|at| Arc::clone(&self.columns[*at]))
                .collect(),
            index: self.index.clone(),
        }
    }

    pub fn row(&self, at: usize) -> Vec<Cell> {
        self.columns.iter().map(|column| column.cell(at)).collect()
    }

    /// Sets a column, or adds it at the end.
    ///
    /// # Errors
    ///
    /// When its length is not that of the table.
    pub fn set(&mut self, name: Cell, column: Arc<Column>) -> starlark::Result<()> {
        if self.columns.is_empty() && self.rows() == 0 {
            self.index = Index::count(column.len());
        }
        if column.len() != self.rows() {
            return Err(argument(format!(
                "length of values ({}) does not match length of index ({})",
                column.len(),
                self.rows()
            )));
        }
        check_size(self.rows(), self.columns.len() + 1)?;
        match self.place(&name) {
            Some(at) => self.columns[at] = column,
            None => {
                self.names.push(name);
                self.columns.push(column);
            }
        }
        Ok(())
    }

    /// This table and the rows of another below it; columns go by their names,
    /// and what is missing is NaN.
    ///
    /// # Errors
    ///
    /// When the table would be too large.
    pub fn append(&self, below: &Self) -> starlark::Result<Self> {
        if self.columns.is_empty() {
            return Ok(below.clone());
        }
        let mut names = self.names.clone();
        let known: HashSet<&Cell> = self.names.iter().collect();
        names.extend(
            below
                .names
                .iter()
                .filter(|name| !known.contains(name))
                .cloned(),
        );
        check_size(self.rows() + below.rows(), names.len())?;
        let part = |of: &Self, name: &Cell| match of.place(name) {
            Some(at) => Arc::clone(&of.columns[at]),
            None => Arc::new(Column::repeated(&Cell::NAN, of.rows())),
        };
        let columns = names
            .iter()
            .map(|name| Arc::new(part(self, name).append(&part(below, name))))
            .collect();
        Ok(Self {
            names,
            columns,
            index: self.index.append(&below.index),
        })
    }

    /// The places of the rows in the order of some columns; null comes last.
    pub fn sorted(&self, by: &[(usize, bool)]) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.rows()).collect();
        for (column, ascending) in by.iter().rev() {
            let keys: Vec<Cell> = self.columns[*column].cells().collect();
            places.sort_by(|one, two| {
                let (one, two) = (&keys[*one], &keys[*two]);
                let order = one.cmp(two);
                let known = !one.is_null() && !two.is_null();
                if known && !ascending {
                    order.reverse()
                } else {
                    order
                }
            });
        }
        places
    }

    /// The places of the first row of each set of equal ones.
    pub fn distinct(&self, columns: &[usize]) -> Vec<usize> {
        let mut seen = HashSet::new();
        let key = |row: usize| -> Vec<Cell> {
            let each = columns.iter();
            each.map(|column| self.columns[*column].cell(row)).collect()
        };
        (0..self.rows())
            .filter(|row| seen.insert(key(*row)))
            .collect()
    }

    /// The labels of the rows as columns, and the rows counted.
    pub fn reset_index(&self, keep: bool) -> starlark::Result<Self> {
        let mut reset = self.clone();
        reset.index = Index::count(self.rows());
        if !keep {
            return Ok(reset);
        }
        let single = self.index.levels.len() == 1;
        for (at, level) in self.index.levels.iter().enumerate() {
            let name = match &level.name {
                Some(name) => name.clone(),
                None if single && self.place(&Cell::text("index")).is_none() => Cell::text("index"),
                None => Cell::text(&format!("level_{at}")),
            };
            if self.place(&name).is_some() {
                return Err(argument(format!(
                    "cannot insert {}, already exists",
                    name.plain()
                )));
            }
            reset.names.insert(at, name);
            reset.columns.insert(at, Arc::clone(&level.column));
        }
        Ok(reset)
    }
}

/// A name as an error shows it.
pub fn shown(name: &Cell) -> String {
    match name {
        Cell::Text(text) => format!("{text:?}"),
        other => other.plain(),
    }
}

/// A column moved down, or up when `periods` is negative.
pub fn shifted(column: &Column, periods: i64) -> Column {
    let length = i64::try_from(column.len()).unwrap_or(i64::MAX);
    let places: Vec<Option<usize>> = (0..length)
        .map(|at| {
            let from = at
                .checked_sub(periods)
                .filter(|from| (0..length).contains(from))?;
            usize::try_from(from).ok()
        })
        .collect();
    match column {
        // What is moved in among texts is None, and NaN among anything else.
        Column::Text(_) | Column::Mixed(_) => {
            let cells = places
                .iter()
                .map(|at| at.map_or(Cell::None, |at| column.cell(at)));
            Column::from_cells(cells.collect())
        }
        _ => column.take_some(&places),
    }
}
