//! Where the values of wanted columns lie in rows.
//!
//! Rows of JSON get to know their columns as they go, so a place is looked up
//! again whenever there are more.

use super::{Cell, Rows};

/// Wanted columns and their places.
#[derive(Debug)]
pub struct Places {
    wanted: Vec<String>,
    at: Vec<Option<usize>>,
    known: usize,
}

const ABSENT: &Cell = &Cell::Null;

impl Places {
    pub fn of(wanted: impl IntoIterator<Item = String>) -> Self {
        let wanted: Vec<String> = wanted.into_iter().collect();
        Self {
            at: vec![None; wanted.len()],
            wanted,
            known: 0,
        }
    }

    /// Looks for the places of columns that are new.
    pub fn look(&mut self, rows: &dyn Rows) {
        let columns = rows.columns();
        if columns.len() == self.known {
            return;
        }
        let (before, new) = (self.known, &columns[self.known..]);
        self.known = columns.len();
        for (name, at) in self.wanted.iter().zip(&mut self.at) {
            if at.is_none() {
                let found = new.iter().position(|column| column == name);
                *at = found.map(|place| before + place);
            }
        }
    }

    /// The wanted values of this row, in the order of the wanted columns.
    pub fn cells<'a>(&'a self, rows: &'a dyn Rows) -> impl ExactSizeIterator<Item = &'a Cell> {
        let cells = rows.cells();
        let one = move |at: &Option<usize>| at.and_then(|at| cells.get(at)).unwrap_or(ABSENT);
        self.at.iter().map(one)
    }
}
