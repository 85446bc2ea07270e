//! Columns added, compared and negated, value by value.

use super::{cell::Cell, column::Column};
use crate::modules::refusal::argument;

/// What stands on the other side.
#[derive(Clone, Copy)]
pub enum Side<'a> {
    Column(&'a Column),
    Cell(&'a Cell),
}

impl Side<'_> {
    fn cell(&self, at: usize) -> Cell {
        match self {
            Self::Column(column) => column.cell(at),
            Self::Cell(cell) => (*cell).clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Sum {
    fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::FloorDivide => "//",
            Self::Remainder => "%",
        }
    }

    fn floats(self, one: f64, two: f64) -> f64 {
        match self {
            Self::Add => one + two,
            Self::Subtract => one - two,
            Self::Multiply => one * two,
            Self::Divide => one / two,
            Self::FloorDivide => (one / two).floor(),
            Self::Remainder => one - two * (one / two).floor(),
        }
    }

    /// None where the result is no integer, or does not fit one.
    fn ints(self, one: i64, two: i64) -> Option<i64> {
        match self {
            Self::Add => one.checked_add(two),
            Self::Subtract => one.checked_sub(two),
            Self::Multiply => one.checked_mul(two),
            Self::Divide => None,
            Self::FloorDivide => {
                let quotient = one.checked_div(two)?;
                let down = one.checked_rem(two)? != 0 && (one < 0) != (two < 0);
                Some(quotient - i64::from(down))
            }
            Self::Remainder => {
                let rest = one.checked_rem(two)?;
                let other_sign = rest != 0 && (rest < 0) != (two < 0);
                Some(if other_sign { rest + two } else { rest })
            }
        }
    }

    fn cells(self, one: &Cell, two: &Cell) -> starlark::Result<Cell> {
        if let (Self::Add, Cell::Text(one), Cell::Text(two)) = (self, one, two) {
            return Ok(Cell::text(&format!("{one}{two}")));
        }
        if one.is_null() || two.is_null() {
            return Ok(Cell::NAN);
        }
        if let (Cell::Int(one), Cell::Int(two)) = (one, two)
            && let Some(whole) = self.ints(*one, *two)
        {
            return Ok(Cell::Int(whole));
        }
        match (one.number(), two.number()) {
            (Some(one), Some(two)) => Ok(Cell::Float(self.floats(one, two))),
            _ => Err(argument(format!(
                "{} {} {} is not supported",
                one.plain(),
                self.sign(),
                two.plain()
            ))),
        }
    }
}

/// Each value of a column with the value beside it.
///
/// # Errors
///
/// When two values have no such result, or an integer grows too large.
pub fn calculate(sum: Sum, one: &Column, two: Side<'_>) -> starlark::Result<Column> {
    if let Column::Int(values) = one {
        let other = |at| match two {
            Side::Column(Column::Int(others)) => Some(others[at]),
            Side::Cell(Cell::Int(other)) => Some(*other),
            _ => None,
        };
        let each = values.iter().enumerate();
        let ints = each.map(|(at, value)| sum.ints(*value, other(at)?));
        if let Some(ints) = ints.collect::<Option<Vec<i64>>>() {
            return Ok(Column::Int(ints));
        }
        let all_ints = (0..values.len()).all(|at| other(at).is_some_and(|other| other != 0));
        if all_ints && !matches!(sum, Sum::Divide) {
            return Err(argument(format!(
                "a result of {} is larger than 64 bits",
                sum.sign()
            )));
        }
    }
    if let Some(floats) = floats(sum, one, two) {
        return Ok(Column::Float(floats));
    }
    let each = (0..one.len()).map(|at| sum.cells(&one.cell(at), &two.cell(at)));
    Ok(Column::from_cells(each.collect::<starlark::Result<_>>()?))
}

fn floats(sum: Sum, one: &Column, two: Side<'_>) -> Option<Vec<f64>> {
    let number = |column: &Column, at: usize| match column {
        Column::Int(values) => Some(values[at] as f64),
        Column::Float(values) => Some(values[at]),
        _ => None,
    };
    let other = |at| match two {
        Side::Column(column) => number(column, at),
        Side::Cell(Cell::Int(whole)) => Some(*whole as f64),
        Side::Cell(Cell::Float(float)) => Some(*float),
        Side::Cell(_) => None,
    };
    let each = (0..one.len()).map(|at| Some(sum.floats(number(one, at)?, other(at)?)));
    each.collect()
}

/// The same with the sides the other way round.
///
/// # Errors
///
/// As [`calculate`].
pub fn calculate_reversed(sum: Sum, one: &Cell, two: &Column) -> starlark::Result<Column> {
    calculate(sum, &Column::repeated(one, two.len()), Side::Column(two))
}

impl Test {
    pub fn parse(sign: &str) -> Option<Self> {
        Some(match sign {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn cells(self, one: &Cell, two: &Cell) -> starlark::Result<bool> {
        if one.is_null() || two.is_null() {
            return Ok(self == Self::NotEqual);
        }
        let order = one.cmp(two);
        let ordered = || match one.comparable(two) {
            true => Ok(order),
            false => Err(argument(format!(
                "{} and {} have no order",
                one.plain(),
                two.plain()
            ))),
        };
        // Zero and minus zero are equal, though one sorts before the other.
        let order = match (one.number(), two.number()) {
            (Some(one), Some(two)) if one == two => std::cmp::Ordering::Equal,
            _ => match self {
                Self::Equal | Self::NotEqual => order,
                _ => ordered()?,
            },
        };
        Ok(match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        })
    }
}

/// Tests each value against the value beside it; null passes only `!=`.
///
/// # Errors
///
/// When two values have no order.
pub fn test(test: Test, one: &Column, two: Side<'_>) -> starlark::Result<Column> {
    let each = (0..one.len()).map(|at| test.cells(&one.cell(at), &two.cell(at)));
    Ok(Column::Bool(each.collect::<starlark::Result<_>>()?))
}

/// The truths of a column of nothing else.
pub fn truths(column: &Column) -> Option<Vec<bool>> {
    match column {
        Column::Bool(values) => Some(values.clone()),
        Column::Mixed(cells) => cells
            .iter()
            .map(|cell| match cell {
                Cell::Bool(truth) => Some(*truth),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}
