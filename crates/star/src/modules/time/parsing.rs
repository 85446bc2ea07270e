//! Reading a moment from text in a layout.

use jiff::{
    Zoned, civil,
    tz::{Offset, TimeZone},
};

use super::layout::{DAYS, MONTHS, Padding, Part, next_part};

/// Why a text is not a moment in a layout.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("{text:?} does not fit the layout {layout:?} at {rest:?}")]
    Misfit {
        text: String,
        layout: String,
        rest: String,
    },
    #[error("{text:?} names no moment")]
    NoMoment { text: String },
}

/// What has been read so far.
struct Read {
    year: i16,
    month: i8,
    day: i8,
    day_of_year: Option<i16>,
    hour: i8,
    afternoon: Option<bool>,
    minute: i8,
    second: i8,
    nanosecond: i32,
    offset: Option<Offset>,
}

/// Reads `text`; where it names no zone, it is in `zone`.
///
/// # Errors
///
/// [`ParseError`]: the text does not fit, or names a day that does not exist.
pub fn parse(layout: &str, text: &str, zone: &TimeZone) -> Result<Zoned, ParseError> {
    let mut read = Read {
        year: 0,
        month: 1,
        day: 1,
        day_of_year: None,
        hour: 0,
        afternoon: None,
        minute: 0,
        second: 0,
        nanosecond: 0,
        offset: None,
    };
    let misfit = |rest: &str| ParseError::Misfit {
        text: text.to_owned(),
        layout: layout.to_owned(),
        rest: rest.to_owned(),
    };
    let (mut shape, mut rest) = (layout, text);
    while !shape.is_empty() {
        let (part, left) = next_part(shape);
        rest = read.part(part, rest).ok_or_else(|| misfit(rest))?;
        // Digits behind the seconds are read even if the layout has none.
        if matches!(part, Part::Second(_)) && !matches!(next_part(left).0, Part::Fraction(..)) {
            rest = read.fraction(rest).unwrap_or(rest);
        }
        shape = left;
    }
    if !rest.is_empty() {
        return Err(misfit(rest));
    }
    read.moment(zone).ok_or_else(|| ParseError::NoMoment {
        text: text.to_owned(),
    })
}

impl Read {
    /// Reads one part and gives what follows it.
    fn part<'a>(&mut self, part: Part<'_>, text: &'a str) -> Option<&'a str> {
        match part {
            Part::Text(shown) => text.strip_prefix(shown),
            Part::YearLong => take(text, 4, 4, &mut self.year),
            Part::YearShort => {
                let rest = take(text, 2, 2, &mut self.year)?;
                self.year += if self.year < 69 { 2000 } else { 1900 };
                Some(rest)
            }
            Part::MonthName => named(text, &MONTHS, usize::MAX, &mut self.month),
            Part::MonthShort => named(text, &MONTHS, 3, &mut self.month),
            Part::WeekdayName => named(text, &DAYS, usize::MAX, &mut 0),
            Part::WeekdayShort => named(text, &DAYS, 3, &mut 0),
            Part::Month(padding) => two(text, padding, &mut self.month),
            Part::Day(padding) => two(text, padding, &mut self.day),
            Part::DayOfYear => {
                let mut day = 0;
                let rest = take(text, 3, 3, &mut day)?;
                self.day_of_year = Some(day);
                Some(rest)
            }
            Part::Hour24 => two(text, Padding::Zero, &mut self.hour),
            Part::Hour12(padding) => two(text, padding, &mut self.hour),
            Part::Minute(padding) => two(text, padding, &mut self.minute),
            Part::Second(padding) => two(text, padding, &mut self.second),
            Part::Fraction(mark, digits, false) => {
                let rest = self.fraction(text)?;
                (text.starts_with(mark) && text.len() - rest.len() == digits + 1).then_some(rest)
            }
            Part::Fraction(..) => Some(self.fraction(text).unwrap_or(text)),
            Part::NoonUpper | Part::NoonLower => self.noon(text),
            Part::ZoneName => self.zone_name(text),
            Part::ZoneOffset(true, ..) if text.starts_with('Z') => {
                self.offset = Some(Offset::UTC);
                Some(&text[1..])
            }
            Part::ZoneOffset(_, colons, seconds, minutes) => self.zone_offset(
                text,
                colons,
                1 + usize::from(minutes) + usize::from(seconds),
            ),
        }
    }

    fn fraction<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let digits = text.strip_prefix(['.', ','])?;
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let cut = digits.get(..count.min(9)).filter(|cut| !cut.is_empty())?;
        self.nanosecond = format!("{cut:0<9}").parse().ok()?;
        Some(&digits[count..])
    }

    fn noon<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (half, rest) = text.split_at_checked(2)?;
        self.afternoon = Some(match half {
            "AM" | "am" => false,
            "PM" | "pm" => true,
            _ => return None,
        });
        Some(rest)
    }

    /// An abbreviation says no offset, except for UTC itself.
    fn zone_name<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
        if !(3..=5).contains(&letters) {
            return None;
        }
        if matches!(&text[..letters], "UTC" | "GMT") {
            self.offset = self.offset.or(Some(Offset::UTC));
        }
        Some(&text[letters..])
    }

    fn zone_offset<'a>(&mut self, text: &'a str, colons: bool, fields: usize) -> Option<&'a str> {
        let sign = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let mut rest = &text[1..];
        let mut seconds = 0_i32;
        for field in 0..fields {
            if 0 < field && colons {
                rest = rest.strip_prefix(':')?;
            }
            let mut number = 0_i32;
            rest = take(rest, 2, 2, &mut number)?;
            seconds += number * [3600, 60, 1][field];
        }
        self.offset = Some(Offset::from_seconds(sign * seconds).ok()?);
        Some(rest)
    }

    fn moment(&self, zone: &TimeZone) -> Option<Zoned> {
        let hour = match self.afternoon {
            None => self.hour,
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        let date = match self.day_of_year {
            None => civil::Date::new(self.year, self.month, self.day).ok()?,
            Some(day) => civil::Date::new(self.year, 1, 1)
                .and_then(|first| first.with().day_of_year(day).build())
                .ok()?,
        };
        let time = civil::Time::new(hour, self.minute, self.second, self.nanosecond).ok()?;
        let zone = match self.offset {
            None => zone.clone(),
            Some(offset) if offset.is_zero() => TimeZone::UTC,
            Some(offset) => TimeZone::fixed(offset),
        };
        date.to_datetime(time).to_zoned(zone).ok()
    }
}

/// A number of so many digits.
fn take<'a, N: std::str::FromStr>(
    text: &'a str,
    digits_min: usize,
    digits_max: usize,
    to: &mut N,
) -> Option<&'a str> {
    let digits = text.bytes().take(digits_max).take_while(u8::is_ascii_digit);
    let count = digits.count();
    if count < digits_min {
        return None;
    }
    *to = text[..count].parse().ok()?;
    Some(&text[count..])
}

fn two<'a>(text: &'a str, padding: Padding, to: &mut i8) -> Option<&'a str> {
    match padding {
        Padding::Zero => take(text, 2, 2, to),
        Padding::None => take(text, 1, 2, to),
        Padding::Space => take(text.strip_prefix(' ').unwrap_or(text), 1, 2, to),
    }
}

/// One of the names, or its first letters; any case will do.
fn named<'a>(text: &'a str, names: &[&str], letters: usize, to: &mut i8) -> Option<&'a str> {
    for (index, name) in names.iter().enumerate() {
        let shown = &name[..name.len().min(letters)];
        let (head, rest) = text.split_at_checked(shown.len()).unwrap_or(("", text));
        if head.eq_ignore_ascii_case(shown) {
            *to = i8::try_from(index + 1).ok()?;
            return Some(rest);
        }
    }
    None
}
