//! What can be asked of a table, and how it is changed.

use std::sync::Arc;

use starlark::{
    collections::SmallMap,
    environment::MethodsBuilder,
    eval::Evaluator,
    starlark_module,
    values::{Heap, Value, ValueLike},
};

use super::{
    build,
    cell::Cell,
    column::Column,
    data_frame::{AtIndexer, DataFrame},
    frame::{Frame, shifted, shown},
    group::GroupBy,
    index::Index,
    labels::Labels,
    merge::{How, Keys, merge},
    series::Series,
    text,
};
use crate::modules::refusal::argument;

fn places<'v>(
    frame: &Frame,
    names: Option<Value<'v>>,
    heap: Heap<'v>,
) -> starlark::Result<Vec<usize>> {
    match names.filter(|names| !names.is_none()) {
        None => Ok((0..frame.columns.len()).collect()),
        Some(names) => {
            let names = build::names(names, heap)?;
            names.iter().map(|name| frame.column(name)).collect()
        }
    }
}

/// A table without some rows or columns.
fn without(frame: &Frame, labels: &[Cell], of_columns: bool) -> starlark::Result<Frame> {
    let known = |label: &Cell| match of_columns {
        true => frame.place(label).is_some(),
        false => frame.index.find(label).is_some(),
    };
    let unknown: Vec<String> = labels
        .iter()
        .filter(|label| !known(label))
        .map(shown)
        .collect();
    if !unknown.is_empty() {
        return Err(argument(format!(
            "[{}] not found in axis",
            unknown.join(", ")
        )));
    }
    if of_columns {
        let kept: Vec<usize> = (0..frame.columns.len())
            .filter(|at| !labels.contains(&frame.names[*at]))
            .collect();
        return Ok(frame.select(&kept));
    }
    let gone: std::collections::HashSet<&Cell> = labels.iter().collect();
    let kept: Vec<usize> = (0..frame.rows())
        .filter(|at| !gone.contains(&frame.index.label(*at)))
        .collect();
    Ok(frame.take(&kept))
}

#[starlark_module]
pub fn attributes(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn at(this: &DataFrame) -> starlark::Result<AtIndexer> {
        Ok(AtIndexer { of: this.clone() })
    }
    #[starlark(attribute)]
    fn columns(this: &DataFrame) -> starlark::Result<Labels> {
        Ok(Labels::of(this.snapshot().names))
    }
    #[starlark(attribute)]
    fn index(this: &DataFrame) -> starlark::Result<Labels> {
        let index = this.snapshot().index;
        Ok(Labels { index })
    }
    /// How many rows and how many columns.
    #[starlark(attribute)]
    fn shape(this: &DataFrame) -> starlark::Result<(i32, i32)> {
        let frame = this.snapshot();
        let number = |size| i32::try_from(size).unwrap_or(i32::MAX);
        Ok((number(frame.rows()), number(frame.columns.len())))
    }
    #[starlark(attribute)]
    fn size(this: &DataFrame) -> starlark::Result<i32> {
        let frame = this.snapshot();
        Ok(i32::try_from(frame.rows() * frame.columns.len()).unwrap_or(i32::MAX))
    }
    #[starlark(attribute)]
    fn ndim(this: &DataFrame) -> starlark::Result<i32> {
        let _ = this;
        Ok(2)
    }
    #[starlark(attribute)]
    fn empty(this: &DataFrame) -> starlark::Result<bool> {
        let frame = this.snapshot();
        Ok(frame.rows() == 0 || frame.columns.is_empty())
    }
    /// The types of the columns.
    #[starlark(attribute)]
    fn dtypes(this: &DataFrame) -> starlark::Result<Series> {
        let frame = this.snapshot();
        let types = frame
            .columns
            .iter()
            .map(|column| Cell::text(column.dtype()));
        let column = Arc::new(Column::from_cells(types.collect()));
        let index = Index::of(Column::from_cells(frame.names), None);
        Ok(Series {
            column,
            index,
            name: None,
        })
    }
}

#[starlark_module]
pub fn rows(builder: &mut MethodsBuilder) {
    fn head(this: &DataFrame, #[starlark(default = 5)] n: i32) -> starlark::Result<DataFrame> {
        let frame = this.snapshot();
        let places: Vec<usize> = Series::ends(frame.rows(), n, false).collect();
        Ok(DataFrame::new(frame.take(&places)))
    }

    fn tail(this: &DataFrame, #[starlark(default = 5)] n: i32) -> starlark::Result<DataFrame> {
        let frame = this.snapshot();
        let places: Vec<usize> = Series::ends(frame.rows(), n, true).collect();
        Ok(DataFrame::new(frame.take(&places)))
    }

    /// The rows of another table, or a list of rows, below these.
    fn append<'v>(
        this: &DataFrame,
        #[starlark(require = pos)] other: Value<'v>,
        heap: Heap<'v>,
    ) -> starlark::Result<DataFrame> {
        let frame = this.snapshot();
        let mut below = build::frame(Some(other), None, None, heap)?;
        let is_list = other.downcast_ref::<DataFrame>().is_none();
        let unnamed = below.names.iter().all(|name| matches!(name, Cell::Int(_)));
        if is_list && unnamed && below.names.len() == frame.names.len() {
            below.names.clone_from(&frame.names);
        }
        Ok(DataFrame::new(frame.append(&below)?))
    }

    /// Rows in the order of some columns; `ascending` may be a list.
    fn sort_values<'v>(
        this: &DataFrame,
        by: Value<'v>,
        ascending: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<DataFrame> {
        let frame = this.snapshot();
        let by = places(&frame, Some(by), heap)?;
        let ways: Vec<bool> = match ascending {
            None => vec![true; by.len()],
            Some(ways) => match build::items(ways, heap) {
                None => vec![ways.to_bool(); by.len()],
                Some(ways) => ways.iter().map(|way| way.to_bool()).collect(),
            },
        };
        if ways.len() != by.len() {
            return Err(argument(format!(
                "length of ascending ({}) != length of by ({})",
                ways.len(),
                by.len()
            )));
        }
        let by: Vec<(usize, bool)> = by.into_iter().zip(ways).collect();
        Ok(DataFrame::new(frame.take(&frame.sorted(&by))))
    }

    fn drop_duplicates<'v>(
        this: &DataFrame,
        subset: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<DataFrame> {
        let frame = this.snapshot();
        let columns = places(&frame, subset, heap)?;
        Ok(DataFrame::new(frame.take(&frame.distinct(&columns))))
    }

    fn shift(
        this: &DataFrame,
        #[starlark(default = 1)] periods: i32,
    ) -> starlark::Result<DataFrame> {
        let mut frame = this.snapshot();
        for column in &mut frame.columns {
            *column = Arc::new(shifted(column, periods.into()));
        }
        Ok(DataFrame::new(frame))
    }

    /// The labels as columns, or with `drop` just counted anew.
    fn reset_index(
        this: &DataFrame,
        #[starlark(default = false)] drop: bool,
    ) -> starlark::Result<DataFrame> {
        Ok(DataFrame::new(this.snapshot().reset_index(!drop)?))
    }

    fn groupby<'v>(
        this: &DataFrame,
        #[starlark(require = pos)] by: Value<'v>,
        heap: Heap<'v>,
    ) -> starlark::Result<GroupBy> {
        let frame = this.snapshot();
        let by = places(&frame, Some(by), heap)?;
        GroupBy::new(frame, by)
    }

    /// Calls a function with each column, or with `axis=1` with each row.
    fn apply<'v>(
        this: Value<'v>,
        #[starlark(require = pos)] function: Value<'v>,
        #[starlark(default = 0)] axis: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let table = DataFrame::from_value(this).ok_or_else(|| argument("not a table"))?;
        super::apply::apply(&table.snapshot(), function, axis, eval)
    }
}

#[starlark_module]
pub fn columns(builder: &mut MethodsBuilder) {
    /// The table with more columns, or others in their place.
    fn assign<'v>(
        this: &DataFrame,
        #[starlark(kwargs)] columns: SmallMap<String, Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<DataFrame> {
        let mut frame = this.snapshot();
        for (name, value) in columns {
            let mut value = value;
            if value.get_type() == "function" {
                let so_far = eval.heap().alloc(DataFrame::new(frame.clone()));
                value = eval.eval_function(value, &[so_far], &[])?;
            }
            let column = build::column(value, &frame.index, eval.heap())?;
            frame.set(Cell::text(&name), column)?;
        }
        Ok(DataFrame::new(frame))
    }

    /// Without some rows (`axis=0`, `index`) or columns (`axis=1`, `columns`).
    fn drop<'v>(
        this: &DataFrame,
        labels: Option<Value<'v>>,
        #[starlark(default = 0)] axis: i32,
        index: Option<Value<'v>>,
        columns: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<DataFrame> {
        let (index, columns) = match (labels.filter(|labels| !labels.is_none()), axis) {
            (None, _) => (index, columns),
            (Some(labels), 0) => (Some(labels), columns),
            (Some(labels), 1) => (index, Some(labels)),
            _ => {
                return Err(argument(format!(
                    "axis is 0 for rows or 1 for columns, not {axis}"
                )));
            }
        };
        if index.is_none() && columns.is_none() {
            return Err(argument("need at least one of labels, index and columns"));
        }
        let mut frame = this.snapshot();
        if let Some(index) = index {
            frame = without(&frame, &build::names(index, heap)?, false)?;
        }
        if let Some(columns) = columns {
            frame = without(&frame, &build::names(columns, heap)?, true)?;
        }
        Ok(DataFrame::new(frame))
    }

    /// The rows of two tables joined where keys are equal.
    fn merge<'v>(
        this: &DataFrame,
        right: &DataFrame,
        left_on: Option<Value<'v>>,
        right_on: Option<Value<'v>>,
        #[starlark(default = "inner")] how: &str,
        suffixes: Option<Value<'v>>,
        on: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<DataFrame> {
        let (one, two) = (this.snapshot(), right.snapshot());
        let (left, right) = match (on, left_on, right_on) {
            (Some(on), None, None) => (build::names(on, heap)?, build::names(on, heap)?),
            (None, Some(left), Some(right)) => {
                (build::names(left, heap)?, build::names(right, heap)?)
            }
            (None, None, None) => {
                let both = one.names.iter().filter(|name| two.place(name).is_some());
                let both: Vec<Cell> = both.cloned().collect();
                (both.clone(), both)
            }
            _ => return Err(argument("give on, or both left_on and right_on")),
        };
        if left.is_empty() || left.len() != right.len() {
            return Err(argument(
                "no columns to merge on, or not as many on both sides",
            ));
        }
        let suffixes = match suffixes {
            None => ["_x".to_owned(), "_y".to_owned()],
            Some(suffixes) => match &build::cells(suffixes, heap)?[..] {
                [one, two] => [one.plain(), two.plain()],
                _ => return Err(argument("suffixes has to be two strings")),
            },
        };
        let find = |frame: &Frame, names: &[Cell]| {
            let each = names.iter().map(|name| frame.column(name));
            each.collect::<starlark::Result<Vec<_>>>()
        };
        let keys = Keys {
            left: find(&one, &left)?,
            right: find(&two, &right)?,
            suffixes,
        };
        Ok(DataFrame::new(merge(&one, &two, &keys, How::parse(how)?)?))
    }

    fn copy(this: &DataFrame) -> starlark::Result<DataFrame> {
        Ok(DataFrame::new(this.snapshot()))
    }

    /// The table as CSV, without the labels of its rows.
    fn to_csv(this: &DataFrame) -> starlark::Result<String> {
        text::write(&this.snapshot())
            .map_err(|error| argument(format!("cannot write CSV: {error}")))
    }
}
