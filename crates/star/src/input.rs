//! An input dataset, as it lies in `/data`.
//!
//! Its body is the one file whose rows can be read, found as the station finds
//! it: the only file, the only one with a known ending, or `body.<format>`.
//! `dataset.json` beside it tells meta and structure, if it is there.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value};
use starlark::values::Heap;

use crate::{
    guest::{Guest, read_if_there},
    modules::json,
    rows::{Content, Kind, Reading, Rows, Table, parquet},
};

/// The file that tells what is known of a dataset beside its body.
pub const DATASET_FILE: &str = "dataset.json";
/// The input that is the version before, where a run has others too.
const PREVIOUS: &str = "previous";
/// The most files that are looked at to find the body.
const FILES_MAX: usize = 10_000;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
    Ndjson,
    Parquet,
}

impl Format {
    pub fn parse(raw: &str) -> Option<Self> {
        match raw {
            "csv" | "tsv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }

    fn of_path(path: &Path) -> Option<Self> {
        Self::parse(&path.extension()?.to_str()?.to_ascii_lowercase())
    }
}

/// What is known of an input before its body is read.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub meta: Map<String, Value>,
    pub structure: Map<String, Value>,
    pub readme: Option<String>,
    body: Option<(PathBuf, Format)>,
    is_there: bool,
}

impl Input {
    /// The input of a run that has only one, the one named `previous` of
    /// several, or none.
    pub fn only(guest: &Guest) -> anyhow::Result<Self> {
        let folder = guest.path("/data");
        if !folder.is_dir() {
            return Ok(Self::default());
        }
        let entries = entries(&folder)?;
        let previous = folder.join(PREVIOUS);
        if previous.is_dir() && entries.iter().all(|entry| entry.is_dir()) {
            return Self::of_folder(&previous);
        }
        let [only] = &entries[..] else {
            return Self::of_folder(&folder);
        };
        match only.is_dir() {
            true => Self::of_folder(only),
            false => Self::of_folder(&folder),
        }
    }

    /// The input that a script calls `reference`: a name, or a dataset's
    /// `owner/name` whose second part is the input's name.
    pub fn named(guest: &Guest, reference: &str) -> anyhow::Result<Self> {
        let folder = guest.path("/data");
        let plain = reference.split(['@', '~']).next().unwrap_or_default();
        let name = plain.rsplit('/').next().unwrap_or_default();
        let legal = !name.is_empty() && !name.starts_with('.') && !name.contains('\0');
        let found = folder.join(name);
        if legal && found.is_dir() {
            return Self::of_folder(&found);
        }
        let known = names(guest);
        match known.is_empty() {
            true => anyhow::bail!(
                "the run has no input named {name:?}; a dataset is read by a run only when the run names it as an input"
            ),
            false => anyhow::bail!(
                "the run has no input named {name:?}; it has {}",
                known.join(", ")
            ),
        }
    }

    fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        let mut input = Self {
            is_there: true,
            ..Self::default()
        };
        if let Some(raw) = read_if_there(&folder.join(DATASET_FILE))? {
            let told: Value = serde_json::from_slice(&raw)
                .map_err(|error| anyhow::anyhow!("{DATASET_FILE} is not JSON: {error}"))?;
            let part = |name: &str| told.get(name).and_then(Value::as_object).cloned();
            input.meta = part("meta").unwrap_or_default();
            input.structure = part("structure").unwrap_or_default();
            input.readme = told
                .get("readme")
                .and_then(Value::as_str)
                .map(str::to_owned);
        }
        input.body = input.find_body(folder)?;
        Ok(input)
    }

    fn find_body(&self, folder: &Path) -> anyhow::Result<Option<(PathBuf, Format)>> {
        let told = |name: &str| self.structure.get(name).and_then(Value::as_str);
        let format = told("format").and_then(Format::parse);
        if let Some(body) = told("body") {
            let path = folder.join(body);
            let inside = Path::new(body)
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            let format = format.or_else(|| Format::of_path(&path));
            return Ok(format
                .filter(|_| inside && path.is_file())
                .map(|f| (path, f)));
        }
        let mut files = entries(folder)?;
        files.retain(|path| path.is_file() && path.file_name() != Some(DATASET_FILE.as_ref()));
        if let [only] = &files[..] {
            let format = format.or_else(|| Format::of_path(only));
            return Ok(format.map(|format| (only.clone(), format)));
        }
        files.retain(|path| Format::of_path(path).is_some());
        if 1 < files.len() {
            files.retain(|path| path.file_stem() == Some("body".as_ref()));
        }
        Ok(match &files[..] {
            [only] => Format::of_path(only).map(|format| (only.clone(), format)),
            _ => None,
        })
    }

    /// Whether the run has this input at all.
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// How the body is written, if there is one.
    pub fn format(&self) -> Option<Format> {
        self.body.as_ref().map(|(_, format)| *format)
    }

    /// The body as a script sees it: rows of CSV, or the values of JSON.
    pub fn body<'v>(&self, heap: Heap<'v>) -> anyhow::Result<Option<starlark::values::Value<'v>>> {
        let Some((path, format)) = &self.body else {
            return Ok(None);
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let read = match format {
            Format::Csv => {
                let mut reading = self.reading();
                if name.to_ascii_lowercase().ends_with(".tsv") {
                    reading.delimiter = reading.delimiter.or(Some(b'\t'));
                }
                Table::open(Content::File(path.clone()), &reading)
                    .map(|table| heap.alloc(Rows::new(table)))
                    .map_err(anyhow::Error::from)
            }
            Format::Parquet => parquet::open(path).map(|table| heap.alloc(Rows::new(table))),
            _ => fs::read(path)
                .map_err(anyhow::Error::from)
                .and_then(|raw| parse(&raw, *format, &self.reading(), heap)),
        };
        read.map(Some)
            .map_err(|error| anyhow::anyhow!("{name}: {error}"))
    }

    /// What the structure says of reading CSV.
    fn reading(&self) -> Reading {
        let told = |name: &str| self.structure.get(name);
        let text = |name: &str| told(name).and_then(Value::as_str);
        let nulls = told("nulls")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let columns = told("columns")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let kinds: HashMap<String, Kind> = columns
            .filter_map(|column| {
                let kind = match column.get("type")?.as_str()? {
                    "boolean" => Kind::Boolean,
                    "integer" => Kind::Integer,
                    "number" => Kind::Number,
                    _ => Kind::Text,
                };
                Some((column.get("name")?.as_str()?.to_owned(), kind))
            })
            .collect();
        Reading {
            delimiter: text("delimiter").and_then(|sign| sign.bytes().next()),
            no_header: told("header").and_then(Value::as_bool) == Some(false),
            nulls: nulls
                .filter_map(|null| Some(null.as_str()?.to_owned()))
                .collect(),
            kinds,
        }
    }
}

/// The names of all named inputs.
pub fn names(guest: &Guest) -> Vec<String> {
    entries(&guest.path("/data"))
        .unwrap_or_default()
        .iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect()
}

/// The rows or values of a text.
pub fn parse<'v>(
    raw: &[u8],
    format: Format,
    reading: &Reading,
    heap: Heap<'v>,
) -> anyhow::Result<starlark::values::Value<'v>> {
    match format {
        Format::Csv => {
            let table = Table::open(Content::Text(Arc::from(raw)), reading)?;
            Ok(heap.alloc(Rows::new(table)))
        }
        Format::Json => Ok(json::parse(raw, heap)?),
        Format::Ndjson => {
            let mut rows = Vec::new();
            for (index, line) in raw.split(|byte| *byte == b'\n').enumerate() {
                if !line.trim_ascii().is_empty() {
                    let row = json::parse(line, heap);
                    rows.push(row.map_err(|error| anyhow::anyhow!("line {}: {error}", index + 1))?);
                }
            }
            Ok(heap.alloc(rows))
        }
        Format::Parquet => anyhow::bail!("a text is no parquet"),
    }
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)?.take(FILES_MAX) {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}
