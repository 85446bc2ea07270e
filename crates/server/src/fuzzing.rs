//! Laws of the bodies that a client can send, tried on arbitrary bytes.
#![allow(clippy::unwrap_used)]

mod tables;

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use axum::{body::Body, extract::Request};
use serde::{Serialize, de::DeserializeOwned};
use strongroom_core::{
    json,
    tree::{Tree, TreePath},
};

use crate::{
    api,
    app::{archive, scripts::Script, tar},
    http::{read, scripts},
};

pub use tables::{csv_tables, json_tables, ndjson_tables, parquet_tables};

pub fn archives(bytes: &[u8]) {
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count() as u64;
    let mut from = bytes;
    let store = |path: &TreePath, size: u64, from: &mut dyn Read| -> io::Result<u64> {
        let count = io::copy(from, &mut io::sink())?;
        assert!(count <= size, "{path}");
        Ok(count)
    };
    let read: Result<BTreeMap<TreePath, u64>, _> = archive::read(&mut from, |_| zeros, store);
    match &read {
        Ok(files) => {
            assert!(from.is_empty() && files.values().sum::<u64>() <= bytes.len() as u64);
            let digest = strongroom_core::digest::Digest::of(b"");
            let file = |size_bytes| strongroom_core::tree::TreeFile { digest, size_bytes };
            Tree::new(files.iter().map(|(path, size)| (path.clone(), file(*size)))).unwrap();
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
    }
    let function = tar::function_files(bytes, 64);
    let small = |files: &BTreeMap<TreePath, u64>| files.values().sum::<u64>() <= 64;
    assert_eq!(function.is_ok(), read.is_ok_and(|files| small(&files)));
}

pub fn json_bodies(bytes: &[u8]) {
    says_the_same::<api::NewRun>(bytes);
    says_the_same::<api::NewDatasetVersion>(bytes);
    says_the_same::<api::NewFunctionVersion>(bytes);
    says_the_same::<api::NewApproval>(bytes);
    says_the_same::<api::Rejection>(bytes);
    says_the_same::<api::Rules>(bytes);
    says_the_same::<api::NewUser>(bytes);
    says_the_same::<api::NewToken>(bytes);
    says_the_same::<api::BlobsAsked>(bytes);
    if let Some(script) = says_the_same::<api::ScriptJson>(bytes) {
        let _ = Script::of_json(script);
    }
    if let Some(run) = says_the_same::<api::NewRun>(bytes) {
        let _ = strongroom_core::plan::Inputs::parse(run.on.iter().map(String::as_str));
    }
}

fn says_the_same<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let body: T = read::of_json(bytes).ok()?;
    let said = json::canonical_of(&body);
    let again: T = read::of_json(said.as_bytes()).ok().unwrap();
    assert_eq!(json::canonical_of(&again), said);
    Some(body)
}

pub fn forms(bytes: &[u8]) {
    let request = Request::builder()
        .header("content-type", "multipart/form-data; boundary=x")
        .body(Body::from(bytes.to_vec()))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    // A script is its files, all of which follow the law of paths, or it is none.
    let read = runtime.block_on(scripts::script_of_form(request, 1 << 20));
    if let Ok(script) = read {
        let paths = script.files().keys();
        let inside = |path: &TreePath| {
            path.as_str().ends_with(".py") && path.as_str().split('/').all(|part| part != "..")
        };
        assert!(!script.files().is_empty() && paths.into_iter().all(inside));
    }
}

#[cfg(test)]
#[path = "../../../fuzz/try_law.rs"]
mod trying;

#[cfg(test)]
mod tests {
    use super::{trying::try_law, *};

    #[test]
    fn an_archive_is_taken_whole_or_not_at_all() {
        let known: &[&[u8]] = &[
            b"../",
            b"/",
            b"a",
            b"\0",
            b"0",
            b"1",
            b"2",
            b"5",
            b"L",
            b"x",
            b"ustar\0",
            b"ustar \0",
            b"00000000001\0",
            b"77777777777\0",
            b"\x80\xff",
            b"20 path=../../a\n",
        ];
        try_law("archives", known, &[], archives);
    }

    #[test]
    fn a_body_is_read_as_what_it_says_or_refused() {
        let known: &[&[u8]] = &[
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b"\"\":",
            b"null",
            b"\"../x.py\"",
            b"-1",
            b"1e99",
            b"\"lab/a\"",
            b"\"x=lab/a\"",
            b"\\u0000",
        ];
        try_law("json_bodies", known, &[], json_bodies);
    }

    #[test]
    fn rows_of_csv_are_read_or_refused_and_what_was_found_holds() {
        let known: &[&[u8]] = &[
            b",",
            b"\"",
            b"\"\"",
            b"\n",
            b"\r\n",
            b"\r",
            b"\t",
            b";",
            b"|",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"\0",
            b"NA",
            b"null",
            b"true",
            b"-0",
            b"1e999",
            b"9223372036854775808",
        ];
        try_law("csv_tables", known, &[], csv_tables);
    }

    #[test]
    fn rows_of_json_are_read_or_refused_and_what_was_found_holds() {
        let known: &[&[u8]] = &[
            b"[",
            b"]",
            b"{",
            b"}",
            b",",
            b":",
            b"\"",
            b"\\u0000",
            b"\\ud800",
            b"null",
            b"true",
            b"1e999",
            b"-0",
            b"12345678901234567890",
            b"\n",
            b"\xef\xbb\xbf",
            b"\"a\":",
        ];
        try_law("json_tables", known, &[], json_tables);
        try_law("ndjson_tables", known, &[], ndjson_tables);
    }

    #[test]
    fn rows_of_parquet_are_read_or_refused() {
        let known: &[&[u8]] = &[b"PAR1", b"\0", b"\xff\xff\xff\xff", b"\x15\x00", b"\x19"];
        try_law("parquet_tables", known, &[], parquet_tables);
    }

    #[test]
    fn a_form_is_lawful_files_or_refused() {
        let known: &[&[u8]] = &[
            b"--x",
            b"--x--",
            b"\r\n",
            b"\r\n\r\n",
            b"filename=\"\"",
            b"; filename=\"/etc/x.py\"",
            b"name=\"client\"",
            b"name=\"files[]\"",
            b"Content-Disposition: form-data; ",
            b"\0",
            b"\"",
        ];
        try_law("forms", known, &[], forms);
    }
}
