//! Rows of figures, the bars they are held to, and the page they make.

use std::{fmt::Write as _, time::Duration};

use super::millis;

/// What a figure is held to.
#[derive(Clone, Copy)]
pub enum Bar {
    /// A peer; it is there to compare with.
    None,
    AtMost(f64),
    AtLeast(f64),
    /// Times the plain interpreter of the same run.
    AtMostBare(f64),
}

/// One figure.
pub struct Row {
    pub what: String,
    pub runs: usize,
    pub value: f64,
    pub p99: Option<f64>,
    pub unit: &'static str,
    pub bar: Bar,
}

impl Row {
    /// Median and 99th percentile of some times.
    pub fn of_times(what: &str, times: &[Duration], bar: Bar) -> Self {
        Self {
            what: what.to_owned(),
            runs: times.len(),
            value: millis(percentile(times, 50)),
            p99: Some(millis(percentile(times, 99))),
            unit: "ms",
            bar,
        }
    }

    pub fn of_value(what: &str, runs: usize, value: f64, unit: &'static str, bar: Bar) -> Self {
        Self {
            what: what.to_owned(),
            runs,
            value,
            p99: None,
            unit,
            bar,
        }
    }
}

/// All figures of one run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    /// The plain interpreter's median, in milliseconds.
    bare_ms: Option<f64>,
    notes: Vec<String>,
}

impl Report {
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Says what the plain interpreter takes; ratios are to it.
    pub fn bare(&mut self, times: &[Duration]) {
        self.bare_ms = Some(millis(percentile(times, 50)));
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The whole page.
    pub fn text(&self, day: &str, machine: &str, debug_build: bool) -> String {
        let build = if debug_build { "debug" } else { "release" };
        let mut text = format!(
            "# What it costs\n\nMeasured on {day} on {machine}, a {build} build, in one run of `cargo xtask bench`, \
             contenders taking turns. A peer starts the same interpreter and does next to nothing.\n\n\
             | what | runs | median | p99 | to plain python3 | bar | |\n|---|---|---|---|---|---|---|\n"
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", self.line(row));
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }

    fn line(&self, row: &Row) -> String {
        let ratio = match self.bare_ms {
            Some(bare) if row.unit == "ms" => format!("{:.2}", row.value / bare),
            _ => String::new(),
        };
        let p99 = row.p99.map_or(String::new(), |p99| shown(p99, row.unit));
        let (bar, met) = self.bar(row);
        let verdict = match met {
            None => "",
            Some(true) => "met",
            Some(false) => "**missed**",
        };
        format!(
            "| {} | {} | {} | {p99} | {ratio} | {bar} | {verdict} |",
            row.what,
            row.runs,
            shown(row.value, row.unit)
        )
    }

    fn bar(&self, row: &Row) -> (String, Option<bool>) {
        match (row.bar, self.bare_ms) {
            (Bar::None, _) => (String::new(), None),
            (Bar::AtMost(most), _) => (
                format!("at most {}", shown(most, row.unit)),
                Some(row.value <= most),
            ),
            (Bar::AtLeast(least), _) => (
                format!("at least {}", shown(least, row.unit)),
                Some(least <= row.value),
            ),
            (Bar::AtMostBare(times), Some(bare)) => (
                format!(
                    "at most {times} times bare: {}",
                    shown(times * bare, row.unit)
                ),
                Some(row.value <= times * bare),
            ),
            (Bar::AtMostBare(times), None) => (format!("at most {times} times bare"), None),
        }
    }
}

fn shown(value: f64, unit: &str) -> String {
    if value.fract() == 0.0 || 100.0 <= value {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.2} {unit}")
    }
}

pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    let at = sorted.get(last * percent / 100);
    at.copied().unwrap_or_default()
}
