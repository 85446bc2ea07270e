//! What a body has: its columns, their types, and what can be counted.
//!
//! One pass over the rows. A type that was given is a law, and the first value
//! that breaks it ends the pass; a type that was not given is the narrowest
//! that takes every value.

use strongroom_core::{
    schema,
    statistics::Statistics,
    structure::{Column, Reading, Structure, schema_of},
};

use super::{Body, TableError, laws::Laws, open, places::Places, tallies::Tallies, tally::Tally};

/// Reads a whole body.
///
/// # Errors
///
/// [`TableError::Body`] with the place of what is wrong with it, or of what
/// contradicts a structure that was given.
pub fn profile(body: Body) -> Result<(Structure, Statistics), TableError> {
    let reading = body.reading.clone();
    let bytes = body.file.metadata()?.len();
    let mut laws = Laws::of(&reading)?;
    let mut rows = open(body)?;
    laws.names(&*rows)?;
    let given = reading.columns.as_deref().unwrap_or_default();
    let mut tallies = Tallies::new(reading.format, given);
    let mut places = Places::of(given.iter().map(|column| column.name.clone()));
    let mut count = 0u64;
    while rows.advance()? {
        count += 1;
        laws.later_names(count, &*rows)?;
        laws.schema(count, &*rows)?;
        if reading.columns.is_none() {
            tallies.add(rows.cells().iter());
            continue;
        }
        places.look(&*rows);
        for (cell, column) in places.cells(&*rows).zip(given) {
            laws.value(count, column, cell)?;
        }
        tallies.add(places.cells(&*rows));
    }
    let tallies: Vec<Tally> = tallies.end(rows.columns().len());
    let columns = match &reading.columns {
        Some(given) => given.clone(),
        None => found(rows.columns(), &tallies, count),
    };
    if columns.is_empty() {
        return Err(TableError::body("it has no columns"));
    }
    let each = columns.iter().zip(&tallies);
    let statistics = Statistics {
        rows: count,
        bytes,
        columns: each
            .map(|(column, tally)| tally.told(column, count))
            .collect(),
    };
    let structure = structure(reading, columns, rows.delimiter());
    Ok((structure, statistics))
}

fn found(names: &[String], tallies: &[Tally], count: u64) -> Vec<Column> {
    let one = |(name, tally): (&String, &Tally)| Column {
        name: name.clone(),
        kind: tally.kind(),
        nullable: tally.nulls(count) != 0,
        description: String::new(),
    };
    names.iter().zip(tallies).map(one).collect()
}

fn structure(reading: Reading, columns: Vec<Column>, delimiter: Option<char>) -> Structure {
    Structure {
        format: reading.format,
        delimiter,
        header: delimiter.map(|_| reading.header),
        nulls: reading.nulls,
        schema: reading.schema.unwrap_or_else(|| schema_of(&columns)),
        columns,
    }
}

/// Whether a schema can be compiled; its own fault otherwise.
pub(super) fn compiled(reading: &Reading) -> Result<Option<schema::Compiled>, TableError> {
    let compiled = reading.schema.as_ref().map(schema::compile).transpose();
    compiled.map_err(|why| TableError::Asked(format!("structure.schema: {why}")))
}
