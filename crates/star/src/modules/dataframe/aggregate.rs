//! One value from many: counts, sums, means, least and greatest.

use super::{cell::Cell, column::Column};
use crate::modules::refusal::argument;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Count,
    Sum,
    Mean,
    Min,
    Max,
}

impl Aggregate {
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
        }
    }

    /// Whether a column of this kind has one at all.
    pub fn fits(self, column: &Column) -> bool {
        match self {
            Self::Count | Self::Min | Self::Max => true,
            Self::Sum => !matches!(column, Column::Time(_)),
            Self::Mean => column.is_numeric(),
        }
    }

    /// Of the values at these places, null left out.
    ///
    /// # Errors
    ///
    /// When the values have none, or a sum is too large.
    pub fn of(self, column: &Column, places: &[usize]) -> starlark::Result<Cell> {
        match self {
            Self::Count => {
                let known = places.iter().filter(|at| !column.cell(**at).is_null());
                Ok(Cell::Int(i64::try_from(known.count()).unwrap_or(i64::MAX)))
            }
            Self::Sum => sum(column, places),
            Self::Mean => mean(column, places),
            Self::Min => Ok(extreme(column, places, std::cmp::Ordering::is_lt)),
            Self::Max => Ok(extreme(column, places, std::cmp::Ordering::is_gt)),
        }
    }
}

fn sum(column: &Column, places: &[usize]) -> starlark::Result<Cell> {
    match column {
        Column::Int(values) => {
            let total: i128 = places.iter().map(|at| i128::from(values[*at])).sum();
            let total = i64::try_from(total);
            Ok(Cell::Int(
                total.map_err(|_| argument("a sum is larger than 64 bits"))?,
            ))
        }
        Column::Bool(values) => {
            let total = places.iter().filter(|at| values[**at]).count();
            Ok(Cell::Int(i64::try_from(total).unwrap_or(i64::MAX)))
        }
        Column::Float(values) => {
            let known = places
                .iter()
                .map(|at| values[*at])
                .filter(|value| !value.is_nan());
            Ok(Cell::Float(known.sum()))
        }
        _ => {
            let known = places
                .iter()
                .map(|at| column.cell(*at))
                .filter(|cell| !cell.is_null());
            let mut total = None;
            for cell in known {
                total = Some(match (total, cell) {
                    (None, cell) => cell,
                    (Some(Cell::Text(so_far)), Cell::Text(text)) => {
                        Cell::text(&format!("{so_far}{text}"))
                    }
                    (Some(so_far), cell) => match (so_far.number(), cell.number()) {
                        (Some(one), Some(two)) => Cell::Float(one + two),
                        _ => {
                            return Err(argument(format!(
                                "{} + {} is not supported",
                                so_far.plain(),
                                cell.plain()
                            )));
                        }
                    },
                });
            }
            Ok(total.unwrap_or(Cell::Int(0)))
        }
    }
}

fn mean(column: &Column, places: &[usize]) -> starlark::Result<Cell> {
    let mut total = 0.0;
    let mut count = 0_u64;
    for at in places {
        let cell = column.cell(*at);
        if cell.is_null() {
            continue;
        }
        total += cell
            .number()
            .ok_or_else(|| argument(format!("{} is not a number", cell.plain())))?;
        count += 1;
    }
    Ok(Cell::Float(total / count as f64))
}

fn extreme(column: &Column, places: &[usize], better: fn(std::cmp::Ordering) -> bool) -> Cell {
    let known = places
        .iter()
        .map(|at| column.cell(*at))
        .filter(|cell| !cell.is_null());
    known
        .reduce(|best, cell| if better(cell.cmp(&best)) { cell } else { best })
        .unwrap_or(Cell::NAN)
}
