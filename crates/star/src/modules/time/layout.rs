//! Layouts: how the moment `Mon Jan 2 15:04:05 MST 2006` would be shown.
//!
//! A layout is cut into parts once; formatting and parsing walk the same
//! parts. What is no part stands for itself. Reading is in [`super::parsing`].

use std::fmt::Write as _;

use jiff::{Zoned, tz::Offset};

pub const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Text(&'a str),
    YearLong,
    YearShort,
    MonthName,
    MonthShort,
    Month(Padding),
    Day(Padding),
    DayOfYear,
    WeekdayName,
    WeekdayShort,
    Hour24,
    Hour12(Padding),
    Minute(Padding),
    Second(Padding),
    /// The mark before it, digits, and whether zeros at the end go.
    Fraction(char, usize, bool),
    NoonUpper,
    NoonLower,
    ZoneName,
    /// `Z` for UTC, colons, seconds, minutes.
    ZoneOffset(bool, bool, bool, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    None,
    Zero,
    Space,
}

/// Longer ones first where one begins another.
const PARTS: &[(&str, Part<'static>)] = &[
    ("January", Part::MonthName),
    ("Monday", Part::WeekdayName),
    ("2006", Part::YearLong),
    ("Jan", Part::MonthShort),
    ("Mon", Part::WeekdayShort),
    ("MST", Part::ZoneName),
    ("Z07:00:00", Part::ZoneOffset(true, true, true, true)),
    ("Z070000", Part::ZoneOffset(true, false, true, true)),
    ("Z07:00", Part::ZoneOffset(true, true, false, true)),
    ("Z0700", Part::ZoneOffset(true, false, false, true)),
    ("Z07", Part::ZoneOffset(true, false, false, false)),
    ("-07:00:00", Part::ZoneOffset(false, true, true, true)),
    ("-070000", Part::ZoneOffset(false, false, true, true)),
    ("-07:00", Part::ZoneOffset(false, true, false, true)),
    ("-0700", Part::ZoneOffset(false, false, false, true)),
    ("-07", Part::ZoneOffset(false, false, false, false)),
    ("002", Part::DayOfYear),
    ("01", Part::Month(Padding::Zero)),
    ("02", Part::Day(Padding::Zero)),
    ("03", Part::Hour12(Padding::Zero)),
    ("04", Part::Minute(Padding::Zero)),
    ("05", Part::Second(Padding::Zero)),
    ("06", Part::YearShort),
    ("15", Part::Hour24),
    ("PM", Part::NoonUpper),
    ("pm", Part::NoonLower),
    ("_2", Part::Day(Padding::Space)),
    ("1", Part::Month(Padding::None)),
    ("2", Part::Day(Padding::None)),
    ("3", Part::Hour12(Padding::None)),
    ("4", Part::Minute(Padding::None)),
    ("5", Part::Second(Padding::None)),
];

/// The next part of a layout and what follows it.
pub fn next_part(layout: &str) -> (Part<'_>, &str) {
    if let Some(mark) = layout
        .chars()
        .next()
        .filter(|mark| matches!(mark, '.' | ','))
    {
        let digits = &layout[1..];
        for (digit, trimmed) in [('0', false), ('9', true)] {
            let count = digits.chars().take_while(|next| *next == digit).count();
            let ends = !digits[count..].starts_with(|next: char| next.is_ascii_digit());
            if 0 < count && count <= 9 && ends {
                return (Part::Fraction(mark, count, trimmed), &digits[count..]);
            }
        }
    }
    if layout.starts_with("_2006") {
        return (Part::Text("_"), &layout[1..]);
    }
    for (shown, part) in PARTS {
        if let Some(rest) = layout.strip_prefix(shown) {
            return (*part, rest);
        }
    }
    let width = layout.chars().next().map_or(0, char::len_utf8);
    (Part::Text(&layout[..width]), &layout[width..])
}

/// Shows a moment in a layout.
pub fn format(layout: &str, moment: &Zoned) -> String {
    let mut shown = String::new();
    let mut rest = layout;
    while !rest.is_empty() {
        let (part, left) = next_part(rest);
        write_part(part, moment, &mut shown);
        rest = left;
    }
    shown
}

fn write_part(part: Part<'_>, moment: &Zoned, to: &mut String) {
    let hour12 = match moment.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    match part {
        Part::Text(text) => to.push_str(text),
        Part::YearLong => padded(to, moment.year().into(), 4, '0'),
        Part::YearShort => padded(to, i64::from(moment.year()).rem_euclid(100), 2, '0'),
        Part::MonthName => to.push_str(name(&MONTHS, moment.month())),
        Part::MonthShort => to.push_str(&name(&MONTHS, moment.month())[..3]),
        Part::WeekdayName => to.push_str(name(&DAYS, moment.weekday().to_monday_one_offset())),
        Part::WeekdayShort => {
            to.push_str(&name(&DAYS, moment.weekday().to_monday_one_offset())[..3]);
        }
        Part::Month(padding) => two(to, moment.month(), padding),
        Part::Day(padding) => two(to, moment.day(), padding),
        Part::DayOfYear => padded(to, moment.day_of_year().into(), 3, '0'),
        Part::Hour24 => two(to, moment.hour(), Padding::Zero),
        Part::Hour12(padding) => two(to, hour12, padding),
        Part::Minute(padding) => two(to, moment.minute(), padding),
        Part::Second(padding) => two(to, moment.second(), padding),
        Part::Fraction(mark, digits, trimmed) => {
            let all = format!("{:09}", moment.subsec_nanosecond());
            let cut = &all[..digits];
            let kept = if trimmed {
                cut.trim_end_matches('0')
            } else {
                cut
            };
            if !kept.is_empty() {
                to.push(mark);
                to.push_str(kept);
            }
        }
        Part::NoonUpper => to.push_str(if moment.hour() < 12 { "AM" } else { "PM" }),
        Part::NoonLower => to.push_str(if moment.hour() < 12 { "am" } else { "pm" }),
        Part::ZoneName => to.push_str(&zone_name(moment)),
        Part::ZoneOffset(true, ..) if moment.offset().is_zero() => to.push('Z'),
        Part::ZoneOffset(_, colons, seconds, minutes) => {
            write_offset(to, moment.offset(), colons, seconds, minutes);
        }
    }
}

fn name<'a>(names: &[&'a str], one_based: i8) -> &'a str {
    let index = usize::try_from(one_based - 1).unwrap_or_default();
    names.get(index).copied().unwrap_or_default()
}

fn padded(to: &mut String, number: i64, width: usize, fill: char) {
    let digits = number.unsigned_abs().to_string();
    if number < 0 {
        to.push('-');
    }
    to.extend(std::iter::repeat_n(
        fill,
        width.saturating_sub(digits.len()),
    ));
    to.push_str(&digits);
}

fn two(to: &mut String, number: i8, padding: Padding) {
    match padding {
        Padding::None => padded(to, number.into(), 1, '0'),
        Padding::Zero => padded(to, number.into(), 2, '0'),
        Padding::Space => padded(to, number.into(), 2, ' '),
    }
}

fn zone_name(moment: &Zoned) -> String {
    let abbreviation = moment
        .time_zone()
        .to_offset_info(moment.timestamp())
        .abbreviation()
        .to_owned();
    if abbreviation.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return abbreviation;
    }
    let mut offset = String::new();
    write_offset(&mut offset, moment.offset(), false, false, true);
    offset
}

fn write_offset(to: &mut String, offset: Offset, colons: bool, seconds: bool, minutes: bool) {
    let total = offset.seconds();
    to.push(if total < 0 { '-' } else { '+' });
    let total = total.unsigned_abs();
    let colon = if colons { ":" } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(to, "{:02}", total / 3600);
    if minutes {
        let _ = write!(to, "{colon}{:02}", total / 60 % 60);
    }
    if seconds {
        let _ = write!(to, "{colon}{:02}", total % 60);
    }
}
