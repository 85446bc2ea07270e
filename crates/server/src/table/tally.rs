//! What is counted of one column while its values go by.
//!
//! CSV does not say what its values are, so the narrowest type that all of
//! them have had so far is kept, together with the extremes that each type
//! would have.

use serde_json::Value;
use strongroom_core::{
    json,
    statistics::{ColumnStatistics, EXTREME_CHARS_MAX},
    structure::{Column, ColumnType},
    text::shown,
};

use super::{
    Cell,
    cell::{ABSENT, absent, boolean, integer, number},
    sketch::Sketch,
};

/// The most bytes of a text that are kept as an extreme.
const EXTREME_BYTES_MAX: usize = 4 * EXTREME_CHARS_MAX + 4;

/// The counts.
#[derive(Default)]
pub struct Tally {
    /// Values that are there.
    values: u64,
    /// Words that are values of a column of text only.
    absent: [u64; ABSENT.len()],
    kind: Option<ColumnType>,
    /// The type was given, and no other is looked for.
    given: bool,
    truth: Extremes<bool>,
    wholes: Extremes<i64>,
    numbers: Extremes<f64>,
    texts: Extremes<String>,
    sketch: Sketch,
}

#[derive(Default)]
struct Extremes<T>(Option<(T, T)>);

impl<T: PartialOrd + Copy> Extremes<T> {
    fn add(&mut self, value: T) {
        match &mut self.0 {
            None => self.0 = Some((value, value)),
            Some((min, _)) if value < *min => *min = value,
            Some((_, max)) if *max < value => *max = value,
            Some(_) => {}
        }
    }
}

impl Extremes<String> {
    fn add_text(&mut self, text: &str) {
        let cut = || {
            let end = text.floor_char_boundary(EXTREME_BYTES_MAX);
            text[..end].to_owned()
        };
        match &mut self.0 {
            None => self.0 = Some((cut(), cut())),
            Some((min, _)) if text < min.as_str() => *min = cut(),
            Some((_, max)) if max.as_str() < text => *max = cut(),
            Some(_) => {}
        }
    }
}

impl Tally {
    pub fn of_given(column: &Column) -> Self {
        Self {
            kind: Some(column.kind),
            given: true,
            ..Self::default()
        }
    }

    pub fn add(&mut self, cell: &Cell) {
        match cell {
            Cell::Null => return,
            Cell::Raw(text) => return self.add_text(text),
            Cell::Boolean(value) => {
                self.sketch.add(1, &[u8::from(*value)]);
                self.truth.add(*value);
                self.widen(ColumnType::Boolean);
            }
            Cell::Integer(whole) => {
                self.sketch.add(2, &whole.to_le_bytes());
                self.wholes.add(*whole);
                self.numbers.add(*whole as f64);
                self.widen(ColumnType::Integer);
            }
            Cell::Number(number) => {
                self.sketch.add(3, &number.to_le_bytes());
                self.numbers.add(*number);
                self.widen(ColumnType::Number);
            }
            Cell::Text(text) => {
                self.sketch.add(4, text.as_bytes());
                self.texts.add_text(text);
                self.widen(ColumnType::String);
            }
            Cell::Nested(value) => {
                self.sketch.add(5, json::canonical(value).as_bytes());
                self.widen(ColumnType::Any);
            }
        }
        self.values += 1;
    }

    /// Counts a text of CSV, which may be a word for an absent value.
    pub fn add_text(&mut self, text: &str) {
        match absent(text) {
            Some(word) => self.absent[word] += 1,
            None => {
                self.raw(text);
                self.values += 1;
            }
        }
    }

    /// Text that may be anything: what it is is decided by the narrowest type
    /// that still takes all.
    fn raw(&mut self, text: &str) {
        self.sketch.add(4, text.as_bytes());
        self.texts.add_text(text);
        let kind = self.kind;
        let tried = matches!(kind, None | Some(ColumnType::Integer | ColumnType::Number));
        if tried && let Some(whole) = integer(text) {
            self.wholes.add(whole);
            self.numbers.add(whole as f64);
            return self.widen_raw(ColumnType::Integer);
        }
        if tried && let Some(number) = number(text) {
            self.numbers.add(number);
            return self.widen_raw(ColumnType::Number);
        }
        let tried = matches!(kind, None | Some(ColumnType::Boolean));
        if tried && let Some(value) = boolean(text) {
            self.truth.add(value);
            return self.widen_raw(ColumnType::Boolean);
        }
        self.widen_raw(ColumnType::String);
    }

    fn widen(&mut self, found: ColumnType) {
        self.widen_to(found, ColumnType::Any);
    }

    fn widen_raw(&mut self, found: ColumnType) {
        self.widen_to(found, ColumnType::String);
    }

    fn widen_to(&mut self, found: ColumnType, otherwise: ColumnType) {
        use ColumnType::{Integer, Number};
        if self.given || self.kind == Some(found) {
            return;
        }
        self.kind = Some(match self.kind {
            None => found,
            Some(Integer | Number) if matches!(found, Integer | Number) => Number,
            Some(_) => otherwise,
        });
    }

    /// The type of a column; one without any value is text.
    pub fn kind(&self) -> ColumnType {
        self.kind.unwrap_or(ColumnType::String)
    }

    /// Counts words that turned out to be values, once all values were seen.
    pub fn end(&mut self) {
        if !matches!(self.kind(), ColumnType::String | ColumnType::Any) {
            return;
        }
        for (word, count) in ABSENT.iter().zip(std::mem::take(&mut self.absent)) {
            if count != 0 {
                self.values += count;
                self.raw(word);
            }
        }
    }

    pub fn nulls(&self, rows: u64) -> u64 {
        rows.saturating_sub(self.values)
    }

    pub fn told(&self, column: &Column, rows: u64) -> ColumnStatistics {
        let (min, max) = match self.kind() {
            ColumnType::Boolean => pair(&self.truth.0, |value| Value::Bool(*value)),
            ColumnType::Integer => pair(&self.wholes.0, |whole| Value::from(*whole)),
            ColumnType::Number => pair(&self.numbers.0, |number| Value::from(*number)),
            ColumnType::String => pair(&self.texts.0, |text| {
                Value::String(shown(text, EXTREME_CHARS_MAX))
            }),
            ColumnType::Any => (None, None),
        };
        ColumnStatistics {
            name: column.name.clone(),
            nulls: self.nulls(rows),
            min,
            max,
            distinct: self.sketch.count().min(self.values),
        }
    }
}

fn pair<T>(of: &Option<(T, T)>, tell: impl Fn(&T) -> Value) -> (Option<Value>, Option<Value>) {
    match of {
        Some((min, max)) => (Some(tell(min)), Some(tell(max))),
        None => (None, None),
    }
}
