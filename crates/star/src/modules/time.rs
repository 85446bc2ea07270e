//! `time.star`: moments and durations.
//!
//! Layouts are written as the reference moment would be shown, `Mon Jan 2
//! 15:04:05 MST 2006`, since that is what scripts use. Time zones come with
//! the guest and not from the host. There is no sleeping.

mod duration;
mod layout;
mod moment;
mod parsing;

use jiff::{Timestamp, Zoned, civil, tz::TimeZone};
use starlark::{environment::GlobalsBuilder, starlark_module, values::Value};

pub use self::{duration::Duration, moment::Moment};
use super::refusal::{argument, malformed};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("time", |builder| {
        for (name, nanoseconds) in duration::UNITS {
            builder.set(name, Duration(nanoseconds));
        }
        functions(builder);
    });
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// The moment of the call, in UTC.
    fn now() -> starlark::Result<Moment> {
        Ok(Moment(Timestamp::now().to_zoned(TimeZone::UTC)))
    }

    /// The moment so many seconds after 1970, in UTC.
    fn from_timestamp(
        #[starlark(require = pos)] sec: i64,
        #[starlark(require = pos, default = 0)] nsec: i64,
    ) -> starlark::Result<Moment> {
        moment::from_unix(sec, nsec)
    }

    fn is_valid_timezone(#[starlark(require = pos)] loc: &str) -> starlark::Result<bool> {
        Ok(zone(loc).is_ok())
    }

    /// Reads text such as `1h15m30.918s`.
    fn parse_duration(#[starlark(require = pos)] d: Value) -> starlark::Result<Duration> {
        duration(d)
    }

    /// The same under its older name.
    fn duration(#[starlark(require = pos)] d: Value) -> starlark::Result<Duration> {
        duration(d)
    }

    /// Reads text in a layout; text without a zone is in `location`.
    fn parse_time(
        x: &str,
        #[starlark(default = "2006-01-02T15:04:05Z07:00")] format: &str,
        #[starlark(default = "UTC")] location: &str,
    ) -> starlark::Result<Moment> {
        parsing::parse(format, x, &zone(location)?)
            .map(Moment)
            .map_err(|error| malformed("time", error))
    }

    /// A moment from its parts, or from text in RFC 3339.
    fn time(
        #[starlark(require = pos)] text: Option<&str>,
        #[starlark(require = named, default = 1)] year: i64,
        #[starlark(require = named, default = 1)] month: i64,
        #[starlark(require = named, default = 1)] day: i64,
        #[starlark(require = named, default = 0)] hour: i64,
        #[starlark(require = named, default = 0)] minute: i64,
        #[starlark(require = named, default = 0)] second: i64,
        #[starlark(require = named, default = 0)] nanosecond: i64,
        #[starlark(require = named, default = "UTC")] location: &str,
    ) -> starlark::Result<Moment> {
        let zone = zone(location)?;
        if let Some(text) = text {
            return parsing::parse(layout::RFC3339, text, &zone)
                .map(Moment)
                .map_err(|error| malformed("time", error));
        }
        let parts = [year, month, day, hour, minute, second, nanosecond];
        moment::from_parts(parts, zone)
    }
}

fn duration(value: Value) -> starlark::Result<Duration> {
    use starlark::values::ValueLike;
    if let Some(same) = value.downcast_ref::<Duration>() {
        return Ok(*same);
    }
    let text = value
        .unpack_str()
        .ok_or_else(|| argument(format!("a duration is text, not {}", value.get_type())))?;
    Duration::parse(text)
}

/// A time zone by its name; the empty name is UTC.
pub fn zone(name: &str) -> starlark::Result<TimeZone> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Err(argument("there is no local time zone; name one, as in UTC")),
        _ => jiff_tz(name).ok_or_else(|| argument(format!("unknown time zone {name}"))),
    }
}

fn jiff_tz(name: &str) -> Option<TimeZone> {
    let named = !name.starts_with(['/', '.']) && !name.contains("..");
    named.then(|| jiff::tz::TimeZoneDatabase::bundled().get(name).ok())?
}

/// The first day of the calendar that moments begin at.
pub fn first_day() -> civil::DateTime {
    civil::date(1, 1, 1).at(0, 0, 0, 0)
}

/// A moment in a layout.
pub fn shown(layout: &str, moment: &Zoned) -> String {
    layout::format(layout, moment)
}

/// A moment from text in one of the usual layouts.
pub fn read(text: &str) -> Option<Zoned> {
    let layouts = [layout::RFC3339, "2006-01-02 15:04:05", "2006-01-02"];
    let mut read = layouts.iter();
    read.find_map(|layout| parsing::parse(layout, text, &TimeZone::UTC).ok())
}
