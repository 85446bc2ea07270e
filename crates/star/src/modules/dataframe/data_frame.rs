//! A table as a value. Every result is a table of its own; only `df[..] = ..`,
//! `df.at[..] = ..`, `df.columns = ..` and `df.index = ..` change one.
//!
//! Nothing is borrowed while a script's function runs: it may change the very
//! table that it is called for.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use allocative::Allocative;
use serde::{Serialize, Serializer};
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    starlark_simple_value,
    values::{Heap, StarlarkValue, Value, ValueLike, starlark_value},
};

use super::{
    build,
    cell::Cell,
    change,
    choice::{mask, slice_places},
    frame::{Frame, shown},
    frame_methods, layout,
    missing::Missing,
    series::Series,
};
use crate::modules::refusal::argument;

/// A table.
#[derive(Clone, Debug, ProvidesStaticType, Allocative)]
pub struct DataFrame {
    #[allocative(skip)]
    frame: Arc<Mutex<Frame>>,
}

starlark_simple_value!(DataFrame);

impl fmt::Display for DataFrame {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&layout::frame(&self.snapshot()))
    }
}

impl Serialize for DataFrame {
    /// As rows, each a list of values.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let frame = self.snapshot();
        to.collect_seq((0..frame.rows()).map(|row| frame.row(row)))
    }
}

impl DataFrame {
    pub fn new(frame: Frame) -> Self {
        let frame = Arc::new(Mutex::new(frame));
        Self { frame }
    }

    /// The table as it is now; its columns are shared, not copied.
    pub fn snapshot(&self) -> Frame {
        let frame = self.frame.lock();
        frame.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn change(
        &self,
        change: impl FnOnce(&mut Frame) -> starlark::Result<()>,
    ) -> starlark::Result<()> {
        let frame = self.frame.lock();
        change(&mut frame.unwrap_or_else(PoisonError::into_inner))
    }

    pub fn series(frame: &Frame, at: usize) -> Series {
        Series {
            column: Arc::clone(&frame.columns[at]),
            index: frame.index.clone(),
            name: Some(frame.names[at].clone()),
        }
    }
}

starlark::methods_static!(FRAME_METHODS = all_methods);

fn all_methods(builder: &mut MethodsBuilder) {
    frame_methods::attributes(builder);
    frame_methods::rows(builder);
    frame_methods::columns(builder);
}

#[starlark_value(type = "DataFrame")]
impl<'v> StarlarkValue<'v> for DataFrame {
    fn get_methods() -> Option<&'static Methods> {
        Some(FRAME_METHODS.methods())
    }

    /// A column by its name, where no method has that name.
    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        let frame = self.snapshot();
        if let Some(at) = frame.place(&Cell::text(attribute)) {
            return Some(heap.alloc(Self::series(&frame, at)));
        }
        Missing::find("DataFrame", attribute).map(|missing| heap.alloc(missing))
    }

    fn set_attr(&self, attribute: &str, value: Value<'v>) -> starlark::Result<()> {
        change::set_attribute(self, attribute, value)
    }

    fn length(&self) -> starlark::Result<i32> {
        Ok(i32::try_from(self.snapshot().rows()).unwrap_or(i32::MAX))
    }

    /// The names of the columns.
    fn iterate_collect(&self, heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        let frame = self.snapshot();
        Ok(frame.names.iter().map(|name| name.to_value(heap)).collect())
    }

    fn is_in(&self, other: Value<'v>) -> starlark::Result<bool> {
        let frame = self.snapshot();
        Ok(match other.unpack_str() {
            Some(name) => frame.place(&Cell::text(name)).is_some(),
            None => other
                .unpack_i32()
                .is_some_and(|name| frame.place(&Cell::Int(name.into())).is_some()),
        })
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let frame = self.snapshot();
        if let Some(places) = mask(index, &frame.index, heap)? {
            return Ok(heap.alloc(Self::new(frame.take(&places))));
        }
        if build::items(index, heap).is_some() {
            let names = build::cells(index, heap)?;
            let places = names.iter().map(|name| frame.column(name));
            let places: Vec<usize> = places.collect::<starlark::Result<_>>()?;
            return Ok(heap.alloc(Self::new(frame.select(&places))));
        }
        let at = frame.column(&Cell::from_value(index, heap)?)?;
        Ok(heap.alloc(Self::series(&frame, at)))
    }

    fn slice(
        &self,
        start: Option<Value<'v>>,
        stop: Option<Value<'v>>,
        stride: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        let frame = self.snapshot();
        let places = slice_places(frame.rows(), start, stop, stride)?;
        Ok(heap.alloc(Self::new(frame.take(&places))))
    }

    fn set_at(&self, index: Value<'v>, new_value: Value<'v>) -> starlark::Result<()> {
        change::set_column(self, index, new_value)
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        let Some(other) = other.downcast_ref::<Self>() else {
            return Ok(false);
        };
        if Arc::ptr_eq(&self.frame, &other.frame) {
            return Ok(true);
        }
        let (one, two) = (self.snapshot(), other.snapshot());
        Ok(one.names == two.names
            && one.index.same(&two.index)
            && one
                .columns
                .iter()
                .zip(&two.columns)
                .all(|(one, two)| one.cells().eq(two.cells())))
    }

    fn compare(&self, _: Value<'v>) -> starlark::Result<std::cmp::Ordering> {
        Err(argument("a table has no order"))
    }

    /// The rows of another table below these.
    fn add(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        let other = other.downcast_ref::<Self>()?.snapshot();
        let sum = self.snapshot().append(&other);
        Some(sum.map(|frame| heap.alloc(Self::new(frame))))
    }
}

/// One cell of a table by the label of its row and the name of its column.
#[derive(Debug, ProvidesStaticType, starlark::values::NoSerialize, Allocative)]
pub struct AtIndexer {
    pub of: DataFrame,
}

starlark_simple_value!(AtIndexer);

impl fmt::Display for AtIndexer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("<AtIndexer>")
    }
}

impl AtIndexer {
    fn place<'v>(
        frame: &Frame,
        index: Value<'v>,
        heap: Heap<'v>,
    ) -> starlark::Result<(usize, usize)> {
        let both = build::items(index, heap).unwrap_or_default();
        let [row, column] = both[..] else {
            return Err(argument(
                "at needs a row and a column, as in df.at[0, \"a\"]",
            ));
        };
        let row = Cell::from_value(row, heap)?;
        let found = frame.index.find(&row);
        let found = found.ok_or_else(|| argument(format!("there is no row {}", shown(&row))))?;
        Ok((found, frame.column(&Cell::from_value(column, heap)?)?))
    }
}

#[starlark_value(type = "AtIndexer")]
impl<'v> StarlarkValue<'v> for AtIndexer {
    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let frame = self.of.snapshot();
        let (row, column) = Self::place(&frame, index, heap)?;
        Ok(frame.columns[column].cell(row).to_value(heap))
    }

    fn set_at(&self, index: Value<'v>, new_value: Value<'v>) -> starlark::Result<()> {
        change::set_cell(&self.of, index, new_value)
    }
}
