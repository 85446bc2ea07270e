//! How things are written for people.
//!
//! What strangers wrote is escaped and cut here, and nowhere printed without.
//! Times are UTC, digests are whole where they identify what is approved.

use serde_json::Value;
use strongroom_core::{
    json,
    limits::Limits,
    plan::{InputVersion, Inputs},
    run::{Usage, bytes_shown, millis_shown},
    text,
};

use crate::ui::json_shown;

/// The longest text in one cell of a table.
const CELL_CHARS_MAX: usize = 60;

/// A moment: `2030-01-31T12:00:00Z`.
pub fn time(at_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(moment) => moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => at_ms.to_string(),
    }
}

/// A stranger's text as one short line.
pub fn cell(raw: &str) -> String {
    text::shown(raw, CELL_CHARS_MAX)
}

/// A stranger's JSON as one line.
pub fn json_line(value: &Value) -> String {
    json_shown(&json::canonical(value))
}

/// Rows below a header, in columns; nothing when there are no rows.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
    let lines = || std::iter::once(&header).chain(rows);
    let width = |column: usize| {
        let cells = lines().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    for row in lines() {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// All bounds in one line.
pub fn limits(limits: &Limits) -> String {
    let cpu = f64::from(limits.cpu_milli) / 1000.0;
    let bytes = bytes_shown;
    format!(
        "cpu {cpu}, memory {}, time {}, processes {}, out {} in {} files, log {}, tmp {}",
        bytes(limits.memory_bytes),
        millis_shown(limits.time_ms),
        limits.processes,
        bytes(limits.out_bytes),
        limits.out_files,
        bytes(limits.log_bytes),
        bytes(limits.tmp_bytes),
    )
}

/// Each input with the place where the guest finds it.
pub fn inputs(inputs: &Inputs<InputVersion>) -> Vec<String> {
    let row = |(name, input): (Option<&strongroom_core::name::Name>, &InputVersion)| {
        let place = match name {
            None => "/data".to_owned(),
            Some(name) => format!("/data/{name}"),
        };
        format!("{place} is {}@{}", input.dataset, input.version)
    };
    inputs.iter().map(row).collect()
}

/// What a run used, in one line.
pub fn usage(usage: &Usage) -> String {
    format!(
        "{} wall, {} cpu, {} memory, {} out",
        millis_shown(usage.wall_ms),
        millis_shown(usage.cpu_ms),
        bytes_shown(usage.memory_peak_bytes),
        bytes_shown(usage.out_bytes),
    )
}

/// `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_has_no_trailing_space() {
        let rows = [
            vec!["a".to_owned(), "long one".to_owned(), "x".to_owned()],
            vec!["long".to_owned(), "é".to_owned(), String::new()],
        ];
        let shown = table(&["ONE", "TWO", "THREE"], &rows);
        assert_eq!(shown, "ONE   TWO       THREE\na     long one  x\nlong  é\n");
        assert_eq!(table(&["ONE"], &[]), "");
    }

    #[test]
    fn a_cell_cannot_move_the_cursor() {
        assert_eq!(cell("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
    }

    #[test]
    fn a_moment_is_written_in_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }
}
