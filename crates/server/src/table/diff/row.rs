//! What a row says, as a hash to compare by and as a few words to show.
//!
//! The hash is keyed anew for each comparison, so nobody can make two rows
//! that differ look alike.

use std::hash::{BuildHasher as _, Hasher, RandomState};

use serde_json::{Map, Value};
use strongroom_core::{json, structure::Column, text::shown};

use super::super::Cell;

/// The longest value that is shown of a changed row, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// The keys of one comparison.
#[derive(Default)]
pub struct RowHash(RandomState, RandomState);

impl RowHash {
    /// The hash of a row: of its values that are there, by column.
    pub fn row<'a>(&self, columns: &[Column], cells: impl Iterator<Item = &'a Cell>) -> u128 {
        let mut sum = 0u128;
        for (column, cell) in columns.iter().zip(cells) {
            // A sum, since columns may come in another order.
            sum = sum.wrapping_add(self.value(column, cell));
        }
        sum
    }

    fn value(&self, column: &Column, cell: &Cell) -> u128 {
        if cell.is_absent(column.kind) {
            return 0;
        }
        let value = same(cell.to_json(column.kind));
        let one = |keys: &RandomState| {
            let mut hasher = keys.build_hasher();
            hasher.write_usize(column.name.len());
            hasher.write(column.name.as_bytes());
            hasher.write(json::canonical(&value).as_bytes());
            hasher.finish()
        };
        u128::from(one(&self.0)) << 64 | u128::from(one(&self.1))
    }
}

/// A whole number is the same number however it is written.
fn same(value: Value) -> Value {
    let whole = value.as_f64().filter(|number| {
        value.is_f64() && number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0
    });
    match whole {
        Some(whole) => Value::from(whole as i64),
        None => value,
    }
}

/// A row to be shown, its long values cut.
pub fn shown_row<'a>(
    columns: &[Column],
    cells: impl Iterator<Item = &'a Cell>,
) -> Map<String, Value> {
    let one = |(column, cell): (&Column, &Cell)| {
        let value = match cell.to_json(column.kind) {
            Value::String(text) if VALUE_CHARS_MAX < text.len() => {
                Value::String(shown(&text, VALUE_CHARS_MAX))
            }
            nested @ (Value::Array(_) | Value::Object(_)) => {
                Value::String(shown(&json::canonical(&nested), VALUE_CHARS_MAX))
            }
            other => other,
        };
        (column.name.clone(), value)
    };
    columns.iter().zip(cells).map(one).collect()
}
