//! A column as a value: its values, their labels and a name.

use std::{fmt, sync::Arc};

use allocative::Allocative;
use serde::{Serialize, Serializer};
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    starlark_simple_value,
    values::{Heap, StarlarkValue, Value, ValueLike, starlark_value},
};

use super::{
    arithmetic::{self, Side, Sum, truths},
    build,
    cell::Cell,
    choice::{mask, slice_places},
    column::Column,
    frame::{Frame, shown},
    index::Index,
    labels::place_of,
    layout,
    missing::Missing,
    series_methods,
};
use crate::modules::refusal::argument;

/// Values of one type, with labels.
#[derive(Clone, Debug, ProvidesStaticType, Allocative)]
pub struct Series {
    #[allocative(skip)]
    pub column: Arc<Column>,
    #[allocative(skip)]
    pub index: Index,
    #[allocative(skip)]
    pub name: Option<Cell>,
}

starlark_simple_value!(Series);

impl fmt::Display for Series {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&layout::series(
            &self.column,
            &self.index,
            self.name.as_ref(),
        ))
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.column.cells())
    }
}

impl Series {
    pub fn counted(column: Column, name: Option<Cell>) -> Self {
        let index = Index::count(column.len());
        let column = Arc::new(column);
        Self {
            column,
            index,
            name,
        }
    }

    /// Other values with the same labels and name.
    pub fn with(&self, column: Column) -> Self {
        Self {
            column: Arc::new(column),
            index: self.index.clone(),
            name: self.name.clone(),
        }
    }

    pub fn take(&self, places: &[usize]) -> Self {
        Self {
            column: Arc::new(self.column.take(places)),
            index: self.index.take(places),
            name: self.name.clone(),
        }
    }

    pub fn to_frame(&self, name: Option<Cell>) -> Frame {
        let name = name.or_else(|| self.name.clone()).unwrap_or(Cell::Int(0));
        Frame {
            names: vec![name],
            columns: vec![Arc::clone(&self.column)],
            index: self.index.clone(),
        }
    }

    /// The values in the order of other labels; what has no label here is NaN.
    pub fn aligned(&self, index: &Index) -> starlark::Result<Arc<Column>> {
        if self.index.same(index) {
            return Ok(Arc::clone(&self.column));
        }
        let places = self.index.places();
        let found: Vec<Option<usize>> = (0..index.len())
            .map(|at| places.get(&index.label(at)).copied())
            .collect();
        Ok(Arc::new(self.column.take_some(&found)))
    }

    /// The other side of an operation, in the order of these labels.
    pub fn beside<'v>(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Beside> {
        let Some(series) = other.downcast_ref::<Self>() else {
            if let Some(items) = build::items(other, heap) {
                let column = Column::from_cells(build::cells(other, heap)?);
                return match items.len() == self.column.len() {
                    true => Ok(Beside::Column(Arc::new(column))),
                    false => Err(argument(format!(
                        "lengths must match: {} and {}",
                        self.column.len(),
                        items.len()
                    ))),
                };
            }
            return Ok(Beside::Cell(Cell::from_value(other, heap)?));
        };
        if self.index.same(&series.index) {
            return Ok(Beside::Column(Arc::clone(&series.column)));
        }
        let places = series.index.places();
        let all = (0..self.index.len()).all(|at| places.contains_key(&self.index.label(at)));
        match all && self.index.len() == series.index.len() {
            true => Ok(Beside::Column(series.aligned(&self.index)?)),
            false => Err(argument(
                "the two series have different labels; use reset_index(drop=True) on both",
            )),
        }
    }

    fn calculate<'v>(
        &self,
        sum: Sum,
        other: Value<'v>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        let beside = self.beside(other, heap)?;
        let column = arithmetic::calculate(sum, &self.column, beside.side())?;
        Ok(heap.alloc(self.named(column, other)))
    }

    /// The name stays unless the other side has another one.
    pub fn named(&self, column: Column, other: Value<'_>) -> Self {
        let mut series = self.with(column);
        let other = other.downcast_ref::<Self>();
        if other.is_some_and(|other| other.name != self.name) {
            series.name = None;
        }
        series
    }

    fn logic<'v>(
        &self,
        other: Value<'v>,
        heap: Heap<'v>,
        join: fn(bool, bool) -> bool,
    ) -> starlark::Result<Value<'v>> {
        let wrong = || argument("only series of truths can be joined with &, | and ^");
        let ours = truths(&self.column).ok_or_else(wrong)?;
        let beside = self.beside(other, heap)?;
        let theirs = match beside.side() {
            Side::Column(column) => truths(column).ok_or_else(wrong)?,
            Side::Cell(Cell::Bool(truth)) => vec![*truth; ours.len()],
            Side::Cell(_) => return Err(wrong()),
        };
        let joined = ours
            .into_iter()
            .zip(theirs)
            .map(|(one, two)| join(one, two));
        Ok(heap.alloc(self.named(Column::Bool(joined.collect()), other)))
    }

    /// The value of a label, or of a place where labels are no numbers.
    pub fn get(&self, key: &Cell) -> Option<Cell> {
        if let Some(at) = self.index.find(key) {
            return Some(self.column.cell(at));
        }
        let Cell::Int(place) = key else { return None };
        if matches!(self.index.first(), Column::Int(_)) {
            return None;
        }
        let place = place_of(i32::try_from(*place).ok()?, self.column.len())?;
        Some(self.column.cell(place))
    }
}

/// What stands beside a series, ready to be used.
pub enum Beside {
    Column(Arc<Column>),
    Cell(Cell),
}

impl Beside {
    pub fn side(&self) -> Side<'_> {
        match self {
            Self::Column(column) => Side::Column(column),
            Self::Cell(cell) => Side::Cell(cell),
        }
    }
}

starlark::methods_static!(SERIES_METHODS = all_methods);

fn all_methods(builder: &mut MethodsBuilder) {
    series_methods::attributes(builder);
    series_methods::methods(builder);
    series_methods::tests(builder);
}

#[starlark_value(type = "Series")]
impl<'v> StarlarkValue<'v> for Series {
    fn get_methods() -> Option<&'static Methods> {
        Some(SERIES_METHODS.methods())
    }

    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        Missing::find("Series", attribute).map(|missing| heap.alloc(missing))
    }

    fn length(&self) -> starlark::Result<i32> {
        Ok(i32::try_from(self.column.len()).unwrap_or(i32::MAX))
    }

    fn iterate_collect(&self, heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        Ok(self
            .column
            .cells()
            .map(|cell| cell.to_value(heap))
            .collect())
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        if let Some(places) = mask(index, &self.index, heap)? {
            return Ok(heap.alloc(self.take(&places)));
        }
        if build::items(index, heap).is_some() {
            let labels = build::cells(index, heap)?;
            let places = labels.iter().map(|label| {
                let found = self.index.find(label);
                found.ok_or_else(|| argument(format!("there is no label {}", shown(label))))
            });
            let places: Vec<usize> = places.collect::<starlark::Result<_>>()?;
            return Ok(heap.alloc(self.take(&places)));
        }
        let key = Cell::from_value(index, heap)?;
        let found = self.get(&key);
        let found = found.ok_or_else(|| argument(format!("there is no label {}", shown(&key))))?;
        Ok(found.to_value(heap))
    }

    fn slice(
        &self,
        start: Option<Value<'v>>,
        stop: Option<Value<'v>>,
        stride: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        let places = slice_places(self.column.len(), start, stop, stride)?;
        Ok(heap.alloc(self.take(&places)))
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| {
            self.index.same(&other.index) && self.column.cells().eq(other.column.cells())
        }))
    }

    fn compare(&self, _: Value<'v>) -> starlark::Result<std::cmp::Ordering> {
        Err(argument(
            "< and > give one truth in Starlark; for one truth per row write series.cmp(\"<\", value) or series.lt(value)",
        ))
    }

    fn add(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(self.calculate(Sum::Add, other, heap))
    }

    fn radd(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        let added = Cell::from_value(other, heap)
            .and_then(|cell| arithmetic::calculate_reversed(Sum::Add, &cell, &self.column));
        Some(added.map(|column| heap.alloc(self.with(column))))
    }

    fn sub(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.calculate(Sum::Subtract, other, heap)
    }

    fn mul(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(self.calculate(Sum::Multiply, other, heap))
    }

    fn rmul(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(self.calculate(Sum::Multiply, other, heap))
    }

    fn div(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.calculate(Sum::Divide, other, heap)
    }

    fn floor_div(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.calculate(Sum::FloorDivide, other, heap)
    }

    fn percent(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.calculate(Sum::Remainder, other, heap)
    }

    fn minus(&self, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let minus = arithmetic::calculate(Sum::Multiply, &self.column, Side::Cell(&Cell::Int(-1)))?;
        Ok(heap.alloc(self.with(minus)))
    }

    fn bit_and(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.logic(other, heap, |one, two| one && two)
    }

    fn bit_or(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.logic(other, heap, |one, two| one || two)
    }

    fn bit_xor(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.logic(other, heap, |one, two| one != two)
    }

    fn bit_not(&self, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let truths = truths(&self.column)
            .ok_or_else(|| argument("only a series of truths can be turned by ~"))?;
        let turned = truths.into_iter().map(|truth| !truth).collect();
        Ok(heap.alloc(self.with(Column::Bool(turned))))
    }
}
