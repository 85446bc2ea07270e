//! `encoding/csv.star`: comma-separated values as lists of lists of text.
//!
//! A text is refused, with its line, when a quote stands where it has no
//! meaning or is never closed, unless `lazy_quotes` asks for leniency: a
//! forgotten quote would otherwise swallow all that follows it.

use csv::{ReaderBuilder, StringRecord, Terminator, Trim, WriterBuilder};
use starlark::{
    environment::GlobalsBuilder,
    eval::Evaluator,
    starlark_module,
    values::{Heap, Value, list::AllocList},
};

use super::{
    quotes,
    raw::bytes_of,
    refusal::{argument, malformed},
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("csv", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Reads all rows, the header among them.
    fn read_all<'v>(
        source: Value<'v>,
        #[starlark(default = ",")] comma: &str,
        #[starlark(default = "")] comment: &str,
        #[starlark(default = false)] lazy_quotes: bool,
        #[starlark(default = false)] trim_leading_space: bool,
        #[starlark(default = 0)] fields_per_record: i32,
        #[starlark(default = 0)] skip: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let text = text_of(source)?;
        let delimiter = single("comma", comma)?.ok_or_else(|| argument("comma is empty"))?;
        let comment = single("comment", comment)?;
        if Some(delimiter) == comment || matches!(delimiter, b'"' | b'\n' | b'\r') {
            return Err(argument(
                "comma cannot be a quote, a line end or the comment",
            ));
        }
        let text = skip_lines(text, skip)?;
        if !lazy_quotes {
            quotes::check(text.as_bytes(), delimiter, comment, trim_leading_space)
                .map_err(|error| malformed("CSV", error))?;
        }
        let trimmed = trim_leading_space.then(|| leading_spaces_gone(text, delimiter));
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .comment(comment)
            .trim(Trim::None)
            .from_reader(trimmed.as_deref().unwrap_or(text).as_bytes());
        let mut width = Width::new(fields_per_record);
        let mut rows = Vec::new();
        let mut record = StringRecord::new();
        while reader
            .read_record(&mut record)
            .map_err(|error| malformed("CSV", error))?
        {
            width.check(&record)?;
            rows.push(row(&record, eval.heap()));
        }
        Ok(eval.heap().alloc(AllocList(rows)))
    }

    /// Writes rows of values as text.
    fn write_all<'v>(
        source: Value<'v>,
        #[starlark(default = ",")] comma: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<String> {
        let delimiter = single("comma", comma)?.ok_or_else(|| argument("comma is empty"))?;
        let mut writer = WriterBuilder::new()
            .flexible(true)
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .from_writer(Vec::new());
        for row in source.iterate(eval.heap())? {
            if row.unpack_str().is_some() {
                return Err(argument("every row has to be a list, not a string"));
            }
            let fields: Vec<String> = row.iterate(eval.heap())?.map(field).collect();
            writer
                .write_record(&fields)
                .map_err(|error| argument(format!("cannot write CSV: {error}")))?;
        }
        let raw = writer
            .into_inner()
            .map_err(|error| argument(format!("cannot write CSV: {error}")))?;
        String::from_utf8(raw).map_err(|error| malformed("CSV", error))
    }
}

/// The text of a string or of bytes, without the mark that some programs put
/// before UTF-8.
fn text_of(source: Value<'_>) -> starlark::Result<&str> {
    let raw = bytes_of("source", source)?;
    let text = std::str::from_utf8(raw)
        .map_err(|error| malformed("CSV", format_args!("not UTF-8: {error}")))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn skip_lines(text: &str, lines: i32) -> starlark::Result<&str> {
    let lines = usize::try_from(lines).map_err(|_| argument("skip is negative"))?;
    let mut rest = text;
    for _ in 0..lines {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    Ok(rest)
}

fn leading_spaces_gone(text: &str, delimiter: u8) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let (mut at_start, mut quoted) = (true, false);
    for character in text.chars() {
        if at_start
            && !quoted
            && matches!(character, ' ' | '\t')
            && character as u32 != u32::from(delimiter)
        {
            continue;
        }
        if character == '"' {
            quoted = !quoted;
        }
        at_start = !quoted && (character as u32 == u32::from(delimiter) || character == '\n');
        cleaned.push(character);
    }
    cleaned
}

/// One ASCII character, or none for an empty text.
fn single(name: &str, text: &str) -> starlark::Result<Option<u8>> {
    match text.as_bytes() {
        [] => Ok(None),
        [byte] if byte.is_ascii() => Ok(Some(*byte)),
        _ => Err(argument(format!(
            "{name} has to be one ASCII character, not {text:?}"
        ))),
    }
}

fn row<'v>(record: &StringRecord, heap: Heap<'v>) -> Value<'v> {
    heap.alloc(AllocList(record.iter()))
}

fn field(value: Value<'_>) -> String {
    match value.is_none() {
        true => String::new(),
        false => value.to_str(),
    }
}

/// How many fields a row has to have: a number, that of the first row, or any.
enum Width {
    Any,
    First,
    Exactly(usize),
}

impl Width {
    fn new(fields_per_record: i32) -> Self {
        match usize::try_from(fields_per_record) {
            Ok(0) => Self::First,
            Ok(count) => Self::Exactly(count),
            Err(_) => Self::Any,
        }
    }

    fn check(&mut self, record: &StringRecord) -> starlark::Result<()> {
        let Self::Exactly(count) = self else {
            if matches!(self, Self::First) {
                *self = Self::Exactly(record.len());
            }
            return Ok(());
        };
        if record.len() == *count {
            return Ok(());
        }
        let line = record.position().map_or(0, csv::Position::line);
        Err(malformed(
            "CSV",
            format_args!(
                "line {line} has {} fields, not {count}; fields_per_record=-1 allows that",
                record.len()
            ),
        ))
    }
}
