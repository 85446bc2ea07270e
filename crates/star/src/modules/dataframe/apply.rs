//! A script's function called with every row or column of a table.

use std::sync::Arc;

use starlark::{
    eval::Evaluator,
    values::{Value, ValueLike},
};

use super::{
    cell::Cell,
    column::Column,
    data_frame::DataFrame,
    frame::{Frame, check_size},
    index::Index,
    series::Series,
};
use crate::modules::refusal::argument;

/// Calls `function` with each column (`axis` 0) or row (1). Answers are a
/// series, or a table where each of them is a series.
///
/// # Errors
///
/// Those of the function, and answers that fit no column.
pub fn apply<'v>(
    frame: &Frame,
    function: Value<'v>,
    axis: i32,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Value<'v>> {
    let names = Index::of(Column::from_cells(frame.names.clone()), None);
    let (count, labels) = match axis {
        0 => (frame.columns.len(), names.clone()),
        1 => (frame.rows(), frame.index.clone()),
        _ => {
            return Err(argument(format!(
                "axis is 0 for columns or 1 for rows, not {axis}"
            )));
        }
    };
    let mut answers = Vec::with_capacity(count);
    for at in 0..count {
        let part = match axis {
            0 => DataFrame::series(frame, at),
            _ => Series {
                column: Arc::new(Column::from_cells(frame.row(at))),
                index: names.clone(),
                name: Some(frame.index.label(at)),
            },
        };
        let part = eval.heap().alloc(part);
        answers.push(eval.eval_function(function, &[part], &[])?);
    }
    gathered(&answers, labels, axis == 0, eval)
}

/// Answers put together under their labels; series side by side as columns or
/// as rows.
pub fn gathered<'v>(
    answers: &[Value<'v>],
    labels: Index,
    as_columns: bool,
    eval: &Evaluator<'v, '_, '_>,
) -> starlark::Result<Value<'v>> {
    let heap = eval.heap();
    let series: Option<Vec<&Series>> = answers.iter().map(|answer| answer.downcast_ref()).collect();
    let Some(first) = series.as_ref().and_then(|series| series.first()) else {
        let cells = answers.iter().map(|answer| Cell::from_value(*answer, heap));
        let column = Column::from_cells(cells.collect::<starlark::Result<_>>()?);
        return Ok(heap.alloc(Series {
            column: Arc::new(column),
            index: labels,
            name: None,
        }));
    };
    let shape = first.index.clone();
    check_size(answers.len(), shape.len())?;
    let mut columns = Vec::new();
    for part in series.iter().flatten() {
        columns.push(part.aligned(&shape)?);
    }
    if as_columns {
        let names = (0..labels.len()).map(|at| labels.label(at)).collect();
        let frame = Frame {
            names,
            columns,
            index: shape,
        };
        return Ok(heap.alloc(DataFrame::new(frame)));
    }
    let turned = (0..shape.len()).map(|at| {
        let cells = columns.iter().map(|column| column.cell(at));
        Arc::new(Column::from_cells(cells.collect()))
    });
    let frame = Frame {
        columns: turned.collect(),
        names: (0..shape.len()).map(|at| shape.label(at)).collect(),
        index: labels,
    };
    Ok(heap.alloc(DataFrame::new(frame)))
}
