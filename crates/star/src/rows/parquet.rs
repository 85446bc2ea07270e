//! A body of Parquet, as the CSV text that says the same.
//!
//! It is unpacked here, inside the sandbox: what a damaged or deceitful file
//! does to the library that reads it ends this one run. Values are written as
//! the station writes them: values of a struct are columns of their own, named
//! with a dot, times and decimals are texts, bytes that are no text are Base64,
//! what is no finite number is absent, and lists and maps are refused by name.
//! Absent: a way to read less than all of it.

use std::{
    collections::HashMap,
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp, civil::Date};
use parquet::{
    basic::{LogicalType, TimeUnit, Type as Physical},
    file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
    record::{Field, Row},
    schema::types::{ColumnDescriptor, Type},
};

use super::{Content, Kind, Reading, Table};
use crate::modules::bounds::TEXT_BYTES_MAX;

/// What stands for an absent value. A text that is this one sign and nothing
/// else is taken for absent as well.
const ABSENT: &str = "\0";

/// What the bits of a column mean, where its values do not tell.
#[derive(Clone, Copy)]
enum Meaning {
    Plain,
    /// Nanoseconds in a tick, and whether it is in UTC.
    Moment(i64, bool),
    Uuid,
}

/// The types of columns by their names.
type Kinds = HashMap<String, Kind>;

/// Reads the rows of a file.
///
/// # Errors
///
/// When it is no Parquet, has lists or maps, or is too large as a text.
pub fn open(path: &Path) -> anyhow::Result<Table> {
    let file = File::open(path)?;
    // The library panics on some files that are damaged.
    let read = catch_unwind(AssertUnwindSafe(|| read(file)));
    let (text, kinds) = read.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "it is damaged, or of a kind that is not read"
        ))
    })?;
    let reading = Reading {
        delimiter: Some(b','),
        no_header: false,
        nulls: vec![ABSENT.to_owned()],
        kinds,
    };
    Ok(Table::open(Content::Text(text), &reading)?)
}

/// The text, and the types of its columns.
fn read(file: File) -> anyhow::Result<(Arc<[u8]>, Kinds)> {
    let told =
        |error: parquet::errors::ParquetError| anyhow::anyhow!("the body is not Parquet: {error}");
    let reader = SerializedFileReader::new(file).map_err(told)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let columns = schema.columns();
    if let Some(list) = columns.iter().find(|column| 0 < column.max_rep_level()) {
        anyhow::bail!(
            "{} is a list or a map, and has no place in a row",
            list.path().string()
        );
    }
    let names: Vec<String> = columns
        .iter()
        .map(|column| column.path().string())
        .collect();
    let meanings: Vec<Meaning> = columns.iter().map(|column| meaning(column)).collect();
    let kinds = columns.iter().zip(&names);
    let kinds = kinds.filter_map(|(column, name)| Some((name.clone(), kind(column)?)));
    let kinds: Kinds = kinds.collect();
    let mut text = csv::Writer::from_writer(Bounded(Vec::new()));
    text.write_record(&names)?;
    let root = schema.root_schema();
    for row in reader.get_row_iter(None).map_err(told)? {
        let row = row.map_err(told)?;
        let mut cells = Vec::with_capacity(names.len());
        of_row(root, &row, &meanings, &mut cells)?;
        text.write_record(&cells)?;
    }
    let whole = text.into_inner().map_err(|error| error.into_error())?;
    Ok((Arc::from(whole.0), kinds))
}

/// A text that ends at its bound.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if TEXT_BYTES_MAX < self.0.len() + bytes.len() {
            let why = format!("it comes to more than {TEXT_BYTES_MAX} bytes as a text");
            return Err(io::Error::other(why));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Adds the cells of a row, or of a struct in it.
fn of_row(
    group: &Type,
    row: &Row,
    meanings: &[Meaning],
    cells: &mut Vec<String>,
) -> anyhow::Result<()> {
    for (part, (_, field)) in group.get_fields().iter().zip(row.get_column_iter()) {
        match field {
            Field::Group(row) => of_row(part, row, meanings, cells)?,
            Field::Null => absent(part, cells),
            field => {
                let meaning = meanings.get(cells.len()).copied();
                cells.push(cell(field, meaning.unwrap_or(Meaning::Plain))?);
            }
        }
    }
    Ok(())
}

/// Adds as many absent values as there are columns below.
fn absent(part: &Type, cells: &mut Vec<String>) {
    match part.is_group() {
        true => part
            .get_fields()
            .iter()
            .for_each(|part| absent(part, cells)),
        false => cells.push(ABSENT.to_owned()),
    }
}

fn meaning(column: &ColumnDescriptor) -> Meaning {
    match column.logical_type_ref() {
        Some(LogicalType::Timestamp(time)) => {
            let nanos = match time.unit {
                TimeUnit::MILLIS => 1_000_000,
                TimeUnit::MICROS => 1000,
                TimeUnit::NANOS => 1,
            };
            Meaning::Moment(nanos, time.is_adjusted_to_u_t_c)
        }
        Some(LogicalType::Uuid) => Meaning::Uuid,
        _ => Meaning::Plain,
    }
}

/// The type of a column, unless its values have to show it.
fn kind(column: &ColumnDescriptor) -> Option<Kind> {
    use parquet::basic::ConvertedType;
    let is_text = matches!(
        column.logical_type_ref(),
        Some(LogicalType::Date | LogicalType::Timestamp(_) | LogicalType::Decimal(_))
    );
    Some(match (column.physical_type(), column.converted_type()) {
        _ if is_text => Kind::Text,
        (
            _,
            ConvertedType::DATE
            | ConvertedType::TIMESTAMP_MILLIS
            | ConvertedType::TIMESTAMP_MICROS
            | ConvertedType::DECIMAL,
        ) => Kind::Text,
        (_, ConvertedType::UINT_64) => return None,
        (Physical::BOOLEAN, _) => Kind::Boolean,
        (Physical::INT32 | Physical::INT64, _) => Kind::Integer,
        (Physical::FLOAT | Physical::DOUBLE, _) => Kind::Number,
        _ if matches!(column.logical_type_ref(), Some(LogicalType::Float16)) => Kind::Number,
        _ => Kind::Text,
    })
}

fn cell(field: &Field, means: Meaning) -> anyhow::Result<String> {
    let moment =
        |value: i64, nanos: i64, utc: bool| moment(i128::from(value) * i128::from(nanos), utc);
    Ok(match (field, means) {
        (Field::Long(value), Meaning::Moment(nanos, utc)) => moment(*value, nanos, utc),
        (Field::TimestampMillis(value), Meaning::Moment(_, utc)) => moment(*value, 1_000_000, utc),
        (Field::TimestampMicros(value), Meaning::Moment(_, utc)) => moment(*value, 1000, utc),
        // Of a kind from before there was a word for the zone.
        (Field::TimestampMillis(value), _) => moment(*value, 1_000_000, true),
        (Field::TimestampMicros(value), _) => moment(*value, 1000, true),
        (Field::Date(days), _) => day(*days),
        (Field::Float16(value), _) => finite(value.to_f64(), value.to_string()),
        (Field::Float(value), _) => finite(f64::from(*value), value.to_string()),
        (Field::Double(value), _) => finite(*value, value.to_string()),
        (Field::Decimal(_), _) => field.to_string().trim_end_matches('.').to_owned(),
        (Field::TimeMillis(value), _) => value.to_string(),
        (Field::TimeMicros(value), _) => value.to_string(),
        (Field::Str(text), _) => text.clone(),
        (Field::Bytes(bytes), Meaning::Uuid) if bytes.len() == 16 => uuid(bytes.data()),
        (Field::Bytes(bytes), _) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.to_owned(),
            Err(_) => BASE64_STANDARD.encode(bytes.data()),
        },
        (Field::ListInternal(_) | Field::MapInternal(_) | Field::Group(_), _) => {
            anyhow::bail!("a list or a map has no place in a row")
        }
        (Field::Null, _) => ABSENT.to_owned(),
        // Truths and whole numbers.
        (other, _) => other.to_string(),
    })
}

fn finite(value: f64, text: String) -> String {
    match value.is_finite() {
        true => text,
        false => ABSENT.to_owned(),
    }
}

/// The day that is so many days after the first of 1970.
fn day(days: i32) -> String {
    let since = SignedDuration::from_hours(i64::from(days) * 24);
    let day = Date::constant(1970, 1, 1).checked_add(since);
    day.map_or_else(|_| days.to_string(), |day| day.to_string())
}

fn moment(nanos: i128, utc: bool) -> String {
    let Ok(moment) = Timestamp::from_nanosecond(nanos) else {
        return nanos.to_string();
    };
    let mut text = moment.to_string();
    if !utc {
        text.truncate(text.trim_end_matches('Z').len());
    }
    text
}

fn uuid(bytes: &[u8]) -> String {
    let text = hex::encode(bytes);
    [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ]
    .join("-")
}
