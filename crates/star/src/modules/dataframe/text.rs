//! A table from the text of a CSV file.

use csv::{ReaderBuilder, StringRecord};

use super::{
    cell::Cell,
    column::Column,
    frame::{Frame, check_size},
    texts::Texts,
};
use crate::modules::refusal::malformed;

/// What stands for a missing value, as in pandas.
const MISSING: [&str; 18] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan",
];

/// Reads a table; its first line holds the names.
///
/// # Errors
///
/// When a row has more fields than the first line, or the text is too large.
pub fn parse(text: &str) -> starlark::Result<Frame> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let bad = |error| malformed("CSV", error);
    if !reader.read_record(&mut record).map_err(bad)? {
        return Err(malformed("CSV", "there are no columns to parse"));
    }
    let names = names(&record);
    let mut columns = vec![Texts::default(); names.len()];
    let mut rows = 0;
    while reader.read_record(&mut record).map_err(bad)? {
        rows += 1;
        check_size(rows, names.len())?;
        if names.len() < record.len() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(malformed(
                "CSV",
                format_args!(
                    "expected {} fields in line {line}, saw {}",
                    names.len(),
                    record.len()
                ),
            ));
        }
        for (at, column) in columns.iter_mut().enumerate() {
            let field = record
                .get(at)
                .filter(|field| !MISSING.contains(field) && *field != "null");
            column.push(field);
        }
    }
    let columns = columns.into_iter().map(narrowest).collect();
    Ok(Frame::counted(names, columns))
}

/// The names of the first line; one that comes again gets a number.
fn names(record: &StringRecord) -> Vec<Cell> {
    let mut names: Vec<Cell> = Vec::new();
    for (at, field) in record.iter().enumerate() {
        let base = match field {
            "" => format!("Unnamed: {at}"),
            field => field.to_owned(),
        };
        let mut name = Cell::text(&base);
        let mut again = 1;
        while names.contains(&name) {
            name = Cell::text(&format!("{base}.{again}"));
            again += 1;
        }
        names.push(name);
    }
    names
}

/// The column as integers, floats or truths where all texts are such.
pub fn narrowest(texts: Texts) -> Column {
    let any = texts.iter().any(|text| text.is_some());
    if !any {
        return match texts.len() {
            0 => Column::Mixed(Vec::new()),
            rows => Column::Float(vec![f64::NAN; rows]),
        };
    }
    if !texts.has_missing() {
        let ints = texts.iter().map(|text| text?.parse().ok());
        if let Some(ints) = ints.collect() {
            return Column::Int(ints);
        }
        let truths = texts.iter().map(|text| match text? {
            "True" | "TRUE" | "true" => Some(true),
            "False" | "FALSE" | "false" => Some(false),
            _ => None,
        });
        if let Some(truths) = truths.collect() {
            return Column::Bool(truths);
        }
    }
    let floats = texts.iter().map(|text| match text {
        None => Some(f64::NAN),
        Some(text) => float(text),
    });
    match floats.collect() {
        Some(floats) => Column::Float(floats),
        None => Column::Text(texts),
    }
}

/// A number; the words that Rust reads as numbers are none, but for `inf`.
fn float(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['+', '-']);
    let number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    (number || digits == "inf")
        .then(|| text.parse().ok())
        .flatten()
}

/// The table as CSV, its names first; what is null is an empty field.
pub fn write(frame: &Frame) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(frame.names.iter().map(Cell::plain))?;
    for row in 0..frame.rows() {
        let cells = frame.row(row).into_iter();
        writer.write_record(cells.map(|cell| match cell {
            cell if cell.is_null() => String::new(),
            Cell::Float(float) => float.to_string(),
            other => other.plain(),
        }))?;
    }
    let raw = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&raw).into_owned())
}
