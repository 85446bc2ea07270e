//! Rows of JSON: a list, or a value a line.
//!
//! A list is cut into its elements as it comes, so one of any length is read
//! in the memory of its longest element; each element is then read by the
//! strict parser. A row is an object, or a list of the columns' values.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
};

use serde_json::Value;
use strongroom_core::{
    json,
    structure::{COLUMN_NAME_LEN_MAX, COLUMNS_MAX, Reading},
};

use super::{Cell, RECORD_BYTES_MAX, Rows, TableError};

const BUFFER_BYTES: usize = 256 * 1024;
/// The most values in one row, with names: each takes some hundred bytes of
/// memory once it is parsed, and two of the file.
const ROW_VALUES_MAX: usize = 1 << 18;

pub struct JsonRows {
    from: Elements,
    row: u64,
    columns: Vec<String>,
    places: HashMap<String, usize>,
    cells: Vec<Cell>,
    /// Rows are lists, which have no names but those that were given.
    lists: Option<bool>,
    given: Vec<String>,
}

/// Where elements come from.
enum Elements {
    List(List),
    Lines {
        from: BufReader<File>,
        line: Vec<u8>,
        number: u64,
    },
}

/// A list, cut into its elements.
struct List {
    from: BufReader<File>,
    element: Vec<u8>,
    begun: bool,
}

impl JsonRows {
    pub fn list(file: File, reading: &Reading) -> Result<Self, TableError> {
        let mut from = BufReader::with_capacity(BUFFER_BYTES, file);
        skip_mark(&mut from)?;
        match next_byte(&mut from)? {
            Some(b'[') => {}
            None => return Err(TableError::body("it is empty")),
            Some(_) => {
                let why = "it is one JSON value and no list of rows";
                return Err(TableError::body(why));
            }
        }
        Ok(Self::new(
            Elements::List(List {
                from,
                element: Vec::new(),
                begun: false,
            }),
            reading,
        ))
    }

    pub fn lines(file: File, reading: &Reading) -> Self {
        Self::new(
            Elements::Lines {
                from: BufReader::with_capacity(BUFFER_BYTES, file),
                line: Vec::new(),
                number: 0,
            },
            reading,
        )
    }

    fn new(from: Elements, reading: &Reading) -> Self {
        let given = reading.columns.iter().flatten();
        Self {
            from,
            row: 0,
            columns: Vec::new(),
            places: HashMap::new(),
            cells: Vec::new(),
            lists: None,
            given: given.map(|column| column.name.clone()).collect(),
        }
    }

    fn place(&mut self, name: String) -> Result<usize, TableError> {
        if let Some(place) = self.places.get(&name) {
            return Ok(*place);
        }
        if COLUMNS_MAX <= self.columns.len() || COLUMN_NAME_LEN_MAX < name.len() {
            return Err(TableError::body(format!(
                "row {}: more than {COLUMNS_MAX} columns, or a name of more than \
                 {COLUMN_NAME_LEN_MAX} bytes",
                self.row
            )));
        }
        let place = self.columns.len();
        self.places.insert(name.clone(), place);
        self.columns.push(name);
        self.cells.push(Cell::Null);
        Ok(place)
    }

    fn take(&mut self, value: Value) -> Result<(), TableError> {
        let is_list = value.is_array();
        if *self.lists.get_or_insert(is_list) != is_list {
            let why = format!("row {}: lists and objects are mixed", self.row);
            return Err(TableError::body(why));
        }
        self.cells.fill(Cell::Null);
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let place = self.place(name)?;
                    self.cells[place] = Cell::of_json(value);
                }
                Ok(())
            }
            Value::Array(items) => {
                for (index, value) in items.into_iter().enumerate() {
                    let given = self.given.get(index).cloned();
                    let name = given.unwrap_or_else(|| format!("column_{}", index + 1));
                    let place = self.place(name)?;
                    self.cells[place] = Cell::of_json(value);
                }
                Ok(())
            }
            _ => Err(TableError::body(format!(
                "row {} is neither an object nor a list",
                self.row
            ))),
        }
    }
}

impl Rows for JsonRows {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn cells(&self) -> &[Cell] {
        &self.cells
    }

    fn advance(&mut self) -> Result<bool, TableError> {
        let Some((bytes, place)) = self.from.next()? else {
            return Ok(false);
        };
        self.row += 1;
        if ROW_VALUES_MAX < values_most(bytes) {
            let row = self.row;
            let why = format!("row {row} has more than {ROW_VALUES_MAX} values");
            return Err(TableError::body(why));
        }
        let value = json::parse(bytes).map_err(|error| {
            let (row, column, why) = (self.row, error.column, error.message);
            match place {
                Some(line) => TableError::body(format!("line {line}, column {column}: {why}")),
                None => TableError::body(format!("row {row}: {why}")),
            }
        })?;
        self.take(value)?;
        Ok(true)
    }
}

/// An element's bytes, and the line it is in where a line has it.
type Element<'a> = (&'a [u8], Option<u64>);

impl Elements {
    fn next(&mut self) -> Result<Option<Element<'_>>, TableError> {
        match self {
            Self::List(list) => {
                let found = list.next()?;
                Ok(found.then_some((list.element.as_slice(), None)))
            }
            Self::Lines { from, line, number } => {
                loop {
                    line.clear();
                    *number += 1;
                    let limit = RECORD_BYTES_MAX + 1;
                    let count = from.by_ref().take(limit).read_until(b'\n', line)?;
                    if RECORD_BYTES_MAX < count as u64 {
                        let most = RECORD_BYTES_MAX >> 20;
                        let why = format!("line {number} is longer than {most} MiB");
                        return Err(TableError::body(why));
                    }
                    if count == 0 {
                        return Ok(None);
                    }
                    let marked = *number == 1 && line.starts_with(b"\xef\xbb\xbf");
                    if marked {
                        line.drain(..3);
                    }
                    if !line.trim_ascii().is_empty() {
                        break;
                    }
                }
                Ok(Some((line.as_slice(), Some(*number))))
            }
        }
    }
}

impl List {
    /// Reads the next element; whether there is one.
    fn next(&mut self) -> Result<bool, TableError> {
        self.element.clear();
        let first = match (next_byte(&mut self.from)?, self.begun) {
            (Some(b']'), _) => return self.end(),
            (Some(b','), true) => next_byte(&mut self.from)?,
            (Some(_), true) => return Err(TableError::body("a comma is missing between rows")),
            (byte, _) => byte,
        };
        self.begun = true;
        let Some(first) = first else {
            return Err(cut_off());
        };
        if !matches!(first, b'{' | b'[') {
            let why = "a row is neither an object nor a list";
            return Err(TableError::body(why));
        }
        self.element.push(first);
        self.rest()?;
        Ok(true)
    }

    /// Reads up to the bracket that closes the element. What is between is the
    /// parser's to judge.
    fn rest(&mut self) -> Result<(), TableError> {
        let (mut depth, mut in_text, mut escaped) = (1u32, false, false);
        loop {
            let buffer = self.from.fill_buf()?;
            if buffer.is_empty() {
                return Err(cut_off());
            }
            let mut taken = buffer.len();
            for (index, byte) in buffer.iter().enumerate() {
                match (in_text, byte) {
                    (true, _) if escaped => escaped = false,
                    (true, b'\\') => escaped = true,
                    (true, b'"') => in_text = false,
                    (true, _) => {}
                    (false, b'"') => in_text = true,
                    (false, b'{' | b'[') => depth += 1,
                    (false, b'}' | b']') => depth -= 1,
                    (false, _) => {}
                }
                if depth == 0 {
                    taken = index + 1;
                    break;
                }
            }
            self.element.extend_from_slice(&buffer[..taken]);
            self.from.consume(taken);
            if RECORD_BYTES_MAX < self.element.len() as u64 {
                let most = RECORD_BYTES_MAX >> 20;
                return Err(TableError::body(format!("a row is longer than {most} MiB")));
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn end(&mut self) -> Result<bool, TableError> {
        match next_byte(&mut self.from)? {
            None => Ok(false),
            Some(_) => Err(TableError::body("it goes on after the end of the list")),
        }
    }
}

/// How many values and names there can be in an element. A short one is not
/// looked at: it has no more than half its bytes.
fn values_most(element: &[u8]) -> usize {
    if element.len() <= 2 * ROW_VALUES_MAX {
        return element.len() / 2;
    }
    let (mut count, mut in_text, mut escaped) = (1, false, false);
    for byte in element {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b',' | b':' | b'{' | b'[') => count += 1,
            _ => {}
        }
    }
    count
}

fn cut_off() -> TableError {
    TableError::body("it ends within its list; it is cut off")
}

/// The next byte that is no white space.
fn next_byte(from: &mut BufReader<File>) -> Result<Option<u8>, TableError> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let blanks = buffer.iter().take_while(blank).count();
        let found = buffer.get(blanks).copied();
        from.consume(blanks + usize::from(found.is_some()));
        if found.is_some() {
            return Ok(found);
        }
    }
}

fn skip_mark(from: &mut BufReader<File>) -> Result<(), TableError> {
    if from.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        from.consume(3);
    }
    Ok(())
}
