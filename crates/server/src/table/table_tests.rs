//! Bodies of every kind, good and bad: what is found in them, and what is said
//! of those that cannot be read.

#![allow(clippy::unwrap_used)]

use std::{io::Write as _, sync::Arc};

use serde_json::{Value, json};
use strongroom_core::{
    statistics::Statistics,
    structure::{Format, Reading, RowRange, Structure, StructureAsked},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::api::{DatasetDiff, RowChangeKind};

fn reading(format: Format) -> Reading {
    Reading {
        format,
        delimiter: None,
        header: true,
        nulls: Vec::new(),
        columns: None,
        schema: None,
    }
}

/// How a body is read of which this was said.
fn given(format: Format, asked: Value) -> Reading {
    let asked: StructureAsked = serde_json::from_value(asked).unwrap();
    let asked = asked.checked().unwrap();
    Reading {
        delimiter: asked.delimiter,
        header: asked.header.unwrap_or(true),
        nulls: asked.nulls,
        columns: asked.columns,
        schema: asked.schema,
        ..reading(format)
    }
}

fn body(bytes: &[u8], reading: &Reading) -> Body {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    Body {
        file,
        reading: reading.clone(),
        stop: CancellationToken::new(),
    }
}

fn read(bytes: &[u8], reading: &Reading) -> Result<(Structure, Statistics), TableError> {
    profile(body(bytes, reading))
}

/// Names and types of columns: `a:integer b:string?`.
fn columns(structure: &Structure) -> String {
    let one = |column: &strongroom_core::structure::Column| {
        let mark = if column.nullable { "?" } else { "" };
        format!("{}:{}{mark}", column.name, column.kind.as_str())
    };
    let all: Vec<String> = structure.columns.iter().map(one).collect();
    all.join(" ")
}

#[track_caller]
fn finds(format: Format, text: &str, wanted: &str, rows: u64) {
    let (structure, statistics) = read(text.as_bytes(), &reading(format)).unwrap();
    assert_eq!(columns(&structure), wanted, "{text}");
    assert_eq!(statistics.rows, rows, "{text}");
}

#[track_caller]
fn refuses(bytes: &[u8], reading: &Reading, why: &str) {
    match read(bytes, reading) {
        Err(TableError::Body(found)) if found.contains(why) => {}
        other => panic!("not refused with `{why}`: {other:?}"),
    }
}

#[track_caller]
fn refuses_csv(text: &str, why: &str) {
    refuses(text.as_bytes(), &reading(Format::Csv), why);
}

fn rows(bytes: &[u8], from: &Reading, to: Format, range: &str) -> Vec<u8> {
    let (structure, _) = read(bytes, from).unwrap();
    let mut out = Vec::new();
    let range: RowRange = range.parse().unwrap();
    write(body(bytes, from), &structure, range, to, &mut out).unwrap();
    out
}

const PENGUINS: &str = "species,mass_g,alive,length_mm\nAdelie,3750,true,39.1\nGentoo,5000,false,\n\
    Adelie,3250,true,40\n";

#[test]
fn types_of_csv_are_the_narrowest_that_take_every_value() {
    let wanted = "species:string mass_g:integer alive:boolean length_mm:number?";
    finds(Format::Csv, PENGUINS, wanted, 3);
    finds(Format::Csv, "a\n1\n2.5\n", "a:number", 2);
    finds(Format::Csv, "a\n1\nx\n", "a:string", 2);
    finds(Format::Csv, "a\ntrue\n1\n", "a:string", 2);
    finds(Format::Csv, "a\n007\n", "a:string", 1);
    finds(Format::Csv, "a\n12345678901234567890\n", "a:string", 1);
    finds(Format::Csv, "a,b\n", "a:string b:string", 0);
}

#[test]
fn csv_is_read_as_programs_write_it() {
    finds(
        Format::Csv,
        "\u{feff}a,b\r\n1,\"x\r\ny\"\r\n",
        "a:integer b:string",
        1,
    );
    finds(Format::Csv, "a;b\n1;2\n", "a:integer b:integer", 1);
    finds(Format::Csv, "a\tb\n1\t2", "a:integer b:integer", 1);
    finds(Format::Csv, "\"a;x\",b\n1,2\n", "a;x:integer b:integer", 1);
    finds(
        Format::Csv,
        ",a,a\n0,1,2\n\n",
        "column_1:integer a:integer a_2:integer",
        1,
    );
    let no_header = given(Format::Csv, json!({ "header": false, "nulls": ["NA"] }));
    let (structure, _) = read(b"1,NA\n2,3\n", &no_header).unwrap();
    assert_eq!(columns(&structure), "column_1:integer column_2:integer?");
}

#[test]
fn words_for_an_absent_value_are_values_of_text_only() {
    let text = "code,mass_g\nNA,1\nDE,NA\nFR,2.5\n";
    finds(Format::Csv, text, "code:string mass_g:number?", 3);
    let (_, statistics) = read(text.as_bytes(), &reading(Format::Csv)).unwrap();
    let [code, mass] = &statistics.columns[..] else {
        panic!()
    };
    assert_eq!(
        (code.nulls, &code.max, code.distinct),
        (0, &Some(json!("NA")), 3)
    );
    assert_eq!(
        (mass.nulls, &mass.max, mass.distinct),
        (1, &Some(json!(2.5)), 2)
    );
    let out = rows(text.as_bytes(), &reading(Format::Csv), Format::Csv, "1..2");
    assert_eq!(out, b"code,mass_g\nDE,\n");
    let strict = given(
        Format::Csv,
        json!({ "columns": [ { "name": "code", "type": "string",
        "nullable": false }, { "name": "mass_g", "type": "number", "nullable": false } ] }),
    );
    refuses(
        text.as_bytes(),
        &strict,
        "row 2, `mass_g`: a value is absent",
    );
}

#[test]
fn statistics_count_nulls_extremes_and_different_values() {
    let (_, statistics) = read(PENGUINS.as_bytes(), &reading(Format::Csv)).unwrap();
    assert_eq!(
        (statistics.rows, statistics.bytes),
        (3, PENGUINS.len() as u64)
    );
    let told = serde_json::to_value(&statistics.columns).unwrap();
    let wanted = json!([
        { "name": "species", "nulls": 0, "min": "Adelie", "max": "Gentoo", "distinct": 2 },
        { "name": "mass_g", "nulls": 0, "min": 3250, "max": 5000, "distinct": 3 },
        { "name": "alive", "nulls": 0, "min": false, "max": true, "distinct": 2 },
        { "name": "length_mm", "nulls": 1, "min": 39.1, "max": 40.0, "distinct": 2 },
    ]);
    assert_eq!(told, wanted);
}

#[test]
fn csv_that_would_have_to_be_guessed_at_says_where_and_why() {
    refuses_csv("", "it is empty");
    refuses_csv(
        "a,b\n1,2\n3\n",
        "line 3 has 1 fields where the first record has 2",
    );
    refuses_csv("a,b\n1,2,3\n", "line 2 has 3 fields");
    let csv = reading(Format::Csv);
    refuses(
        b"a,b\n1,caf\xe9\n",
        &csv,
        "line 2: the value of `b` is not UTF-8",
    );
    refuses(b"\xff\xfea\0,\0b\0", &csv, "UTF-16");
    refuses(b"\xe9\n1\n", &csv, "the name of column 1 is not UTF-8");
    let wide = vec!["a"; 3000].join(",");
    refuses_csv(&wide, "3000 columns, more than 2000");
    let long = format!("a,b\n1,\"{}", "x".repeat(RECORD_BYTES_MAX as usize * 2));
    refuses_csv(&long, "the record in line 2 is longer than 16 MiB");
    refuses_csv(
        &format!("{}\n1\n", "x".repeat(600)),
        "longer than 512 bytes",
    );
}

#[test]
fn json_of_rows_is_read_a_list_or_a_line_at_a_time() {
    let list = r#" [ {"a": 1, "b": "x]"}, {"a": 2.5, "c": [1, {"d": "\"}"}]} ] "#;
    finds(Format::Json, list, "a:number b:string? c:any?", 2);
    finds(
        Format::Json,
        "[[1, \"x\"], [2, null]]",
        "column_1:integer column_2:string?",
        2,
    );
    finds(
        Format::Ndjson,
        "\u{feff}{\"a\":1}\r\n\n{\"a\":true}",
        "a:any",
        2,
    );
    finds(
        Format::Ndjson,
        "[1,2]\n[3,4]\n",
        "column_1:integer column_2:integer",
        2,
    );
}

#[test]
fn json_that_is_not_rows_says_why() {
    let json = reading(Format::Json);
    for (text, why) in [
        ("", "it is empty"),
        ("{\"a\": 1}", "no list of rows"),
        ("[1, 2]", "a row is neither"),
        ("[{\"a\":1} {\"a\":2}]", "a comma is missing"),
        ("[{\"a\":1},", "cut off"),
        ("[{\"a\":1", "cut off"),
        ("[{\"a\":1}", "cut off"),
        ("[{\"a\":1}] x", "goes on after the end"),
        ("[{\"a\":1},]", "neither an object nor a list"),
        ("[{\"a\":1,\"a\":2}]", "row 1: the key `a` is there twice"),
        ("[{\"a\":1}, [1]]", "row 2: lists and objects are mixed"),
        ("[{\"a\":nan}]", "row 1"),
        ("[]", "it has no columns"),
    ] {
        refuses(text.as_bytes(), &json, why);
    }
    refuses(b"[\"\xff\"]", &json, "a row is neither");
    refuses(b"[{\"a\":\"\xff\"}]", &json, "row 1");
    let lines = reading(Format::Ndjson);
    refuses(b"{\"a\":1}\n{\"a\":}\n", &lines, "line 2, column 6");
    refuses(b"7\n", &lines, "row 1 is neither");
    let deep = format!("[{}{}]", "[".repeat(500), "]".repeat(500));
    refuses(deep.as_bytes(), &json, "deeper than");
    let long = format!("[[\"{}", "x".repeat(RECORD_BYTES_MAX as usize + 300_000));
    refuses(long.as_bytes(), &json, "a row is longer than 16 MiB");
    let many: Vec<String> = (0..2001).map(|n| format!("\"c{n}\":1")).collect();
    refuses(
        format!("[{{{}}}]", many.join(",")).as_bytes(),
        &json,
        "row 1: more than 2000",
    );
}

#[test]
fn a_row_of_very_many_values_is_refused_before_it_is_unfolded() {
    let numbers = "0,".repeat(1 << 18);
    let line = format!("{{\"a\": [{numbers}0]}}\n");
    let law = reading(Format::Ndjson);
    refuses(line.as_bytes(), &law, "row 1 has more than 262144 values");
    let list = format!("[{line}]");
    refuses(
        list.as_bytes(),
        &reading(Format::Json),
        "more than 262144 values",
    );
    // As many signs in a text are one value.
    let text = format!("{{\"a\": \"{numbers}\"}}\n");
    finds(Format::Ndjson, &text, "a:string", 1);
}

#[test]
fn a_record_of_very_many_fields_is_refused_before_it_is_unfolded() {
    let law = reading(Format::Csv);
    let commas = ",".repeat(3_000_000);
    refuses(
        commas.as_bytes(),
        &law,
        "line 1 has more than 2000000 signs",
    );
    let later = format!("a,b\n1,2\n{commas}");
    refuses(later.as_bytes(), &law, "line 3 has more than 2000000 signs");
    let quoted = format!("a,b\n\"{}\",2\n", ",".repeat(1_000_000));
    finds(Format::Csv, &quoted, "a:string b:integer", 1);
    refuses(",".repeat(2000).as_bytes(), &law, "2001 columns");
}

#[test]
fn a_structure_that_was_given_is_a_law() {
    let asked = |kind: &str, nullable: bool| {
        given(
            Format::Csv,
            json!({ "columns": [
            { "name": "a", "type": kind, "nullable": nullable }, { "name": "b", "type": "string" } ] }),
        )
    };
    let (structure, _) = read(b"a,b\n1,2\n", &asked("number", false)).unwrap();
    assert_eq!(columns(&structure), "a:number b:string?");
    refuses(
        b"a,b\n1,2\nx,3\n",
        &asked("integer", true),
        "row 2, `a`: `x` is no integer",
    );
    refuses(
        b"a,b\n1,2\n,3\n",
        &asked("integer", false),
        "row 2, `a`: a value is absent",
    );
    refuses(
        b"b,a\n1,2\n",
        &asked("integer", true),
        "column 1 is `b` where the structure says `a`",
    );
    refuses(
        b"a\n1\n",
        &asked("integer", true),
        "it has 1 columns where the structure says 2",
    );
    let json = given(
        Format::Json,
        json!({ "columns": [
        { "name": "b", "type": "integer" }, { "name": "a", "type": "boolean", "nullable": false } ] }),
    );
    let (structure, _) = read(b"[{\"a\":true},{\"a\":false,\"b\":2}]", &json).unwrap();
    assert_eq!(columns(&structure), "b:integer? a:boolean");
    refuses(
        b"[{\"a\":true},{\"b\":1}]",
        &json,
        "row 2, `a`: a value is absent",
    );
    refuses(
        b"[{\"a\":true,\"z\":1}]",
        &json,
        "row 1 has `z`, which is not in the structure",
    );
    refuses(b"[{\"a\":1}]", &json, "row 1, `a`: `1` is no boolean");
    let schema = given(
        Format::Csv,
        json!({ "schema": { "properties": { "a": { "minimum": 2 } } } }),
    );
    assert!(read(b"a,b\n2,x\n", &schema).is_ok());
    refuses(b"a,b\n2,x\n1,y\n", &schema, "row 2: /a:");
}

#[test]
fn a_check_tells_every_fault_and_not_only_the_first() {
    let law = given(
        Format::Csv,
        json!({ "columns": [{ "name": "a", "type": "integer" }] }),
    );
    let text = format!("a\n1\n{}", "x\n".repeat(150));
    let checked = check(body(text.as_bytes(), &law)).unwrap();
    assert_eq!(
        (checked.rows, checked.faults, checked.told.len()),
        (151, 150, 100)
    );
    assert_eq!(
        (checked.told[0].row, checked.told[0].why.as_str()),
        (Some(2), "`x` is no integer")
    );
    let ragged = check(body(b"a\n1\n2,3\n", &law)).unwrap();
    assert_eq!((ragged.rows, ragged.faults), (1, 1));
    assert!(ragged.told[0].why.contains("line 3 has 2 fields"));
}

#[test]
fn rows_come_in_every_format_and_say_the_same_in_each() {
    let csv = reading(Format::Csv);
    let text = rows(PENGUINS.as_bytes(), &csv, Format::Json, "1..3");
    let wanted = json!([
        { "species": "Gentoo", "mass_g": 5000, "alive": false, "length_mm": null },
        { "species": "Adelie", "mass_g": 3250, "alive": true, "length_mm": 40 },
    ]);
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), wanted);
    for format in [Format::Json, Format::Ndjson, Format::Parquet] {
        let there = rows(PENGUINS.as_bytes(), &csv, format, "..");
        let back = rows(&there, &reading(format), Format::Csv, "..");
        let back = String::from_utf8(back).unwrap();
        let wanted = match format {
            // The numbers of a column are all of one kind in it.
            Format::Parquet => PENGUINS.replace("true,40\n", "true,40.0\n"),
            _ => PENGUINS.to_owned(),
        };
        let same = |text: &str| {
            let mut lines: Vec<Vec<String>> = Vec::new();
            for line in text.lines() {
                let mut fields: Vec<String> = line.split(',').map(str::to_owned).collect();
                fields.sort_unstable();
                lines.push(fields);
            }
            lines
        };
        assert_eq!(same(&back), same(&wanted), "{format}");
    }
    assert_eq!(
        rows(PENGUINS.as_bytes(), &csv, Format::Json, "9.."),
        b"[\n]\n"
    );
    let first = rows(PENGUINS.as_bytes(), &csv, Format::Ndjson, "0..1");
    assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn nested_values_are_json_text_where_there_is_no_other_place_for_them() {
    let json = reading(Format::Json);
    let text = br#"[{"a":{"x":[1,2]}},{"a":"plain"}]"#;
    let csv = String::from_utf8(rows(text, &json, Format::Csv, "..")).unwrap();
    assert_eq!(csv, "a\n\"{\"\"x\"\":[1,2]}\"\nplain\n");
    let parquet = rows(text, &json, Format::Parquet, "..");
    let back = rows(&parquet, &reading(Format::Parquet), Format::Json, "..");
    let back: Value = serde_json::from_slice(&back).unwrap();
    assert_eq!(
        back,
        json!([{ "a": "{\"x\":[1,2]}" }, { "a": "\"plain\"" }])
    );
}

fn parquet() -> Vec<u8> {
    let csv: String = (0..600)
        .map(|n| format!("{n},text {n},{}.5\n", n % 7))
        .collect();
    let csv = format!("a,b,c\n{csv}");
    rows(csv.as_bytes(), &reading(Format::Csv), Format::Parquet, "..")
}

#[test]
fn parquet_is_read_and_counted() {
    let (structure, statistics) = read(&parquet(), &reading(Format::Parquet)).unwrap();
    assert_eq!(columns(&structure), "a:integer b:string c:number");
    assert_eq!(
        (statistics.rows, &statistics.columns[0].max),
        (600, &Some(json!(599)))
    );
    assert_eq!(statistics.columns[2].distinct, 7);
}

#[test]
fn parquet_that_is_damaged_anywhere_is_refused_or_read_and_nothing_worse() {
    let law = reading(Format::Parquet);
    let whole = parquet();
    refuses(b"", &law, "too short");
    refuses(&[0; 64], &law, "PAR1");
    refuses(&whole[..whole.len() - 1], &law, "PAR1");
    let mut footer = whole.clone();
    let end = footer.len() - 8;
    footer[end..end + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    refuses(&footer, &law, "footer is longer than 16 MiB");
    footer[end..end + 4].copy_from_slice(&1_000_000u32.to_le_bytes());
    refuses(&footer, &law, "footer is longer than the file");
    // Each byte of the footer, and some of the pages, is changed once.
    let (pages, footer) = (0..whole.len()).partition::<Vec<_>, _>(|at| *at < whole.len() - 700);
    for at in pages.into_iter().step_by(61).chain(footer) {
        for change in [0x01, 0xff] {
            let mut broken = whole.clone();
            broken[at] ^= change;
            let opened = body(&broken, &law);
            let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| profile(opened)));
            if let Ok(Err(error)) = read {
                assert!(matches!(error, TableError::Body(_)), "{at}: {error:?}");
            }
        }
    }
}

/// A file whose footer has so many empty structures in this field.
fn footer_of(field: u8, count: u32) -> Vec<u8> {
    let mut footer = vec![field << 4 | 0x09, 0xfc];
    // A list of structures, its length in seven bits a byte.
    let mut left = count;
    while 0x7f < left {
        footer.push(left as u8 | 0x80);
        left >>= 7;
    }
    footer.push(left as u8);
    footer.resize(footer.len() + count as usize + 1, 0);
    let length = u32::try_from(footer.len()).unwrap();
    [b"PAR1".as_slice(), &footer, &length.to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn a_footer_of_very_many_structures_is_refused_before_it_is_believed() {
    let law = reading(Format::Parquet);
    for field in [4, 5, 7] {
        let bytes = footer_of(field, 1_000_001);
        refuses(&bytes, &law, "by 1000002 structures");
        // Few enough to be looked at, and found to be nothing.
        refuses(&footer_of(field, 1000), &law, "no whole Parquet file");
    }
}

#[test]
fn parquet_with_lists_is_refused_by_the_name_of_the_column() {
    let schema = "message rows { required int32 a; repeated int32 tags; }";
    refuses(
        &typed(schema),
        &reading(Format::Parquet),
        "`tags` holds lists",
    );
}

#[test]
fn values_of_a_struct_are_columns_of_their_own() {
    let schema = "message rows { required group at { required int32 x; optional int32 y; } }";
    let (structure, statistics) = read(&typed(schema), &reading(Format::Parquet)).unwrap();
    assert_eq!(columns(&structure), "at.x:string at.y:string");
    assert_eq!(statistics.rows, 0);
}

#[test]
fn a_schema_deeper_than_anybody_needs_is_refused_before_it_is_believed() {
    let mut schema = String::from("message rows { ");
    for level in 0..40 {
        schema.push_str(&format!("required group g{level} {{ "));
    }
    schema.push_str("required int32 a; ");
    schema.push_str(&"} ".repeat(41));
    refuses(&typed(&schema), &reading(Format::Parquet), "too deep");
}

/// An empty file of this schema.
fn typed(schema: &str) -> Vec<u8> {
    use ::parquet::{
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut out = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    SerializedFileWriter::new(&mut out, schema, properties)
        .unwrap()
        .close()
        .unwrap();
    out
}

/// A file of one column of this many equal values, all in one row group.
fn constant(rows: usize) -> Vec<u8> {
    use ::parquet::{
        data_type::Int32Type,
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };
    let schema = parse_message_type("message rows { required int32 a; }").unwrap();
    let mut out = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(&mut out, Arc::new(schema), properties).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values = vec![7; rows];
    column
        .typed::<Int32Type>()
        .write_batch(&values, None, None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
    out
}

#[test]
fn a_few_bytes_that_declare_a_milliard_rows_are_refused() {
    let bomb = constant(5_000_000);
    assert!(bomb.len() < 50_000, "{}", bomb.len());
    refuses(&bomb, &reading(Format::Parquet), "unfold to more than");
    let (_, statistics) = read(&constant(100_000), &reading(Format::Parquet)).unwrap();
    assert_eq!(
        (statistics.rows, statistics.columns[0].distinct),
        (100_000, 1)
    );
}

fn compared(
    before: &str,
    after: &str,
    key: &[&str],
    shown: u32,
) -> Result<DatasetDiff, TableError> {
    let side = |text: &str| {
        let law = reading(Format::Csv);
        let (structure, statistics) = read(text.as_bytes(), &law).unwrap();
        let text = text.to_owned();
        Side {
            open: Box::new(move || Ok(body(text.as_bytes(), &law))),
            structure,
            rows: statistics.rows,
        }
    };
    let matching = match key {
        [] => Matching::Place,
        key => Matching::Key(key.iter().map(|name| (*name).to_owned()).collect()),
    };
    diff(&side(before), &side(after), &matching, shown)
}

#[test]
fn a_comparison_by_key_finds_rows_wherever_they_went() {
    let before = "id,name\n1,a\n2,b\n3,c\n";
    let after = "id,name\n3,c\n2,B\n4,d\n";
    let diff = compared(before, after, &["id"], 10).unwrap();
    assert_eq!((diff.added, diff.removed, diff.changed), (1, 1, 1));
    assert_eq!((diff.rows_before, diff.rows_after), (3, 3));
    let row = |kind| diff.rows.iter().find(|row| row.change == kind).unwrap();
    let changed = row(RowChangeKind::Changed);
    assert_eq!((changed.row_before, changed.row_after), (Some(2), Some(2)));
    assert_eq!(changed.before.as_ref().unwrap()["name"], "b");
    assert_eq!(changed.after.as_ref().unwrap()["name"], "B");
    assert_eq!(row(RowChangeKind::Added).after.as_ref().unwrap()["id"], 4);
    assert_eq!(
        row(RowChangeKind::Removed).before.as_ref().unwrap()["id"],
        1
    );
    let none = compared(before, after, &["id"], 0).unwrap();
    assert_eq!((none.changed, none.rows.len()), (1, 0));
    for (before, after, key, why) in [
        (
            before,
            "id,name\n1,a\n1,b\n",
            "id",
            "rows 1 and 2 of what was after",
        ),
        (
            "id\n1\n1\n",
            before,
            "id",
            "rows 1 and 2 of what was before",
        ),
        (before, after, "nope", "there is no column `nope`"),
    ] {
        match compared(before, after, &[key], 10) {
            Err(TableError::Asked(found)) if found.contains(why) => {}
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn a_comparison_by_place_tells_columns_that_came_went_or_are_others() {
    let diff = compared("a,b\n1,x\n2,y\n", "b,a,c\nx,1,\ny,2.5,z\nw,3,\n", &[], 10).unwrap();
    assert_eq!((diff.added, diff.removed, diff.changed), (1, 0, 1));
    let columns: Vec<&str> = diff
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(columns, ["a", "c"]);
    assert!(diff.columns[1].before.is_none());
    let same = compared("a,b\n1,x\n", "b,a\nx,1\n", &[], 10).unwrap();
    assert_eq!(
        (same.added, same.removed, same.changed, same.columns.len()),
        (0, 0, 0, 0)
    );
}

#[test]
fn reading_ends_when_nobody_wants_it_any_more() {
    let text = format!("a\n{}", "1\n".repeat(5000));
    let opened = body(text.as_bytes(), &reading(Format::Csv));
    opened.stop.cancel();
    assert!(matches!(profile(opened), Err(TableError::Stopped)));
}
