//! Promises about ranges.
#![allow(clippy::unwrap_used)]

use super::*;

#[track_caller]
fn asks(range: &str, size: u64, what: Wanted) {
    assert_eq!(
        wanted(&HeaderValue::from_str(range).unwrap(), size),
        what,
        "{range} of {size}"
    );
}

#[test]
fn one_range_is_sent_and_never_more_than_the_file_has() {
    asks("bytes=0-0", 10, Wanted::Part { first: 0, last: 0 });
    asks("bytes=3-", 10, Wanted::Part { first: 3, last: 9 });
    asks("bytes=3-99", 10, Wanted::Part { first: 3, last: 9 });
    asks("bytes=-4", 10, Wanted::Part { first: 6, last: 9 });
    asks("bytes=-99", 10, Wanted::Part { first: 0, last: 9 });
}

#[test]
fn a_range_past_the_end_is_refused_and_an_unknown_one_gets_the_whole() {
    asks("bytes=10-", 10, Wanted::Nothing);
    asks("bytes=0-", 0, Wanted::Nothing);
    asks("bytes=-0", 10, Wanted::Nothing);
    asks("bytes=5-3", 10, Wanted::Whole);
    asks("bytes=0-1,4-5", 10, Wanted::Whole);
    asks("lines=0-1", 10, Wanted::Whole);
}
