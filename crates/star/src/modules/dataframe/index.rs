//! The labels of rows: a plain count, one column of labels, or several.

use std::{collections::HashMap, sync::Arc};

use super::{cell::Cell, column::Column};

/// One column of labels and its name.
#[derive(Clone, Debug)]
pub struct Level {
    pub name: Option<Cell>,
    pub column: Arc<Column>,
}

/// The labels of rows.
#[derive(Clone, Debug)]
pub struct Index {
    /// At least one.
    pub levels: Vec<Level>,
    /// Whether the labels are 0, 1, 2 and so on.
    pub counted: bool,
}

impl Index {
    /// The labels 0, 1, 2 and so on.
    pub fn count(length: usize) -> Self {
        let labels = (0..).take(length).collect();
        Self {
            levels: vec![Level {
                name: None,
                column: Arc::new(Column::Int(labels)),
            }],
            counted: true,
        }
    }

    pub fn of(column: Column, name: Option<Cell>) -> Self {
        let column = Arc::new(column);
        Self {
            levels: vec![Level { name, column }],
            counted: false,
        }
    }

    pub fn len(&self) -> usize {
        self.first().len()
    }

    pub fn first(&self) -> &Column {
        &self.levels[0].column
    }

    pub fn name(&self) -> Option<&Cell> {
        self.levels[0].name.as_ref()
    }

    pub fn has_names(&self) -> bool {
        self.levels.iter().any(|level| level.name.is_some())
    }

    /// The label of a row; of several levels it is a list.
    pub fn label(&self, at: usize) -> Cell {
        if let [only] = &self.levels[..] {
            return only.column.cell(at);
        }
        let cells: Vec<Cell> = self
            .levels
            .iter()
            .map(|level| level.column.cell(at))
            .collect();
        let json = serde_json::to_string(&cells).unwrap_or_default();
        let shown: Vec<String> = cells.iter().map(Cell::plain).collect();
        Cell::Tree(Arc::new((json, format!("({})", shown.join(", ")))))
    }

    /// The row of a label.
    pub fn find(&self, label: &Cell) -> Option<usize> {
        if self.counted {
            let Cell::Int(at) = label else { return None };
            return usize::try_from(*at).ok().filter(|at| *at < self.len());
        }
        if let ([only], Cell::Text(text)) = (&self.levels[..], label)
            && let Column::Text(texts) = &*only.column
        {
            return texts.iter().position(|known| known == Some(text));
        }
        (0..self.len()).find(|at| self.label(*at) == *label)
    }

    /// The rows of all labels, the first of each.
    pub fn places(&self) -> HashMap<Cell, usize> {
        let mut places = HashMap::with_capacity(self.len());
        for at in 0..self.len() {
            places.entry(self.label(at)).or_insert(at);
        }
        places
    }

    pub fn take(&self, places: &[usize]) -> Self {
        let from_start = places.iter().enumerate().all(|(at, place)| at == *place);
        Self {
            levels: self
                .levels
                .iter()
                .map(|level| Level {
                    name: level.name.clone(),
                    column: Arc::new(level.column.take(places)),
                })
                .collect(),
            counted: self.counted && from_start,
        }
    }

    pub fn same(&self, other: &Self) -> bool {
        if self.counted && other.counted {
            return self.len() == other.len();
        }
        self.levels.len() == other.levels.len()
            && self.levels.iter().zip(&other.levels).all(|(one, two)| {
                Arc::ptr_eq(&one.column, &two.column)
                    || one.column.len() == two.column.len()
                        && one.column.cells().eq(two.column.cells())
            })
    }

    /// These labels and others below; two counts make one count.
    pub fn append(&self, below: &Self) -> Self {
        if self.counted && below.counted {
            return Self::count(self.len() + below.len());
        }
        let labels = (0..self.len())
            .map(|at| self.label(at))
            .chain((0..below.len()).map(|at| below.label(at)));
        Self::of(Column::from_cells(labels.collect()), self.name().cloned())
    }
}
