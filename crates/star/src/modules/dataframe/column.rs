//! A column: values of one type without wrapping, or of several with it.

use super::{
    cell::{Cell, NO_TIME},
    texts::Texts,
};
use crate::modules::refusal::argument;

/// The values of one column.
#[derive(Clone, Debug)]
pub enum Column {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Text(Texts),
    Time(Vec<i64>),
    Mixed(Vec<Cell>),
}

/// What the values of a column have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Common {
    Nothing,
    Null,
    Bool,
    Int,
    Float,
    Text,
    Time,
    Mixed,
}

impl Common {
    fn of(cell: &Cell) -> Self {
        match cell {
            Cell::None => Self::Null,
            Cell::Bool(_) => Self::Bool,
            Cell::Int(_) => Self::Int,
            Cell::Float(_) => Self::Float,
            Cell::Text(_) => Self::Text,
            Cell::Time(_) => Self::Time,
            Cell::Tree(_) => Self::Mixed,
        }
    }

    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, one) | (one, Self::Nothing) => one,
            (one, two) if one == two => one,
            (Self::Int | Self::Float | Self::Null, Self::Int | Self::Float | Self::Null) => {
                Self::Float
            }
            (Self::Time, Self::Null) | (Self::Null, Self::Time) => Self::Time,
            _ => Self::Mixed,
        }
    }
}

impl Column {
    /// The narrowest column that holds all of these.
    pub fn from_cells(cells: Vec<Cell>) -> Self {
        let common = cells.iter().fold(Common::Nothing, |common, cell| {
            common.with(Common::of(cell))
        });
        match common {
            Common::Bool => {
                Self::Bool(cells.iter().map(|cell| *cell == Cell::Bool(true)).collect())
            }
            Common::Int => Self::Int(cells.iter().filter_map(as_int).collect()),
            Common::Float => Self::Float(cells.iter().map(as_float).collect()),
            Common::Text => Self::Text(cells.iter().map(as_text).collect()),
            Common::Time => Self::Time(cells.iter().map(as_time).collect()),
            Common::Nothing | Common::Null | Common::Mixed => Self::Mixed(cells),
        }
    }

    pub fn repeated(cell: &Cell, count: usize) -> Self {
        Self::from_cells(vec![cell.clone(); count])
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::Int(values) | Self::Time(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Text(texts) => texts.len(),
            Self::Mixed(cells) => cells.len(),
        }
    }

    pub fn dtype(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int64",
            Self::Float(_) => "float64",
            Self::Time(_) => "datetime64[ns]",
            Self::Text(_) | Self::Mixed(_) => "object",
        }
    }

    pub fn is_numeric(&self) -> bool {
        matches!(self, Self::Bool(_) | Self::Int(_) | Self::Float(_))
    }

    pub fn cell(&self, at: usize) -> Cell {
        match self {
            Self::Bool(values) => Cell::Bool(values[at]),
            Self::Int(values) => Cell::Int(values[at]),
            Self::Float(values) => Cell::Float(values[at]),
            Self::Text(texts) => texts.get(at).map_or(Cell::NAN, Cell::text),
            Self::Time(values) => Cell::Time(values[at]),
            Self::Mixed(cells) => cells[at].clone(),
        }
    }

    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        (0..self.len()).map(|at| self.cell(at))
    }

    /// The values at these places, in their order.
    pub fn take(&self, places: &[usize]) -> Self {
        let at = places.iter();
        match self {
            Self::Bool(values) => Self::Bool(at.map(|at| values[*at]).collect()),
            Self::Int(values) => Self::Int(at.map(|at| values[*at]).collect()),
            Self::Float(values) => Self::Float(at.map(|at| values[*at]).collect()),
            Self::Text(texts) => Self::Text(at.map(|at| texts.get(*at)).collect()),
            Self::Time(values) => Self::Time(at.map(|at| values[*at]).collect()),
            Self::Mixed(cells) => Self::Mixed(at.map(|at| cells[*at].clone()).collect()),
        }
    }

    /// The same where a place may be none; what is missing is NaN.
    pub fn take_some(&self, places: &[Option<usize>]) -> Self {
        if let Some(all) = places.iter().copied().collect::<Option<Vec<_>>>() {
            return self.take(&all);
        }
        let at = places.iter();
        match self {
            Self::Int(values) => Self::Float(
                at.map(|at| at.map_or(f64::NAN, |at| values[at] as f64))
                    .collect(),
            ),
            Self::Float(values) => {
                Self::Float(at.map(|at| at.map_or(f64::NAN, |at| values[at])).collect())
            }
            Self::Text(texts) => Self::Text(at.map(|at| texts.get((*at)?)).collect()),
            Self::Time(values) => {
                Self::Time(at.map(|at| at.map_or(NO_TIME, |at| values[at])).collect())
            }
            Self::Bool(_) | Self::Mixed(_) => Self::Mixed(
                at.map(|at| at.map_or(Cell::NAN, |at| self.cell(at)))
                    .collect(),
            ),
        }
    }

    /// This column and another below it.
    pub fn append(&self, below: &Self) -> Self {
        match (self, below) {
            (Self::Int(one), Self::Int(two)) => Self::Int([&one[..], two].concat()),
            (Self::Float(one), Self::Float(two)) => Self::Float([&one[..], two].concat()),
            (Self::Bool(one), Self::Bool(two)) => Self::Bool([&one[..], two].concat()),
            (Self::Text(one), Self::Text(two)) => {
                Self::Text(one.iter().chain(two.iter()).collect())
            }
            _ if self.len() == 0 => below.clone(),
            _ if below.len() == 0 => self.clone(),
            _ => Self::from_cells(self.cells().chain(below.cells()).collect()),
        }
    }

    /// The column with one value changed; its type widens when it has to.
    pub fn with(&self, at: usize, cell: Cell) -> Self {
        let mut changed = self.clone();
        match (&mut changed, &cell) {
            (Self::Bool(values), Cell::Bool(truth)) => values[at] = *truth,
            (Self::Int(values), Cell::Int(whole)) => values[at] = *whole,
            (Self::Float(values), Cell::Int(whole)) => values[at] = *whole as f64,
            (Self::Float(values), Cell::Float(float)) => values[at] = *float,
            (Self::Time(values), Cell::Time(time)) => values[at] = *time,
            (Self::Mixed(cells), _) => cells[at] = cell,
            _ => {
                let mut cells: Vec<Cell> = self.cells().collect();
                cells[at] = cell;
                return Self::from_cells(cells);
            }
        }
        changed
    }

    /// The values as another type.
    ///
    /// # Errors
    ///
    /// When there is no such type, or a value does not fit it.
    pub fn astype(&self, name: &str) -> starlark::Result<Self> {
        match name {
            "int" | "int64" | "int32" => {
                let each = self.cells().map(|cell| to_int(&cell));
                Ok(Self::Int(each.collect::<starlark::Result<_>>()?))
            }
            "float" | "float64" | "float32" => {
                let each = self.cells().map(|cell| to_float(&cell));
                Ok(Self::Float(each.collect::<starlark::Result<_>>()?))
            }
            "bool" => Ok(Self::Bool(
                self.cells().map(|cell| is_true(&cell)).collect(),
            )),
            "str" | "string" => {
                let texts: Vec<String> = self.cells().map(|cell| cell.plain()).collect();
                Ok(Self::Text(texts.iter().map(|text| Some(&**text)).collect()))
            }
            "object" => Ok(match self {
                Self::Text(_) => self.clone(),
                _ => Self::Mixed(self.cells().collect()),
            }),
            "datetime64[ns]" => {
                let each = self.cells().map(|cell| to_time(&cell));
                Ok(Self::Time(each.collect::<starlark::Result<_>>()?))
            }
            _ => Err(argument(format!("data type {name:?} not understood"))),
        }
    }
}

fn as_int(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Int(whole) => Some(*whole),
        _ => None,
    }
}

fn as_float(cell: &Cell) -> f64 {
    cell.number().unwrap_or(f64::NAN)
}

fn as_text(cell: &Cell) -> Option<&str> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

fn as_time(cell: &Cell) -> i64 {
    match cell {
        Cell::Time(time) => *time,
        _ => NO_TIME,
    }
}

fn is_true(cell: &Cell) -> bool {
    match cell {
        Cell::None => false,
        Cell::Text(text) => !text.is_empty(),
        Cell::Tree(tree) => !matches!(tree.0.as_str(), "[]" | "{}"),
        other => other.number() != Some(0.0),
    }
}

fn to_int(cell: &Cell) -> starlark::Result<i64> {
    let refused = || argument(format!("cannot convert {} to integer", cell.plain()));
    match cell {
        Cell::Int(whole) | Cell::Time(whole) if !cell.is_null() => Ok(*whole),
        Cell::Text(text) => text.trim().parse().map_err(|_| refused()),
        _ => {
            let number = cell.number().ok_or_else(refused)?;
            let fits = number.is_finite() && number.abs() < 9.2e18;
            fits.then_some(number as i64).ok_or_else(refused)
        }
    }
}

fn to_float(cell: &Cell) -> starlark::Result<f64> {
    let refused = || argument(format!("could not convert {} to float", cell.plain()));
    match cell {
        Cell::None => Ok(f64::NAN),
        Cell::Text(text) => text.trim().parse().map_err(|_| refused()),
        _ => cell.number().ok_or_else(refused),
    }
}

fn to_time(cell: &Cell) -> starlark::Result<i64> {
    let refused = || argument(format!("cannot convert {} to a moment", cell.plain()));
    match cell {
        Cell::Int(time) | Cell::Time(time) => Ok(*time),
        Cell::Text(text) => {
            let moment = crate::modules::time::read(text).ok_or_else(refused)?;
            i64::try_from(moment.timestamp().as_nanosecond()).map_err(|_| refused())
        }
        _ if cell.is_null() => Ok(NO_TIME),
        _ => Err(refused()),
    }
}
