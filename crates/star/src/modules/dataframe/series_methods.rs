//! What can be asked of a series.

use std::{collections::HashSet, sync::Arc};

use starlark::{
    environment::MethodsBuilder,
    eval::Evaluator,
    starlark_module,
    values::{Heap, Value, none::NoneOr},
};

use super::{
    accessor::{Accessor, Whose},
    aggregate::Aggregate,
    arithmetic::{self, Test},
    build,
    cell::Cell,
    column::Column,
    data_frame::DataFrame,
    frame::{shifted, shown},
    index::Index,
    labels::Labels,
    series::Series,
};
use crate::modules::refusal::argument;

impl Series {
    fn test<'v>(&self, test: Test, value: Value<'v>, heap: Heap<'v>) -> starlark::Result<Self> {
        let beside = self.beside(value, heap)?;
        let column = arithmetic::test(test, &self.column, beside.side())?;
        Ok(self.named(column, value))
    }

    fn nulls(&self, wanted: bool) -> Self {
        let each = self.column.cells().map(|cell| cell.is_null() == wanted);
        self.with(Column::Bool(each.collect()))
    }

    fn aggregate<'v>(&self, of: Aggregate, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        if !of.fits(&self.column) && self.column.len() != 0 {
            let what = self.name.as_ref().map_or("the series".to_owned(), shown);
            return Err(argument(format!("{what} has no {}", of.name())));
        }
        let places: Vec<usize> = (0..self.column.len()).collect();
        Ok(of.of(&self.column, &places)?.to_value(heap))
    }

    /// The places of the first or last `n`; a negative `n` leaves out as many.
    pub fn ends(length: usize, n: i32, from_end: bool) -> std::ops::Range<usize> {
        let size = n.unsigned_abs() as usize;
        let kept = match n < 0 {
            true => length.saturating_sub(size),
            false => size.min(length),
        };
        if from_end {
            length - kept..length
        } else {
            0..kept
        }
    }
}

#[starlark_module]
pub fn attributes(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn name<'v>(this: &'v Series, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let name = this.name.as_ref();
        Ok(name.map_or(Value::new_none(), |name| name.to_value(heap)))
    }
    #[starlark(attribute)]
    fn index(this: &Series) -> starlark::Result<Labels> {
        let index = this.index.clone();
        Ok(Labels { index })
    }
    #[starlark(attribute)]
    fn size(this: &Series) -> starlark::Result<i32> {
        Ok(i32::try_from(this.column.len()).unwrap_or(i32::MAX))
    }
    #[starlark(attribute)]
    fn shape(this: &Series) -> starlark::Result<(i32,)> {
        Ok((i32::try_from(this.column.len()).unwrap_or(i32::MAX),))
    }
    #[starlark(attribute)]
    fn dtype(this: &Series) -> starlark::Result<String> {
        Ok(this.column.dtype().to_owned())
    }
    #[starlark(attribute)]
    fn empty(this: &Series) -> starlark::Result<bool> {
        Ok(this.column.len() == 0)
    }
    /// The functions of texts for all values.
    #[starlark(attribute)]
    fn str(this: &Series) -> starlark::Result<Accessor> {
        Ok(Accessor::new(Whose::Series(this.clone())))
    }
}

#[starlark_module]
pub fn tests(builder: &mut MethodsBuilder) {
    /// Tests each value, as in `cmp("<", 150)`.
    fn cmp<'v>(
        this: &Series,
        #[starlark(require = pos)] operator: &str,
        #[starlark(require = pos)] value: Value<'v>,
        heap: Heap<'v>,
    ) -> starlark::Result<Series> {
        let test = Test::parse(operator).ok_or_else(|| {
            argument(format!(
                "unknown operator {operator:?}; there are ==, !=, <, <=, >, >="
            ))
        })?;
        this.test(test, value, heap)
    }
    fn equals<'v>(this: &Series, value: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        this.test(Test::Equal, value, heap)
    }
    fn notequals<'v>(this: &Series, value: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        this.test(Test::NotEqual, value, heap)
    }
    fn eq<'v>(this: &Series, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        this.test(Test::Equal, other, heap)
    }
    fn ne<'v>(this: &Series, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        this.test(Test::NotEqual, other, heap)
    }
    fn lt<'v>(this: &Series, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        this.test(Test::Less, other, heap)
    }
    fn le<'v>(this: &Series, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        this.test(Test::LessOrEqual, other, heap)
    }
    fn gt<'v>(this: &Series, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        this.test(Test::Greater, other, heap)
    }
    fn ge<'v>(this: &Series, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        this.test(Test::GreaterOrEqual, other, heap)
    }
    fn notnull(this: &Series) -> starlark::Result<Series> {
        Ok(this.nulls(false))
    }
    fn notna(this: &Series) -> starlark::Result<Series> {
        Ok(this.nulls(false))
    }
    fn isnull(this: &Series) -> starlark::Result<Series> {
        Ok(this.nulls(true))
    }
    fn isna(this: &Series) -> starlark::Result<Series> {
        Ok(this.nulls(true))
    }
    /// Whether each value is one of these.
    fn isin<'v>(this: &Series, values: Value<'v>, heap: Heap<'v>) -> starlark::Result<Series> {
        let wanted: HashSet<Cell> = build::cells(values, heap)?.into_iter().collect();
        let each = this.column.cells().map(|cell| wanted.contains(&cell));
        Ok(this.with(Column::Bool(each.collect())))
    }
}

#[starlark_module]
pub fn methods(builder: &mut MethodsBuilder) {
    fn astype(this: &Series, #[starlark(require = pos)] dtype: &str) -> starlark::Result<Series> {
        Ok(this.with(this.column.astype(dtype)?))
    }

    /// The value of a label or a place, or `default`.
    fn get<'v>(
        this: &Series,
        #[starlark(require = pos)] index: Value<'v>,
        default: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        let found = this.get(&Cell::from_value(index, heap)?);
        let otherwise = default.unwrap_or(Value::new_none());
        Ok(found.map_or(otherwise, |cell| cell.to_value(heap)))
    }

    /// Each value once, in the order of its first place.
    fn unique(this: &Series) -> starlark::Result<Series> {
        let places = this.to_frame(None).distinct(&[0]);
        Ok(Series::counted(
            this.column.take(&places),
            this.name.clone(),
        ))
    }

    fn tolist<'v>(this: &Series, heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        Ok(this
            .column
            .cells()
            .map(|cell| cell.to_value(heap))
            .collect())
    }

    fn to_frame<'v>(
        this: &Series,
        name: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<DataFrame> {
        let name = name.map(|name| Cell::from_value(name, heap)).transpose()?;
        Ok(DataFrame::new(this.to_frame(name)))
    }

    /// The labels as a column of a table, or with `drop` just counted anew.
    fn reset_index<'v>(
        this: &Series,
        #[starlark(default = false)] drop: bool,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        if drop {
            let mut reset = this.clone();
            reset.index = Index::count(this.column.len());
            return Ok(heap.alloc(reset));
        }
        let frame = this.to_frame(None).reset_index(true)?;
        Ok(heap.alloc(DataFrame::new(frame)))
    }

    fn shift(this: &Series, #[starlark(default = 1)] periods: i32) -> starlark::Result<Series> {
        Ok(this.with(shifted(&this.column, periods.into())))
    }

    fn head(this: &Series, #[starlark(default = 5)] n: i32) -> starlark::Result<Series> {
        let places: Vec<usize> = Series::ends(this.column.len(), n, false).collect();
        Ok(this.take(&places))
    }

    fn tail(this: &Series, #[starlark(default = 5)] n: i32) -> starlark::Result<Series> {
        let places: Vec<usize> = Series::ends(this.column.len(), n, true).collect();
        Ok(this.take(&places))
    }

    fn sort_values(
        this: &Series,
        #[starlark(default = true)] ascending: bool,
    ) -> starlark::Result<Series> {
        let places = this.to_frame(None).sorted(&[(0, ascending)]);
        Ok(this.take(&places))
    }

    fn count<'v>(this: &Series, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Count, heap)
    }
    fn sum<'v>(this: &Series, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Sum, heap)
    }
    fn mean<'v>(this: &Series, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Mean, heap)
    }
    fn min<'v>(this: &Series, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Min, heap)
    }
    fn max<'v>(this: &Series, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Max, heap)
    }

    /// Calls a function with each value.
    fn apply<'v>(
        this: Value<'v>,
        #[starlark(require = pos)] function: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Series> {
        let series = Series::from_value(this).ok_or_else(|| argument("not a series"))?;
        let heap = eval.heap();
        let mut cells = Vec::with_capacity(series.column.len());
        for at in 0..series.column.len() {
            let value = series.column.cell(at).to_value(heap);
            let answer = eval.eval_function(function, &[value], &[])?;
            cells.push(Cell::from_value(answer, heap)?);
        }
        Ok(series.with(Column::from_cells(cells)))
    }

    /// The same values under another name.
    fn rename<'v>(
        this: &Series,
        #[starlark(require = pos)] name: NoneOr<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<Series> {
        let name = name.into_option();
        Ok(Series {
            column: Arc::clone(&this.column),
            index: this.index.clone(),
            name: name.map(|name| Cell::from_value(name, heap)).transpose()?,
        })
    }
}
