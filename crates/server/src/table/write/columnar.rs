//! Rows as Parquet: gathered into groups of bounded size, written by column.

use std::{io::Write, sync::Arc};

use ::parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};
use serde_json::Value;
use strongroom_core::{
    json,
    structure::{Column, ColumnType},
};

use super::{
    super::{Cell, TableError},
    Sink,
};

/// What is gathered before a group is written, in rows and in bytes.
const GROUP_ROWS_MAX: usize = 64 * 1024;
const GROUP_BYTES_MAX: usize = 32 << 20;

pub struct Columnar<W: Write + Send> {
    out: SerializedFileWriter<W>,
    columns: Vec<Gathered>,
    rows: usize,
    bytes: usize,
}

/// The values of one column that are not written yet.
struct Gathered {
    kind: ColumnType,
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Booleans(Vec<bool>),
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Texts(Vec<ByteArray>),
}

impl<W: Write + Send> Columnar<W> {
    pub fn begin(out: W, columns: &[Column]) -> Result<Self, TableError> {
        let fields: Vec<TypePtr> = columns.iter().map(field).collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder("rows").with_fields(fields).build();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("strongroom".to_owned())
            .build();
        let schema = Arc::new(schema.map_err(unwritten)?);
        let out = SerializedFileWriter::new(out, schema, Arc::new(properties));
        Ok(Self {
            out: out.map_err(unwritten)?,
            columns: columns.iter().map(Gathered::of).collect(),
            rows: 0,
            bytes: 0,
        })
    }

    fn write_group(&mut self) -> Result<(), TableError> {
        let mut group = self.out.next_row_group().map_err(unwritten)?;
        for column in &mut self.columns {
            column.write(&mut group)?;
        }
        group.close().map_err(unwritten)?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl<W: Write + Send> Sink for Columnar<W> {
    fn row(&mut self, cells: &mut dyn Iterator<Item = &Cell>) -> Result<(), TableError> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            self.bytes += column.add(cell);
        }
        self.rows += 1;
        if self.rows < GROUP_ROWS_MAX && self.bytes < GROUP_BYTES_MAX {
            return Ok(());
        }
        self.write_group()
    }

    fn end(mut self: Box<Self>) -> Result<(), TableError> {
        if self.rows != 0 {
            self.write_group()?;
        }
        self.out.close().map_err(unwritten).map(drop)
    }
}

impl Gathered {
    fn of(column: &Column) -> Self {
        Self {
            kind: column.kind,
            levels: Vec::new(),
            values: match column.kind {
                ColumnType::Boolean => Values::Booleans(Vec::new()),
                ColumnType::Integer => Values::Integers(Vec::new()),
                ColumnType::Number => Values::Numbers(Vec::new()),
                ColumnType::String | ColumnType::Any => Values::Texts(Vec::new()),
            },
        }
    }

    /// Takes a value; about how many bytes it takes.
    fn add(&mut self, cell: &Cell) -> usize {
        let value = cell.to_json(self.kind);
        let taken = match (&mut self.values, value) {
            (_, Value::Null) => None,
            (Values::Booleans(values), value) => put(values, value.as_bool()),
            (Values::Integers(values), value) => put(values, value.as_i64()),
            (Values::Numbers(values), value) => put(values, value.as_f64()),
            (Values::Texts(values), value) => {
                let text = match (self.kind, value) {
                    (ColumnType::String, Value::String(text)) => text,
                    (_, value) => json::canonical(&value),
                };
                let length = text.len();
                let taken = put(values, Some(ByteArray::from(text.into_bytes())));
                taken.map(|bytes| bytes + length)
            }
        };
        self.levels.push(i16::from(taken.is_some()));
        taken.unwrap_or(0) + size_of::<i16>()
    }

    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), TableError> {
        let levels = std::mem::take(&mut self.levels);
        match &mut self.values {
            Values::Booleans(values) => write_column::<BoolType, W>(group, values, &levels),
            Values::Integers(values) => write_column::<Int64Type, W>(group, values, &levels),
            Values::Numbers(values) => write_column::<DoubleType, W>(group, values, &levels),
            Values::Texts(values) => write_column::<ByteArrayType, W>(group, values, &levels),
        }
    }
}

/// Takes a value, if it is one; how many bytes it takes by itself.
fn put<T>(values: &mut Vec<T>, value: Option<T>) -> Option<usize> {
    values.push(value?);
    Some(size_of::<T>())
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &mut Vec<T::T>,
    levels: &[i16],
) -> Result<(), TableError> {
    let column = group.next_column().map_err(unwritten)?;
    let mut column = column.expect("there are as many columns as the schema has");
    let written = column.typed::<T>().write_batch(values, Some(levels), None);
    written.map_err(unwritten)?;
    values.clear();
    column.close().map_err(unwritten)
}

fn field(column: &Column) -> Result<TypePtr, TableError> {
    let (physical, logical) = match column.kind {
        ColumnType::Boolean => (Physical::BOOLEAN, None),
        ColumnType::Integer => (Physical::INT64, None),
        ColumnType::Number => (Physical::DOUBLE, None),
        ColumnType::String => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        ColumnType::Any => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
    };
    let built = Type::primitive_type_builder(&column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build();
    built.map(Arc::new).map_err(unwritten)
}

fn unwritten(error: ParquetError) -> TableError {
    TableError::Write(std::io::Error::other(error))
}
