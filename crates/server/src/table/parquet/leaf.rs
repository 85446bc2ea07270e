//! The values of one column, as cells.
//!
//! A few values are decoded at once. Times are text as people write them, and
//! so are decimals, which no double keeps; bytes that are no text are Base64;
//! what is no finite number is absent.

use ::parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit, Type},
    column::{page::PageReader, reader::ColumnReaderImpl},
    data_type::{
        BoolType, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type,
        Int64Type, Int96Type,
    },
    schema::types::ColumnDescPtr,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp, civil::Date};

use super::{
    super::{Cell, TableError},
    damaged,
};

/// Values decoded at once.
const BATCH: usize = 256;

/// One column, a value at a time.
pub trait Leaf {
    fn next(&mut self) -> Result<Cell, TableError>;
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    values: std::vec::IntoIter<T::T>,
    levels: std::vec::IntoIter<i16>,
    /// The level of a value that is there.
    level_max: i16,
    cell: Box<dyn Fn(T::T) -> Cell>,
}

impl<T: DataType> Leaf for Typed<T> {
    fn next(&mut self) -> Result<Cell, TableError> {
        if self.level_max == 0 && self.values.len() == 0
            || self.level_max != 0 && self.levels.len() == 0
        {
            self.fill()?;
        }
        if self.level_max != 0 {
            match self.levels.next() {
                Some(level) if level == self.level_max => {}
                Some(_) => return Ok(Cell::Null),
                None => return Err(ended()),
            }
        }
        let value = self.values.next().ok_or_else(ended)?;
        Ok((self.cell)(value))
    }
}

impl<T: DataType> Typed<T> {
    fn fill(&mut self) -> Result<(), TableError> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let wanted = (self.level_max != 0).then_some(&mut levels);
        let read = self.reader.read_records(BATCH, wanted, None, &mut values);
        read.map_err(damaged)?;
        self.values = values.into_iter();
        self.levels = levels.into_iter();
        Ok(())
    }
}

fn ended() -> TableError {
    damaged("a column ends before the others")
}

fn typed<T: DataType>(
    column: ColumnDescPtr,
    pages: Box<dyn PageReader>,
    cell: impl Fn(T::T) -> Cell + 'static,
) -> Box<dyn Leaf> {
    Box::new(Typed::<T> {
        level_max: column.max_def_level(),
        reader: ColumnReaderImpl::new(column, pages),
        values: Vec::new().into_iter(),
        levels: Vec::new().into_iter(),
        cell: Box::new(cell),
    })
}

/// What the bits of a value mean.
#[derive(Clone, Copy)]
enum Meaning {
    Plain,
    Unsigned,
    Text,
    Date,
    /// Ticks a second, and whether it is in UTC.
    Moment(i64, bool),
    /// Digits after the point.
    Decimal(u32),
    Uuid,
    Half,
}

/// Opens a column. Its type was checked to have no repetition.
pub fn open(
    column: ColumnDescPtr,
    pages: Box<dyn PageReader>,
) -> Result<Box<dyn Leaf>, TableError> {
    let means = meaning(&column);
    Ok(match column.physical_type() {
        Type::BOOLEAN => typed::<BoolType>(column, pages, Cell::Boolean),
        Type::INT32 => typed::<Int32Type>(column, pages, move |value| match means {
            Meaning::Unsigned => Cell::Integer(i64::from(value.cast_unsigned())),
            _ => whole(i64::from(value), means),
        }),
        Type::INT64 => typed::<Int64Type>(column, pages, move |value| match means {
            Meaning::Unsigned => match i64::try_from(value.cast_unsigned()) {
                Ok(whole) => Cell::Integer(whole),
                Err(_) => Cell::Text(value.cast_unsigned().to_string()),
            },
            _ => whole(value, means),
        }),
        Type::INT96 => typed::<Int96Type>(column, pages, |value| {
            moment(value.to_micros(), 1_000_000, false)
        }),
        Type::FLOAT => typed::<FloatType>(column, pages, |value| {
            // The shortest text that means this value, and not its binary tail.
            finite(value.to_string().parse().unwrap_or(f64::NAN))
        }),
        Type::DOUBLE => typed::<DoubleType>(column, pages, finite),
        Type::BYTE_ARRAY => {
            typed::<ByteArrayType>(column, pages, move |value| bytes(value.data(), means))
        }
        Type::FIXED_LEN_BYTE_ARRAY => {
            typed::<FixedLenByteArrayType>(column, pages, move |value| bytes(value.data(), means))
        }
    })
}

fn meaning(column: &ColumnDescPtr) -> Meaning {
    let scale = u32::try_from(column.type_scale()).unwrap_or(0);
    if let Some(logical) = column.logical_type_ref() {
        return match logical {
            LogicalType::Integer(integer) if !integer.is_signed => Meaning::Unsigned,
            LogicalType::String | LogicalType::Enum | LogicalType::Json => Meaning::Text,
            LogicalType::Date => Meaning::Date,
            LogicalType::Timestamp(time) => {
                let ticks = match time.unit {
                    TimeUnit::MILLIS => 1000,
                    TimeUnit::MICROS => 1_000_000,
                    TimeUnit::NANOS => 1_000_000_000,
                };
                Meaning::Moment(ticks, time.is_adjusted_to_u_t_c)
            }
            LogicalType::Decimal(_) => Meaning::Decimal(scale),
            LogicalType::Uuid => Meaning::Uuid,
            LogicalType::Float16 => Meaning::Half,
            _ => Meaning::Plain,
        };
    }
    match column.converted_type() {
        ConvertedType::UINT_8
        | ConvertedType::UINT_16
        | ConvertedType::UINT_32
        | ConvertedType::UINT_64 => Meaning::Unsigned,
        ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Meaning::Text,
        ConvertedType::DATE => Meaning::Date,
        ConvertedType::TIMESTAMP_MILLIS => Meaning::Moment(1000, true),
        ConvertedType::TIMESTAMP_MICROS => Meaning::Moment(1_000_000, true),
        ConvertedType::DECIMAL => Meaning::Decimal(scale),
        _ => Meaning::Plain,
    }
}

fn finite(value: f64) -> Cell {
    match value.is_finite() {
        true => Cell::Number(value),
        false => Cell::Null,
    }
}

fn whole(value: i64, means: Meaning) -> Cell {
    match means {
        Meaning::Date => Cell::Text(date(value).unwrap_or_else(|| value.to_string())),
        Meaning::Moment(ticks, utc) => moment(value, ticks, utc),
        Meaning::Decimal(scale) => Cell::Text(decimal(i128::from(value), scale)),
        _ => Cell::Integer(value),
    }
}

/// The day that is so many days after the first of 1970.
fn date(days: i64) -> Option<String> {
    let since = SignedDuration::from_secs(days.checked_mul(86_400)?);
    let day = Date::constant(1970, 1, 1).checked_add(since).ok()?;
    Some(day.to_string())
}

fn moment(value: i64, ticks: i64, utc: bool) -> Cell {
    let nanos = i128::from(value) * i128::from(1_000_000_000 / ticks);
    let Ok(moment) = Timestamp::from_nanosecond(nanos) else {
        return Cell::Text(value.to_string());
    };
    let mut text = moment.to_string();
    if !utc {
        text.truncate(text.trim_end_matches('Z').len());
    }
    Cell::Text(text)
}

fn bytes(value: &[u8], means: Meaning) -> Cell {
    match (means, value) {
        (Meaning::Decimal(scale), value) if value.len() <= 16 => {
            let negative = value.first().is_some_and(|first| 0x7f < *first);
            let mut wide = [if negative { 0xff } else { 0 }; 16];
            wide[16 - value.len()..].copy_from_slice(value);
            Cell::Text(decimal(i128::from_be_bytes(wide), scale))
        }
        (Meaning::Half, [low, high]) => finite(half(u16::from_le_bytes([*low, *high]))),
        (Meaning::Uuid, value) if value.len() == 16 => Cell::Text(uuid(value)),
        (_, value) => match std::str::from_utf8(value) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Text(BASE64_STANDARD.encode(value)),
        },
    }
}

fn decimal(unscaled: i128, scale: u32) -> String {
    /// The most digits that 128 bits have.
    const DIGITS_MAX: u32 = 39;
    let scale = scale.min(DIGITS_MAX) as usize;
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    match part {
        "" => format!("{sign}{whole}"),
        part => format!("{sign}{whole}.{part}"),
    }
}

fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, part) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => part * 2f64.powi(-24),
        31 => f64::NAN,
        _ => (1.0 + part / 1024.0) * 2f64.powi(exponent - 15),
    }
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_people_write_it() {
        let text = |cell| match cell {
            Cell::Text(text) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(text(whole(-1, Meaning::Date)), "1969-12-31");
        assert_eq!(text(whole(i64::MAX, Meaning::Date)), i64::MAX.to_string());
        let millis = whole(1500, Meaning::Moment(1000, true));
        assert_eq!(text(millis), "1970-01-01T00:00:01.5Z");
        let local = whole(0, Meaning::Moment(1_000_000_000, false));
        assert_eq!(text(local), "1970-01-01T00:00:00");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(12345, 2), "123.45");
        assert_eq!(decimal(7, 0), "7");
        assert_eq!(text(bytes(&[0xff, 0x85], Meaning::Decimal(1))), "-12.3");
        assert_eq!(half(0x3c00), 1.0);
        assert_eq!(
            bytes(b"\xff", Meaning::Plain),
            Cell::Text("/w==".to_owned())
        );
        let id = uuid(&[0x12; 16]);
        assert_eq!(id, "12121212-1212-1212-1212-121212121212");
    }
}
