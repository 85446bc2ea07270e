//! The values of a column as pandas writes them.

use super::{
    cell::{Cell, NO_TIME, shown_time},
    column::Column,
    layout::{escaped, width},
};

/// Digits behind the point.
const DIGITS: usize = 6;

/// All values of a column; `space` puts a space where a sign could be.
pub fn shown_values(column: &Column, space: bool) -> Vec<String> {
    let lead = if space { " " } else { "" };
    match column {
        Column::Int(values) => values
            .iter()
            .map(|value| match *value < 0 {
                true => value.to_string(),
                false => format!("{lead}{value}"),
            })
            .collect(),
        Column::Float(values) => floats(values, lead),
        Column::Time(values) => times(values),
        _ => column.cells().map(|cell| object(&cell, lead)).collect(),
    }
}

fn object(cell: &Cell, lead: &str) -> String {
    match cell {
        Cell::Float(float) if !float.is_nan() => {
            let sign = if float.is_sign_negative() { "" } else { lead };
            let digits = format!("{sign}{float:.DIGITS$}");
            let cut = digits.trim_end_matches('0');
            match cut.ends_with('.') {
                true => format!("{cut}0"),
                false => cut.to_owned(),
            }
        }
        other => format!("{lead}{}", escaped(&other.plain())),
    }
}

/// Moments of one column show the time of day only if one of them has it.
fn times(values: &[i64]) -> Vec<String> {
    const DAY: i64 = 86_400_000_000_000;
    let days = values
        .iter()
        .all(|value| *value == NO_TIME || value.rem_euclid(DAY) == 0);
    let each = values.iter().map(|value| match *value {
        NO_TIME => "NaT".to_owned(),
        known if days => shown_time(known),
        known => {
            let shown = shown_time(known);
            match shown.len() {
                10 => format!("{shown} 00:00:00"),
                _ => shown,
            }
        }
    });
    each.collect()
}

fn floats(values: &[f64], lead: &str) -> Vec<String> {
    let large = values.iter().any(|value| 1e6 < value.abs());
    let small = values
        .iter()
        .any(|value| value.abs() < 10_f64.powi(-(DIGITS as i32)) && 0.0 < value.abs());
    let plain = |value: &f64| format!("{value:.DIGITS$}");
    let shown = trimmed(signed(values, lead, plain));
    let too_long = shown.iter().any(|text| DIGITS + 6 < width(text));
    match small || too_long && large {
        true => trimmed(signed(values, lead, scientific)),
        false => shown,
    }
}

fn signed(values: &[f64], lead: &str, write: impl Fn(&f64) -> String) -> Vec<String> {
    let each = values.iter().map(|value| {
        let sign = if value.is_sign_negative() { "" } else { lead };
        match value {
            value if value.is_nan() => "NaN".to_owned(),
            value => format!("{sign}{}", write(value)),
        }
    });
    each.collect()
}

/// As in `1.500000e+06`.
fn scientific(value: &f64) -> String {
    if value.is_infinite() {
        return value.to_string();
    }
    let shown = format!("{value:.DIGITS$e}");
    match shown.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, size) = match exponent.strip_prefix('-') {
                Some(size) => ('-', size),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{size:0>2}")
        }
        None => shown,
    }
}

/// Takes zeros off the ends as long as every number ends in one.
fn trimmed(mut shown: Vec<String>) -> Vec<String> {
    let is_number = |text: &String| {
        text.contains('.')
            && text
                .trim_start()
                .trim_start_matches(['+', '-'])
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    loop {
        let mut numbers = shown.iter().filter(|text| is_number(text)).peekable();
        if numbers.peek().is_none() || !numbers.all(|text| text.ends_with('0')) {
            break;
        }
        for text in shown.iter_mut().filter(|text| is_number(text)) {
            text.pop();
        }
    }
    for text in shown.iter_mut().filter(|text| is_number(text)) {
        if text.ends_with('.') {
            text.push('0');
        }
    }
    shown
}
