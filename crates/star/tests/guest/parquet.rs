//! Bodies of Parquet: read as the station reads them, or told what is wrong.

use std::sync::Arc;

use parquet::{
    data_type::{
        BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
        Int32Type, Int64Type,
    },
    file::writer::{SerializedFileWriter, SerializedRowGroupWriter},
    schema::parser::parse_message_type,
};

use crate::trial::{Ended, Trial};

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

/// A file of this schema, whose one row group `fill` writes.
fn file(schema: &str, fill: impl FnOnce(&mut Group<'_>)) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Default::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    fill(&mut group);
    group.close().expect("a whole row group");
    writer.into_inner().expect("a whole file")
}

fn column<T: parquet::data_type::DataType>(group: &mut Group<'_>, values: &[T::T], levels: &[i16]) {
    let mut next = group
        .next_column()
        .expect("a column")
        .expect("one more column");
    let levels = (!levels.is_empty()).then_some(levels);
    let written = next.typed::<T>().write_batch(values, levels, None);
    written.expect("its values");
    next.close().expect("a whole column");
}

const SCHEMA: &str = "message rows {
    required int64 n;
    optional binary name (STRING);
    optional double mass;
    required boolean seen;
    required int32 day (DATE);
    required int64 at (TIMESTAMP(NANOS, true));
    required int32 price (DECIMAL(9, 2));
    required fixed_len_byte_array(16) id (UUID);
    required group where { optional int32 x; required binary raw; }
}";

fn rows() -> Vec<u8> {
    file(SCHEMA, |group| {
        column::<Int64Type>(group, &[1, i64::MAX], &[]);
        column::<ByteArrayType>(group, &[ByteArray::from("007")], &[1, 0]);
        column::<DoubleType>(group, &[1.5, f64::NAN], &[1, 1]);
        column::<BoolType>(group, &[true, false], &[]);
        column::<Int32Type>(group, &[0, -1], &[]);
        column::<Int64Type>(group, &[1_500_000_000, 0], &[]);
        column::<Int32Type>(group, &[12345, -5], &[]);
        let id = || FixedLenByteArray::from(vec![0x12; 16]);
        column::<FixedLenByteArrayType>(group, &[id(), id()], &[]);
        column::<Int32Type>(group, &[7], &[0, 1]);
        let raw = [ByteArray::from("a,\"b\""), ByteArray::from(vec![0xff])];
        column::<ByteArrayType>(group, &raw, &[]);
    })
}

fn run(script: &str, body: &[u8]) -> Ended {
    Trial::of(script).with("data/body.parquet", body).run()
}

#[test]
fn a_body_of_parquet_is_rows_like_any_other() {
    let script = "def transform(ds, ctx):\n  return [[value for value in row] for row in ds.get_body()] + [ds.body.columns.tolist()]\n";
    let ended = run(script, &rows());
    ended.succeeded();
    let id = "12121212-1212-1212-1212-121212121212";
    let names = [
        "n",
        "name",
        "mass",
        "seen",
        "day",
        "at",
        "price",
        "id",
        "where.x",
        "where.raw",
    ];
    let wanted = serde_json::json!([
        [
            1,
            "007",
            1.5,
            true,
            "1970-01-01",
            "1970-01-01T00:00:01.5Z",
            "123.45",
            id,
            null,
            "a,\"b\""
        ],
        [
            i64::MAX,
            null,
            null,
            false,
            "1969-12-31",
            "1970-01-01T00:00:00Z",
            "-0.05",
            id,
            7,
            "/w=="
        ],
        names,
    ]);
    assert_eq!(ended.value, Some(wanted));
}

#[test]
fn what_is_made_of_parquet_is_a_version_in_csv() {
    let script =
        "def transform(ds, ctx):\n  ds.set_body([[row[\"n\"]] for row in ds.get_body()])\n";
    let ended = run(script, &rows());
    ended.succeeded();
    assert!(
        ended
            .out("body.csv")
            .ends_with("\n1\n9223372036854775807\n")
    );
}

#[test]
fn parquet_that_has_no_rows_or_is_damaged_ends_the_script_with_the_reason() {
    let read = "def transform(ds, ctx):\n  return len(ds.get_body())\n";
    let list = "message rows { optional group tags (LIST) { repeated group list { required int32 element; } } }";
    let list = file(list, |group| {
        let mut next = group.next_column().expect("a column").expect("one");
        let written = next
            .typed::<Int32Type>()
            .write_batch(&[1, 2], Some(&[2, 2]), Some(&[0, 1]));
        written.expect("its values");
        next.close().expect("a whole column");
    });
    run(read, &list).failed("tags.list.element is a list or a map");
    let whole = rows();
    run(read, &whole[..whole.len() - 1]).failed("the body is not Parquet");
    run(read, &whole[4..]).failed("body.parquet: ");
    // Wherever it is damaged it is read or refused, and the guest ends by itself.
    for at in (4..whole.len()).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        let ended = run(read, &damaged);
        assert!(matches!(ended.code, Some(0 | 1)), "byte {at}: {ended:?}");
    }
}
