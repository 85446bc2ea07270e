//! The functions of texts for a whole column or index at once.

use std::fmt;

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    starlark_module, starlark_simple_value,
    values::{Heap, NoSerialize, StarlarkValue, Value, starlark_value},
};

use super::{
    cell::Cell, column::Column, index::Index, labels::Labels, missing::Missing, series::Series,
};

/// What the functions are for.
#[derive(Clone, Debug)]
pub enum Whose {
    Series(Series),
    Labels(Index),
}

/// `series.str` or `index.str`.
#[derive(Clone, Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Accessor {
    #[allocative(skip)]
    whose: Whose,
}

starlark_simple_value!(Accessor);

impl fmt::Display for Accessor {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("<StringMethods>")
    }
}

impl Accessor {
    pub fn new(whose: Whose) -> Self {
        Self { whose }
    }

    /// Each text changed; what is no text becomes NaN, and None stays.
    fn each<'v>(&self, heap: Heap<'v>, change: impl Fn(&str) -> Cell) -> Value<'v> {
        let column = match &self.whose {
            Whose::Series(series) => &series.column,
            Whose::Labels(index) => &index.levels[0].column,
        };
        let cells = match &**column {
            Column::Text(texts) => texts
                .iter()
                .map(|text| text.map_or(Cell::NAN, &change))
                .collect(),
            other => other
                .cells()
                .map(|cell| match &cell {
                    Cell::Text(text) => change(text),
                    Cell::None => Cell::None,
                    _ => Cell::NAN,
                })
                .collect(),
        };
        let changed = Column::from_cells(cells);
        match &self.whose {
            Whose::Series(series) => heap.alloc(series.with(changed)),
            Whose::Labels(index) => {
                let index = Index::of(changed, index.name().cloned());
                heap.alloc(Labels { index })
            }
        }
    }
}

starlark::methods_static!(ACCESSOR_METHODS = methods);

#[starlark_value(type = "StringMethods")]
impl<'v> StarlarkValue<'v> for Accessor {
    fn get_methods() -> Option<&'static Methods> {
        Some(ACCESSOR_METHODS.methods())
    }

    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        Missing::find("str", attribute).map(|missing| heap.alloc(missing))
    }
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    fn contains<'v>(
        this: &Accessor,
        #[starlark(require = pos)] text: &str,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        Ok(this.each(heap, |each| Cell::Bool(each.contains(text))))
    }

    fn startswith<'v>(
        this: &Accessor,
        #[starlark(require = pos)] text: &str,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        Ok(this.each(heap, |each| Cell::Bool(each.starts_with(text))))
    }

    fn endswith<'v>(
        this: &Accessor,
        #[starlark(require = pos)] text: &str,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        Ok(this.each(heap, |each| Cell::Bool(each.ends_with(text))))
    }

    fn lower<'v>(this: &Accessor, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(this.each(heap, |each| Cell::text(&each.to_lowercase())))
    }

    fn upper<'v>(this: &Accessor, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(this.each(heap, |each| Cell::text(&each.to_uppercase())))
    }

    fn strip<'v>(this: &Accessor, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(this.each(heap, |each| Cell::text(each.trim())))
    }

    fn len<'v>(this: &Accessor, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(this.each(heap, |each| {
            Cell::Int(i64::try_from(each.chars().count()).unwrap_or(i64::MAX))
        }))
    }

    /// Every `needle` replaced; it is a text and no pattern.
    fn replace<'v>(
        this: &Accessor,
        #[starlark(require = pos)] needle: &str,
        #[starlark(require = pos)] new: &str,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        Ok(this.each(heap, |each| Cell::text(&each.replace(needle, new))))
    }
}
