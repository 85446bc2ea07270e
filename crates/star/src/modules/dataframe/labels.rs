//! An index as a value: the labels of rows, or the names of columns.

use std::fmt;

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    starlark_module, starlark_simple_value,
    values::{Heap, NoSerialize, StarlarkValue, UnpackValue, Value, ValueLike, starlark_value},
};

use super::{
    accessor::{Accessor, Whose},
    arithmetic::{self, Side, Test},
    cell::Cell,
    column::Column,
    index::Index,
    layout::width,
};
use crate::modules::refusal::argument;

const LINE_WIDTH: usize = 80;
const LABELS_MAX: usize = 100;
const LABELS_SHOWN: usize = 10;

/// The labels of rows or the names of columns.
#[derive(Clone, Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Labels {
    #[allocative(skip)]
    pub index: Index,
}

starlark_simple_value!(Labels);

impl fmt::Display for Labels {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = &self.index;
        if index.counted {
            return write!(to, "RangeIndex(start=0, stop={}, step=1)", index.len());
        }
        let kind = match index.levels.len() {
            1 if matches!(index.first(), Column::Time(_)) => "DatetimeIndex",
            1 => "Index",
            _ => "MultiIndex",
        };
        let mut ending = match index.levels.len() {
            1 => format!("dtype='{}'", index.first().dtype()),
            _ => {
                let names = index.levels.iter().map(|level| match &level.name {
                    Some(name) => quoted(name),
                    None => "None".to_owned(),
                });
                format!("names=[{}]", names.collect::<Vec<_>>().join(", "))
            }
        };
        if let Some(name) = index.name().filter(|_| index.levels.len() == 1) {
            ending.push_str(&format!(", name={}", quoted(name)));
        }
        if LABELS_MAX < index.len() {
            ending.push_str(&format!(", length={}", index.len()));
        }
        to.write_str(&laid_out(kind, &shown_labels(index), &ending))
    }
}

fn quoted(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) if text.contains('\'') => format!("\"{text}\""),
        Cell::Text(text) => format!("'{text}'"),
        Cell::Float(float) if float.is_nan() => "nan".to_owned(),
        Cell::Time(_) => format!("'{}'", cell.plain()),
        other => other.plain(),
    }
}

/// All labels, or the first and the last of many with a gap.
fn shown_labels(index: &Index) -> Vec<String> {
    let label = |at| quoted(&index.label(at));
    if index.len() <= LABELS_MAX {
        return (0..index.len()).map(label).collect();
    }
    let mut shown: Vec<String> = (0..LABELS_SHOWN).map(label).collect();
    shown.push("...".to_owned());
    shown.extend((index.len() - LABELS_SHOWN..index.len()).map(label));
    shown
}

/// On one line where it fits, else in lines beneath the first label.
fn laid_out(kind: &str, labels: &[String], ending: &str) -> String {
    let one_line = format!("{kind}([{}], {ending})", labels.join(", "));
    let gap = labels.iter().any(|label| label == "...");
    if width(&one_line) <= LINE_WIDTH && !gap {
        return one_line;
    }
    let indent = " ".repeat(kind.len() + 2);
    let texts = labels.iter().any(|label| label.starts_with(['\'', '"']));
    let wide = match texts {
        true => 0,
        false => labels.iter().map(|label| width(label)).max().unwrap_or(0),
    };
    let mut lines = Vec::new();
    let mut line = format!("{kind}([");
    let mut fresh = true;
    for (at, label) in labels.iter().enumerate() {
        let last = at + 1 == labels.len();
        if label == "..." {
            lines.push(
                std::mem::replace(&mut line, indent.clone())
                    .trim_end()
                    .to_owned(),
            );
            lines.push(format!("{indent}..."));
            fresh = true;
            continue;
        }
        let text = format!("{label:>wide$}{}", if last { "" } else { "," });
        if !fresh && LINE_WIDTH <= width(&line) + width(&text) + 1 {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line.push_str(&text);
        fresh = false;
    }
    lines.push(format!("{line}],"));
    format!("{}\n{}{ending})", lines.join("\n"), &indent[1..])
}

impl Labels {
    pub fn of(cells: Vec<Cell>) -> Self {
        let index = Index::of(Column::from_cells(cells), None);
        Self { index }
    }
}

starlark::methods_static!(LABELS_METHODS = methods);

#[starlark_value(type = "Index")]
impl<'v> StarlarkValue<'v> for Labels {
    fn get_methods() -> Option<&'static Methods> {
        Some(LABELS_METHODS.methods())
    }

    fn length(&self) -> starlark::Result<i32> {
        Ok(i32::try_from(self.index.len()).unwrap_or(i32::MAX))
    }

    fn iterate_collect(&self, heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        let each = 0..self.index.len();
        Ok(each.map(|at| self.index.label(at).to_value(heap)).collect())
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let place = i32::unpack_value(index).ok().flatten();
        let place = place.and_then(|place| place_of(place, self.index.len()));
        let place = place.ok_or_else(|| argument(format!("there is no label {index}")))?;
        Ok(self.index.label(place).to_value(heap))
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other
            .downcast_ref::<Self>()
            .is_some_and(|other| self.index.same(&other.index)))
    }

    fn is_in(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(match other.unpack_str() {
            Some(text) => self.index.find(&Cell::text(text)).is_some(),
            None => match i64::unpack_value(other) {
                Ok(Some(whole)) => self.index.find(&Cell::Int(whole)).is_some(),
                _ => false,
            },
        })
    }
}

/// A place that may be counted from the end.
pub fn place_of(place: i32, length: usize) -> Option<usize> {
    let at = match usize::try_from(place) {
        Ok(from_start) => from_start,
        Err(_) => length.checked_sub(place.unsigned_abs() as usize)?,
    };
    (at < length).then_some(at)
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn name<'v>(this: &'v Labels, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let name = this.index.name();
        Ok(name.map_or(Value::new_none(), |name| name.to_value(heap)))
    }

    /// The functions of texts for all labels.
    #[starlark(attribute)]
    fn str(this: &Labels) -> starlark::Result<Accessor> {
        Ok(Accessor::new(Whose::Labels(this.index.clone())))
    }

    fn tolist<'v>(this: &Labels, heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        let each = 0..this.index.len();
        Ok(each.map(|at| this.index.label(at).to_value(heap)).collect())
    }

    /// Whether each label is equal to a value.
    fn eq<'v>(this: &Labels, value: Value<'v>, heap: Heap<'v>) -> starlark::Result<Labels> {
        let cell = Cell::from_value(value, heap)?;
        let equal = arithmetic::test(Test::Equal, this.index.first(), Side::Cell(&cell))?;
        let index = Index::of(equal, None);
        Ok(Labels { index })
    }
}
