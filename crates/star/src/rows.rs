//! The rows of a CSV body, read as they are asked for.
//!
//! A body is read once when it is opened: every record is checked and the type
//! of every column found, so that a loop over it meets no fault halfway. The
//! rows themselves are read anew by each loop, and only one block of them is
//! in memory, unless the script keeps rows. Absent: any way to change them.

mod found;
pub mod parquet;
mod reader;
mod row;
mod table;

use std::{fmt, sync::Arc};

use allocative::Allocative;
pub use reader::Reader;
pub use row::Row;
use starlark::{
    any::ProvidesStaticType,
    starlark_simple_value,
    values::{Heap, NoSerialize, StarlarkValue, Value, ValueLike, starlark_value},
};
use std::sync::Mutex;
pub use table::{Column, Content, Kind, Reading, Table, TableError};

/// All rows of a body.
#[derive(Clone, Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Rows {
    #[allocative(skip)]
    table: Arc<Table>,
}

starlark_simple_value!(Rows);

impl Rows {
    pub fn new(table: Table) -> Self {
        Self {
            table: Arc::new(table),
        }
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Reads from the first row on.
    pub fn read(&self) -> anyhow::Result<Reader> {
        Ok(Reader::at(&self.table, 0)?)
    }

    /// The row of this number, counted from 0.
    fn row(&self, number: u64) -> anyhow::Result<Row> {
        let mut reader = Reader::at(&self.table, number)?;
        reader
            .next_row()?
            .ok_or_else(|| anyhow::anyhow!("the body has changed while it was read"))
    }

    fn index(&self, index: i32) -> anyhow::Result<u64> {
        let count = i64::try_from(self.table.count).unwrap_or(i64::MAX);
        let wanted = i64::from(index);
        let from_start = if wanted < 0 { wanted + count } else { wanted };
        match (0..count).contains(&from_start) {
            true => Ok(from_start.unsigned_abs()),
            false => anyhow::bail!("there is no row {index}; there are {count}"),
        }
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.table.names().collect();
        write!(f, "<{} rows of {}>", self.table.count, names.join(", "))
    }
}

#[starlark_value(type = "rows")]
impl<'v> StarlarkValue<'v> for Rows {
    fn to_bool(&self) -> bool {
        self.table.count != 0
    }

    fn length(&self) -> starlark::Result<i32> {
        i32::try_from(self.table.count).map_err(|_| {
            let why = anyhow::anyhow!("there are {} rows, more than len can say", self.table.count);
            starlark::Error::new_value(why)
        })
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let Some(index) = index.unpack_i32() else {
            let kind = index.get_type();
            let why = anyhow::anyhow!("rows are chosen by a number, not by a value of type {kind}");
            return Err(starlark::Error::new_value(why));
        };
        let row = self.index(index).and_then(|number| self.row(number));
        Ok(heap.alloc(row.map_err(starlark::Error::new_value)?))
    }

    fn slice(
        &self,
        start: Option<Value<'v>>,
        stop: Option<Value<'v>>,
        stride: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        if stride.is_some_and(|stride| stride.unpack_i32() != Some(1)) {
            let why = anyhow::anyhow!("rows are cut without a stride");
            return Err(starlark::Error::new_value(why));
        }
        let count = i64::try_from(self.table.count).unwrap_or(i64::MAX);
        let bound = |value: Option<Value<'v>>, default: i64| {
            let asked = value.and_then(|value| value.unpack_i32()).map(i64::from);
            let asked = asked.unwrap_or(default);
            let asked = if asked < 0 { asked + count } else { asked };
            asked.clamp(0, count).unsigned_abs()
        };
        let (start, stop) = (bound(start, 0), bound(stop, count));
        let read = || -> anyhow::Result<Vec<Value<'v>>> {
            let mut reader = Reader::at(&self.table, start)?;
            let mut out = Vec::new();
            while start + (out.len() as u64) < stop
                && let Some(row) = reader.next_row()?
            {
                out.push(heap.alloc(row));
            }
            Ok(out)
        };
        Ok(heap.alloc(read().map_err(starlark::Error::new_value)?))
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        let other = other.downcast_ref::<Self>();
        Ok(other.is_some_and(|other| Arc::ptr_eq(&self.table, &other.table)))
    }

    unsafe fn iterate(&self, _me: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let reader = self.read().map_err(starlark::Error::new_value)?;
        Ok(heap.alloc_simple(Cursor {
            reader: Mutex::new(Some(reader)),
        }))
    }
}

/// A loop over rows.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
struct Cursor {
    #[allocative(skip)]
    reader: Mutex<Option<Reader>>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<rows, being read>")
    }
}

// The three functions are `unsafe` since the crate's trait says so: it promises
// to call them in order. Nothing in them relies on that.
#[starlark_value(type = "cursor")]
impl<'v> StarlarkValue<'v> for Cursor {
    unsafe fn iter_next(&self, _index: usize, heap: Heap<'v>) -> Option<Value<'v>> {
        let mut reader = self.reader.lock().expect("one thread reads");
        let row = reader.as_mut()?.next_row();
        // A loop has no way to fail, and the whole body was checked before.
        let row = row.expect("a body cannot change while a run reads it");
        row.map(|row| heap.alloc(row))
    }

    unsafe fn iter_stop(&self) {
        *self.reader.lock().expect("one thread reads") = None;
    }
}

#[cfg(test)]
mod tests;
