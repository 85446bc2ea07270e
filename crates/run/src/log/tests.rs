//! Lines, pieces of lines, and the bound.
#![allow(clippy::unwrap_used)]

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

fn lines_of(parts: &[&[u8]]) -> Vec<String> {
    let mut lines = Lines::default();
    let mut out: Vec<String> = parts.iter().flat_map(|part| lines.push(part)).collect();
    out.extend(lines.rest());
    out
}

#[test]
fn bytes_become_lines_however_they_are_cut() {
    assert_eq!(
        lines_of(&[b"a\nb", b"c\n", b"\n", b"d"]),
        ["a", "bc", "", "d"]
    );
    assert_eq!(lines_of(&[]), Vec::<String>::new());
}

#[test]
fn a_line_of_the_longest_length_is_whole_and_one_byte_more_makes_a_piece() {
    let long = vec![b'x'; LINE_LEN_MAX];
    assert_eq!(
        lines_of(&[&long, b"\n"]),
        [String::from_utf8(long.clone()).unwrap()]
    );
    let pieces = lines_of(&[&long, b"y\n"]);
    assert_eq!(
        pieces.iter().map(String::len).collect::<Vec<_>>(),
        [LINE_LEN_MAX, 1]
    );
}

#[test]
fn a_piece_does_not_end_inside_a_character() {
    let mut bytes = vec![b'x'; LINE_LEN_MAX - 1];
    bytes.extend("éé\n".as_bytes());
    let pieces = lines_of(&[&bytes]);
    assert_eq!(pieces[0].len(), LINE_LEN_MAX - 1);
    assert_eq!(pieces[1], "éé");
}

#[test]
fn what_is_no_utf8_is_replaced_and_nul_is_kept_out() {
    assert_eq!(lines_of(&[b"a\xffb\0c\n"]), ["a\u{fffd}bc"]);
    let pieces = lines_of(&[&vec![0x80; LINE_LEN_MAX * 2 + 1]]);
    assert_eq!(
        pieces
            .iter()
            .map(|piece| piece.chars().count())
            .sum::<usize>(),
        LINE_LEN_MAX * 2 + 1
    );
}

proptest::proptest! {
    #[test]
    fn no_byte_of_a_text_is_lost_or_doubled(text in "[a-zé\n]{0,200}", cut in 0usize..200) {
        let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let mut joined = lines_of(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]).join("\n");
        if text.ends_with('\n') {
            joined.push('\n');
        }
        proptest::prop_assert_eq!(joined, text);
    }
}

/// Follows two pipes holding these bytes; says what was taken and whether it was too much.
async fn followed(stdout: &[u8], stderr: &[u8], bytes_max: u64) -> (Vec<LogChunk>, bool) {
    let pipe = |bytes: &[u8]| {
        let (read, mut write) = std::io::pipe().unwrap();
        write.write_all(bytes).unwrap();
        Receiver::from_owned_fd(read.into()).unwrap()
    };
    let (sender, mut taken) = mpsc::channel(1000);
    let over = AtomicBool::new(false);
    follow(
        pipe(stdout),
        pipe(stderr),
        (bytes_max, Events::None),
        &sender,
        || over.store(true, Ordering::Relaxed),
    )
    .await;
    drop(sender);
    let mut chunks = Vec::new();
    while let Some(chunk) = taken.recv().await {
        chunks.push(chunk);
    }
    (chunks, over.into_inner())
}

#[tokio::test]
async fn a_log_of_just_the_bound_is_whole_and_one_byte_more_is_over() {
    let (chunks, over) = followed(b"abc\n", b"", 4).await;
    assert_eq!((chunks.len(), over), (1, false));
    let (chunks, over) = followed(b"abc\nd", b"", 4).await;
    assert_eq!((chunks.len(), over), (1, true));
    assert_eq!(chunks[0].text, "abc");
}

#[tokio::test]
async fn the_bound_is_for_both_streams_together_and_the_kept_part_ends_at_it() {
    let (chunks, over) = followed(b"aaaa", b"bbbb", 6).await;
    assert!(over);
    assert_eq!(
        chunks.iter().map(|chunk| chunk.text.len()).sum::<usize>(),
        6
    );
}

#[tokio::test]
async fn a_log_that_nobody_takes_is_counted_all_the_same() {
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(&[b'\n'; 100]).unwrap();
    drop(write);
    let (empty, _) = std::io::pipe().unwrap();
    let (sender, taken) = mpsc::channel(1);
    drop(taken);
    let over = AtomicBool::new(false);
    let [stdout, stderr] = [read, empty].map(|pipe| Receiver::from_owned_fd(pipe.into()).unwrap());
    follow(stdout, stderr, (99, Events::None), &sender, || {
        over.store(true, Ordering::Relaxed)
    })
    .await;
    assert!(over.into_inner());
}

async fn heard(stderr: &[u8], events: Events) -> Vec<(Stream, String)> {
    let pipe = |bytes: &[u8]| {
        let (read, mut write) = std::io::pipe().unwrap();
        write.write_all(bytes).unwrap();
        Receiver::from_owned_fd(read.into()).unwrap()
    };
    let (sender, mut taken) = mpsc::channel(1000);
    let (stdout, stderr) = (pipe(br#"{"event":"start","steps":1}"#), pipe(stderr));
    follow(stdout, stderr, (10_000, events), &sender, || {
        panic!("too long")
    })
    .await;
    drop(sender);
    let mut heard = Vec::new();
    while let Some(LogChunk { stream, text }) = taken.recv().await {
        heard.push((stream, text));
    }
    heard.sort_by_key(|(stream, _)| *stream == Stream::Stdout);
    heard
}

#[tokio::test]
async fn events_are_told_from_lines_where_a_runtime_has_them_and_nowhere_else() {
    let said = b"a line\n{\"event\":\"print\",\"level\":\"warn\",\"message\":\"x\\ny\\u0000\"}\n{\"event\":\"stop\"}\n{\"event\":\"cancelled\",\"by\":\"lab\"}\n";
    let on_stdout = (Stream::Stdout, r#"{"event":"start","steps":1}"#.to_owned());
    let stderr = |text: &str| (Stream::Stderr, text.to_owned());
    let print = r#"{"event":"print","level":"warn","message":"x\ny\u0000"}"#;
    assert_eq!(
        heard(said, Events::OnStderr).await,
        [
            stderr("a line"),
            stderr("warning: x"),
            stderr("warning: y"),
            (Stream::Event, print.to_owned()),
            stderr(r#"{"event":"stop"}"#),
            stderr(r#"{"event":"cancelled","by":"lab"}"#),
            on_stdout.clone(),
        ]
    );
    let plain = heard(said, Events::None).await;
    assert!(plain.iter().all(|(stream, _)| *stream != Stream::Event));
    assert_eq!(plain.len(), 5);
}
