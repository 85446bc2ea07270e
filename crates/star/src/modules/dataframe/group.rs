//! Rows put into groups by the values of some columns.
//!
//! Groups come in the order of their keys. Rows whose key is null are in none.

use std::{collections::HashMap, fmt, sync::Arc};

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    eval::Evaluator,
    starlark_module, starlark_simple_value,
    values::{
        Heap, NoSerialize, StarlarkValue, Value, ValueLike, starlark_value, tuple::AllocTuple,
    },
};

use super::{
    aggregate::Aggregate,
    apply::gathered,
    build,
    cell::Cell,
    column::Column,
    data_frame::DataFrame,
    frame::{Frame, shown},
    index::{Index, Level},
    missing::Missing,
    series::Series,
};
use crate::modules::refusal::argument;

/// The groups of a table, of all its columns or of some.
#[derive(Clone, Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct GroupBy {
    #[allocative(skip)]
    groups: Arc<Groups>,
    /// The columns that are asked for.
    columns: Vec<usize>,
    /// Whether one column was picked by its name, and not in a list.
    single: bool,
}

#[derive(Debug)]
struct Groups {
    frame: Frame,
    by: Vec<usize>,
    /// The rows of each group.
    places: Vec<Vec<usize>>,
}

starlark_simple_value!(GroupBy);

impl fmt::Display for GroupBy {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "<{} groups>", self.groups.places.len())
    }
}

impl GroupBy {
    pub fn new(frame: Frame, by: Vec<usize>) -> starlark::Result<Self> {
        if by.is_empty() {
            return Err(argument("no group keys passed"));
        }
        let mut found: HashMap<Vec<Cell>, Vec<usize>> = HashMap::new();
        for row in 0..frame.rows() {
            let key: Vec<Cell> = by.iter().map(|at| frame.columns[*at].cell(row)).collect();
            if !key.iter().any(Cell::is_null) {
                found.entry(key).or_default().push(row);
            }
        }
        let mut sorted: Vec<(Vec<Cell>, Vec<usize>)> = found.into_iter().collect();
        sorted.sort_by(|(one, _), (two, _)| one.cmp(two));
        let places = sorted.into_iter().map(|(_, places)| places).collect();
        let columns = (0..frame.columns.len())
            .filter(|at| !by.contains(at))
            .collect();
        let groups = Arc::new(Groups { frame, by, places });
        Ok(Self {
            groups,
            columns,
            single: false,
        })
    }

    /// The keys of the groups as labels.
    fn keys(&self) -> Index {
        let groups = &*self.groups;
        let firsts: Vec<usize> = groups.places.iter().map(|places| places[0]).collect();
        let levels = groups.by.iter().map(|at| Level {
            name: Some(groups.frame.names[*at].clone()),
            column: Arc::new(groups.frame.columns[*at].take(&firsts)),
        });
        Index {
            levels: levels.collect(),
            counted: false,
        }
    }

    fn aggregate<'v>(&self, of: Aggregate, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let frame = &self.groups.frame;
        let mut columns = Vec::new();
        for at in &self.columns {
            let column = &frame.columns[*at];
            if !of.fits(column) {
                let name = shown(&frame.names[*at]);
                return Err(argument(format!("column {name} has no {}", of.name())));
            }
            let cells = self
                .groups
                .places
                .iter()
                .map(|places| of.of(column, places));
            let cells: Vec<Cell> = cells.collect::<starlark::Result<_>>()?;
            columns.push(Arc::new(Column::from_cells(cells)));
        }
        let names: Vec<Cell> = self
            .columns
            .iter()
            .map(|at| frame.names[*at].clone())
            .collect();
        let index = self.keys();
        if self.single {
            return Ok(heap.alloc(Series {
                column: columns.remove(0),
                index,
                name: names.into_iter().next(),
            }));
        }
        let frame = Frame {
            names,
            columns,
            index,
        };
        Ok(heap.alloc(DataFrame::new(frame)))
    }

    fn part<'v>(&self, places: &[usize], heap: Heap<'v>) -> Value<'v> {
        let frame = &self.groups.frame;
        if self.single {
            return heap.alloc(DataFrame::series(frame, self.columns[0]).take(places));
        }
        let mut columns = self.groups.by.clone();
        columns.extend(&self.columns);
        columns.sort_unstable();
        columns.dedup();
        heap.alloc(DataFrame::new(frame.select(&columns).take(places)))
    }

    /// Series of the groups as one, in the order of the rows of the table.
    fn reassembled(&self, parts: &[&Series]) -> Option<Series> {
        let places = &self.groups.places;
        let fits = |(part, places): (&&Series, &Vec<usize>)| part.column.len() == places.len();
        if !parts.iter().zip(places).all(fits) {
            return None;
        }
        let mut cells: Vec<(usize, Cell)> = Vec::new();
        for (part, places) in parts.iter().zip(places) {
            cells.extend(places.iter().copied().zip(part.column.cells()));
        }
        cells.sort_by_key(|(place, _)| *place);
        let rows: Vec<usize> = cells.iter().map(|(place, _)| *place).collect();
        let column = Column::from_cells(cells.into_iter().map(|(_, cell)| cell).collect());
        Some(Series {
            column: Arc::new(column),
            index: self.groups.frame.index.take(&rows),
            name: Some(self.groups.frame.names[self.columns[0]].clone()),
        })
    }

    fn apply<'v>(
        &self,
        function: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let mut answers = Vec::new();
        for places in &self.groups.places {
            let part = self.part(places, eval.heap());
            answers.push(eval.eval_function(function, &[part], &[])?);
        }
        let heap = eval.heap();
        let tables: Option<Vec<&DataFrame>> =
            answers.iter().map(|answer| answer.downcast_ref()).collect();
        if let Some([first, rest @ ..]) = tables.as_deref() {
            let mut whole = first.snapshot();
            for table in rest {
                whole = whole.append(&table.snapshot())?;
            }
            return Ok(heap.alloc(DataFrame::new(whole)));
        }
        let series: Option<Vec<&Series>> =
            answers.iter().map(|answer| answer.downcast_ref()).collect();
        let whole = series
            .filter(|_| self.single)
            .and_then(|parts| self.reassembled(&parts));
        if let Some(whole) = whole {
            return Ok(heap.alloc(whole));
        }
        let answer = gathered(&answers, self.keys(), false, eval)?;
        match (Series::from_value(answer), self.single) {
            (Some(series), true) => {
                let mut named = series.clone();
                named.name = Some(self.groups.frame.names[self.columns[0]].clone());
                Ok(heap.alloc(named))
            }
            _ => Ok(answer),
        }
    }
}

starlark::methods_static!(GROUP_METHODS = methods);

#[starlark_value(type = "GroupByResult")]
impl<'v> StarlarkValue<'v> for GroupBy {
    fn get_methods() -> Option<&'static Methods> {
        Some(GROUP_METHODS.methods())
    }

    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        Missing::find("GroupBy", attribute).map(|missing| heap.alloc(missing))
    }

    fn length(&self) -> starlark::Result<i32> {
        Ok(i32::try_from(self.groups.places.len()).unwrap_or(i32::MAX))
    }

    /// The same groups, of one column or of those in a list.
    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let single = build::items(index, heap).is_none();
        let names = build::names(index, heap)?;
        let places = names.iter().map(|name| self.groups.frame.column(name));
        Ok(heap.alloc(Self {
            groups: Arc::clone(&self.groups),
            columns: places.collect::<starlark::Result<_>>()?,
            single,
        }))
    }

    /// The key and the rows of each group.
    fn iterate_collect(&self, heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        let keys = self.keys();
        let each = self.groups.places.iter().enumerate().map(|(at, places)| {
            let key = match &keys.levels[..] {
                [only] => only.column.cell(at).to_value(heap),
                several => {
                    let cells = several
                        .iter()
                        .map(|level| level.column.cell(at).to_value(heap));
                    heap.alloc(AllocTuple(cells.collect::<Vec<_>>()))
                }
            };
            heap.alloc((key, self.part(places, heap)))
        });
        Ok(each.collect())
    }
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    fn count<'v>(this: &GroupBy, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Count, heap)
    }
    fn sum<'v>(this: &GroupBy, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Sum, heap)
    }
    fn mean<'v>(this: &GroupBy, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Mean, heap)
    }
    fn min<'v>(this: &GroupBy, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Min, heap)
    }
    fn max<'v>(this: &GroupBy, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        this.aggregate(Aggregate::Max, heap)
    }

    /// How many rows each group has, those with null among them.
    fn size(this: &GroupBy) -> starlark::Result<Series> {
        let sizes = this.groups.places.iter();
        let sizes = sizes.map(|places| i64::try_from(places.len()).unwrap_or(i64::MAX));
        Ok(Series {
            column: Arc::new(Column::Int(sizes.collect())),
            index: this.keys(),
            name: None,
        })
    }

    /// Calls a function with each group: a table, or a series of one column.
    fn apply<'v>(
        this: Value<'v>,
        #[starlark(require = pos)] function: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let groups = GroupBy::from_value(this).ok_or_else(|| argument("not groups"))?;
        groups.apply(function, eval)
    }
}
