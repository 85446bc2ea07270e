//! Which rows an expression in brackets chooses: by a mask or by a slice.

use starlark::values::{Heap, UnpackValue, Value, ValueLike};

use super::{arithmetic::truths, build, index::Index, series::Series};
use crate::modules::refusal::argument;

/// The rows that a mask lets through, if the value is a mask.
pub fn mask<'v>(
    value: Value<'v>,
    index: &Index,
    heap: Heap<'v>,
) -> starlark::Result<Option<Vec<usize>>> {
    let kept = if let Some(series) = value.downcast_ref::<Series>() {
        let column = series.aligned(index)?;
        let wrong = || argument("a mask has to be True or False in every row");
        truths(&column).ok_or_else(wrong)?
    } else {
        let Some(items) = build::items(value, heap) else {
            return Ok(None);
        };
        let truths = items.iter().map(|item| item.unpack_bool());
        let Some(truths) = truths.collect::<Option<Vec<bool>>>() else {
            return Ok(None);
        };
        if truths.is_empty() {
            return Ok(None);
        }
        truths
    };
    if kept.len() != index.len() {
        return Err(argument(format!(
            "item wrong length {} instead of {}",
            kept.len(),
            index.len()
        )));
    }
    let places = kept.iter().enumerate().filter(|(_, kept)| **kept);
    Ok(Some(places.map(|(at, _)| at).collect()))
}

/// The places of a slice.
pub fn slice_places(
    length: usize,
    start: Option<Value<'_>>,
    stop: Option<Value<'_>>,
    stride: Option<Value<'_>>,
) -> starlark::Result<Vec<usize>> {
    let number = |value: Option<Value<'_>>| match value {
        None => Ok(None),
        Some(value) if value.is_none() => Ok(None),
        Some(value) => match i32::unpack_value(value) {
            Ok(Some(whole)) => Ok(Some(i64::from(whole))),
            _ => Err(argument("the parts of a slice are integers")),
        },
    };
    let (start, stop, step) = (number(start)?, number(stop)?, number(stride)?.unwrap_or(1));
    let whole = i64::try_from(length).unwrap_or(i64::MAX);
    let (low, high) = if 0 < step {
        (0, whole)
    } else {
        (-1, whole - 1)
    };
    let bounded = |value: i64| (if value < 0 { value + whole } else { value }).clamp(low, high);
    let start = start.map_or(if 0 < step { low } else { high }, bounded);
    let stop = stop.map_or(if 0 < step { high } else { low }, bounded);
    let mut places = Vec::new();
    let mut at = start;
    while step != 0 && (if 0 < step { at < stop } else { stop < at }) {
        places.extend(usize::try_from(at).ok());
        at += step;
    }
    match step {
        0 => Err(argument("the step of a slice cannot be zero")),
        _ => Ok(places),
    }
}
