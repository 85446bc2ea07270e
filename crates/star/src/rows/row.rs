//! One row: a list of its values that also knows the names of its columns.
//!
//! A value is made from the text when it is asked for, and not before.

use std::{fmt, sync::Arc};

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    starlark_module, starlark_simple_value,
    values::{
        Heap, NoSerialize, StarlarkValue, Value, ValueLike, dict::AllocDict, list::ListRef,
        starlark_value, tuple::TupleRef,
    },
};

use super::{Kind, reader::Block};

/// One row of a body.
#[derive(Clone, Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Row {
    #[allocative(skip)]
    block: Arc<Block>,
    /// Which one of the block's.
    number: u32,
}

starlark_simple_value!(Row);
starlark::methods_static!(ROW_METHODS = methods);

impl Row {
    pub(super) fn new(block: Arc<Block>, number: u32) -> Self {
        Self { block, number }
    }

    /// The names of its columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.block.table.names()
    }

    /// How many values it has.
    pub fn width(&self) -> usize {
        self.block.table.columns.len()
    }

    /// The text of one value.
    pub fn text(&self, column: usize) -> &str {
        self.block.field(self.number, column)
    }

    /// All values.
    pub fn values<'v>(&self, heap: Heap<'v>) -> Vec<Value<'v>> {
        (0..self.width()).map(|at| self.value(at, heap)).collect()
    }

    fn value<'v>(&self, column: usize, heap: Heap<'v>) -> Value<'v> {
        let text = self.text(column);
        let table = &self.block.table;
        let kind = table.columns[column].kind;
        if table.is_null(text, kind) {
            return Value::new_none();
        }
        match kind {
            Kind::Boolean => Value::new_bool(text.eq_ignore_ascii_case("true")),
            Kind::Integer => text
                .parse()
                .map_or_else(|_| heap.alloc(text), |n: i64| heap.alloc(n)),
            Kind::Number => text
                .parse()
                .map_or_else(|_| heap.alloc(text), |n: f64| heap.alloc(n)),
            Kind::Text => heap.alloc(text),
        }
    }

    fn column_of(&self, index: Value<'_>) -> anyhow::Result<usize> {
        if let Some(name) = index.unpack_str() {
            let found = self.block.table.column(name);
            return found.ok_or_else(|| {
                let names: Vec<&str> = self.names().take(20).collect();
                anyhow::anyhow!(
                    "there is no column {name:?}; there are {}",
                    names.join(", ")
                )
            });
        }
        let Some(number) = index.unpack_i32() else {
            let kind = index.get_type();
            anyhow::bail!("a value of a row is chosen by number or name, not by type {kind}");
        };
        let width = self.width() as i64;
        let number = i64::from(number);
        let from_start = if number < 0 { number + width } else { number };
        match (0..width).contains(&from_start) {
            true => Ok(from_start.unsigned_abs() as usize),
            false => anyhow::bail!("index {number} is out of bound; the row has {width} values"),
        }
    }

    /// As a list, which the script may change.
    fn list<'v>(&self, heap: Heap<'v>) -> Value<'v> {
        heap.alloc(self.values(heap))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Heap::temp(|heap| self.list(heap).to_repr());
        f.write_str(&shown)
    }
}

#[starlark_value(type = "row")]
impl<'v> StarlarkValue<'v> for Row {
    fn get_methods() -> Option<&'static Methods> {
        Some(ROW_METHODS.methods())
    }

    fn to_bool(&self) -> bool {
        true
    }

    fn length(&self) -> starlark::Result<i32> {
        Ok(self.width() as i32)
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let column = self.column_of(index).map_err(starlark::Error::new_value)?;
        Ok(self.value(column, heap))
    }

    fn slice(
        &self,
        start: Option<Value<'v>>,
        stop: Option<Value<'v>>,
        stride: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        self.list(heap).slice(start, stop, stride, heap)
    }

    fn iterate_collect(&self, heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        Ok(self.values(heap))
    }

    fn is_in(&self, other: Value<'v>) -> starlark::Result<bool> {
        Heap::temp(|heap| {
            let mut values = self.values(heap).into_iter();
            Ok(values.any(|value| value.to_repr() == other.to_repr()))
        })
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        let repr = Heap::temp(|heap| self.list(heap).to_repr());
        if let Some(row) = other.downcast_ref::<Self>() {
            return Ok(repr == row.to_string());
        }
        Ok(ListRef::from_value(other).is_some() && repr == other.to_repr())
    }

    fn add(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        let mut values = self.values(heap);
        values.extend(as_values(other, heap)?);
        Some(Ok(heap.alloc(values)))
    }

    fn radd(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        let mut values = as_values(other, heap)?;
        values.extend(self.values(heap));
        Some(Ok(heap.alloc(values)))
    }

    fn set_at(&self, _: Value<'v>, _: Value<'v>) -> starlark::Result<()> {
        let why = anyhow::anyhow!("a row of a body cannot be changed; change list(row)");
        Err(starlark::Error::new_value(why))
    }
}

/// The values of a list, a tuple or another row.
fn as_values<'v>(value: Value<'v>, heap: Heap<'v>) -> Option<Vec<Value<'v>>> {
    if let Some(row) = value.downcast_ref::<Row>() {
        return Some(row.values(heap));
    }
    let list = ListRef::from_value(value).map(|list| list.iter().collect());
    list.or_else(|| TupleRef::from_value(value).map(|tuple| tuple.iter().collect()))
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    /// The value of a column, or `default` when there is no such column.
    fn get<'v>(
        this: &Row,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] default: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> anyhow::Result<Value<'v>> {
        Ok(match this.block.table.column(name) {
            Some(column) => this.value(column, heap),
            None => default.unwrap_or_else(Value::new_none),
        })
    }

    /// The names of the columns.
    fn keys(this: &Row) -> anyhow::Result<Vec<String>> {
        Ok(this.names().map(str::to_owned).collect())
    }

    /// The values in their order.
    fn values<'v>(this: &Row, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        Ok(this.list(heap))
    }

    /// Pairs of name and value.
    fn items<'v>(this: &Row, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        let pairs: Vec<(&str, Value<'v>)> = this.names().zip(this.values(heap)).collect();
        Ok(heap.alloc(pairs))
    }

    /// A dict by the names of the columns.
    fn to_dict<'v>(this: &Row, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        Ok(heap.alloc(AllocDict(this.names().zip(this.values(heap)))))
    }
}
