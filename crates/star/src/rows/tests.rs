//! What rows a text has, and why it has none.

use super::*;

fn open(text: &str) -> Result<Rows, TableError> {
    let content = Content::Text(Arc::from(text.as_bytes()));
    Table::open(content, &Reading::default()).map(Rows::new)
}

#[track_caller]
fn reads(text: &str, kinds: &[Kind], rows: &[&str]) {
    let opened = open(text).expect("it has rows");
    let found: Vec<Kind> = opened.table().columns.iter().map(|c| c.kind).collect();
    assert_eq!(found, kinds);
    let mut reader = opened.read().expect("it is read");
    let mut shown = Vec::new();
    while let Some(row) = reader.next_row().expect("it is read") {
        shown.push(row.to_string());
    }
    assert_eq!(shown, rows);
    assert_eq!(opened.table().count, rows.len() as u64);
}

#[track_caller]
fn refuses(text: &[u8], part: &str) {
    let content = Content::Text(Arc::from(text));
    let error = Table::open(content, &Reading::default()).expect_err("it has no rows");
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn columns_have_the_type_that_all_their_values_have() {
    use Kind::{Boolean, Integer, Number, Text};
    reads(
        "a,b,c,d,e\n1,1.5,true,x,007\n-2,3,,y,1\n,-1e-3,False,,\n",
        &[Integer, Number, Boolean, Text, Text],
        &[
            r#"[1, 1.5, True, "x", "007"]"#,
            r#"[-2, 3.0, None, "y", "1"]"#,
            r#"[None, -0.001, False, "", ""]"#,
        ],
    );
    reads("a\n1\nx\n", &[Text], &[r#"["1"]"#, r#"["x"]"#]);
    reads(
        "a\n12345678901234567890\n",
        &[Text],
        &[r#"["12345678901234567890"]"#],
    );
    reads("a\ninf\n", &[Text], &[r#"["inf"]"#]);
    reads("a\n1e999\n", &[Number], &["[+inf]"]);
}

#[test]
fn quotes_line_ends_and_byte_order_marks_are_no_values() {
    use Kind::{Integer, Text};
    reads(
        "\u{feff}a,b\r\n1,\"x,\"\"y\"\"\nz\"\r\n2,ü\r\n",
        &[Integer, Text],
        &[r#"[1, "x,\"y\"\nz"]"#, r#"[2, "\xfc"]"#],
    );
    reads("a;b\n1;2,5\n", &[Integer, Text], &[r#"[1, "2,5"]"#]);
    reads("", &[], &[]);
    reads("a,b\n", &[Text, Text], &[]);
}

#[test]
fn any_row_can_be_asked_for_without_those_before_it() {
    let mut text = "n,name\n".to_owned();
    (0..2000).for_each(|n| text.push_str(&format!("{n},\"row\n{n}\"\n")));
    let rows = open(&text).expect("it has rows");
    for n in [0, 1, 255, 256, 257, 1023, 1999] {
        let row = rows.row(n).expect("it is there");
        assert_eq!(row.text(0), n.to_string());
    }
    assert!(rows.index(2000).is_err());
    assert_eq!(rows.index(-1).expect("the last"), 1999);
}

#[test]
fn what_is_no_table_is_refused_with_the_line() {
    refuses(b"a,b\n1,2\n3\n", "line 3 has 1 fields, and the first has 2");
    refuses(b"a\n\xff\n", "not UTF-8 near line 2");
    refuses(&[b','; 3000], "3001 columns");
}
