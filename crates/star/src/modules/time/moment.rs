//! A moment in a time zone.

use std::{cmp::Ordering, fmt, hash::Hash};

use allocative::Allocative;
use jiff::{SignedDuration, Timestamp, Zoned, civil, tz::TimeZone};
use starlark::{
    any::ProvidesStaticType,
    collections::StarlarkHasher,
    environment::{Methods, MethodsBuilder},
    starlark_module, starlark_simple_value,
    values::{Heap, NoSerialize, StarlarkValue, Value, ValueError, ValueLike, starlark_value},
};

use super::{Duration, first_day, layout, zone};
use crate::modules::refusal::argument;

/// A moment, shown in one time zone. Two are equal when they are the same
/// moment, wherever they are shown.
#[derive(Clone, Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Moment(#[allocative(skip)] pub Zoned);

starlark_simple_value!(Moment);

impl fmt::Display for Moment {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = layout::format("2006-01-02 15:04:05.999999999 -0700 MST", &self.0);
        to.write_str(&shown)
    }
}

/// The moment so many seconds and nanoseconds after 1970.
pub fn from_unix(seconds: i64, nanoseconds: i64) -> starlark::Result<Moment> {
    let whole = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let at = Timestamp::from_nanosecond(whole).map_err(|_| out_of_range())?;
    Ok(Moment(at.to_zoned(TimeZone::UTC)))
}

/// A moment from year, month, day, hour, minute, second and nanosecond. Parts
/// beyond their range carry over, as in October 32.
pub fn from_parts(parts: [i64; 7], zone: TimeZone) -> starlark::Result<Moment> {
    let [year, month, day, hour, minute, second, nanosecond] = parts;
    let months = i128::from(year) * 12 + i128::from(month) - 1;
    let start = i16::try_from(months.div_euclid(12))
        .ok()
        .zip(i8::try_from(months.rem_euclid(12) + 1).ok())
        .and_then(|(year, month)| civil::Date::new(year, month, 1).ok())
        .ok_or_else(out_of_range)?;
    let days = i128::from(day) - 1;
    let seconds = ((days * 24 + i128::from(hour)) * 60 + i128::from(minute)) * 60;
    let total = (seconds + i128::from(second)) * 1_000_000_000 + i128::from(nanosecond);
    let shift = signed(total).ok_or_else(out_of_range)?;
    let civil = start.at(0, 0, 0, 0).checked_add(shift);
    let zoned = civil.and_then(|civil| civil.to_zoned(zone));
    Ok(Moment(zoned.map_err(|_| out_of_range())?))
}

fn signed(nanoseconds: i128) -> Option<SignedDuration> {
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    let rest = i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?;
    Some(SignedDuration::new(seconds, rest))
}

fn out_of_range() -> starlark::Error {
    argument("the moment is out of range")
}

impl Moment {
    /// The moment so much later.
    pub fn later(&self, by: Duration) -> starlark::Result<Self> {
        let moved = self.0.checked_add(SignedDuration::from_nanos(by.0));
        Ok(Self(moved.map_err(|_| out_of_range())?))
    }

    fn since(&self, other: &Self) -> Duration {
        let nanoseconds = self.0.timestamp().as_nanosecond() - other.0.timestamp().as_nanosecond();
        let bounded = nanoseconds.clamp(i64::MIN.into(), i64::MAX.into());
        Duration(i64::try_from(bounded).unwrap_or(i64::MAX))
    }
}

starlark::methods_static!(MOMENT_METHODS = methods);

#[starlark_value(type = "time.time")]
impl<'v> StarlarkValue<'v> for Moment {
    fn get_methods() -> Option<&'static Methods> {
        Some(MOMENT_METHODS.methods())
    }

    /// The first moment of the year 1 is nothing.
    fn to_bool(&self) -> bool {
        self.0.datetime() != first_day()
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        self.0.timestamp().as_nanosecond().hash(hasher);
        Ok(())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other
            .downcast_ref::<Self>()
            .is_some_and(|other| self.0.timestamp() == other.0.timestamp()))
    }

    fn compare(&self, other: Value<'v>) -> starlark::Result<Ordering> {
        match other.downcast_ref::<Self>() {
            Some(other) => Ok(self.0.timestamp().cmp(&other.0.timestamp())),
            None => ValueError::unsupported_with(self, "compare", other),
        }
    }

    fn add(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        let by = *other.downcast_ref::<Duration>()?;
        Some(self.later(by).map(|later| heap.alloc(later)))
    }

    fn sub(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        if let Some(other) = other.downcast_ref::<Self>() {
            return Ok(heap.alloc(self.since(other)));
        }
        match other.downcast_ref::<Duration>() {
            Some(by) => {
                let back = by.0.checked_neg().ok_or_else(out_of_range)?;
                Ok(heap.alloc(self.later(Duration(back))?))
            }
            None => ValueError::unsupported_with(self, "-", other),
        }
    }
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn year(this: &Moment) -> starlark::Result<i32> {
        Ok(this.0.year().into())
    }
    #[starlark(attribute)]
    fn month(this: &Moment) -> starlark::Result<i32> {
        Ok(this.0.month().into())
    }
    #[starlark(attribute)]
    fn day(this: &Moment) -> starlark::Result<i32> {
        Ok(this.0.day().into())
    }
    #[starlark(attribute)]
    fn hour(this: &Moment) -> starlark::Result<i32> {
        Ok(this.0.hour().into())
    }
    #[starlark(attribute)]
    fn minute(this: &Moment) -> starlark::Result<i32> {
        Ok(this.0.minute().into())
    }
    #[starlark(attribute)]
    fn second(this: &Moment) -> starlark::Result<i32> {
        Ok(this.0.second().into())
    }
    #[starlark(attribute)]
    fn nanosecond(this: &Moment) -> starlark::Result<i32> {
        Ok(this.0.subsec_nanosecond())
    }
    #[starlark(attribute)]
    fn unix(this: &Moment) -> starlark::Result<i64> {
        Ok(this.0.timestamp().as_second())
    }
    #[starlark(attribute)]
    fn unix_nano(this: &Moment) -> starlark::Result<i64> {
        i64::try_from(this.0.timestamp().as_nanosecond()).map_err(|_| out_of_range())
    }

    /// The moment in a layout.
    fn format(this: &Moment, #[starlark(require = pos)] layout: &str) -> starlark::Result<String> {
        Ok(layout::format(layout, &this.0))
    }

    /// The same moment, shown in another zone.
    fn in_location(
        this: &Moment,
        #[starlark(require = pos)] name: &str,
    ) -> starlark::Result<Moment> {
        Ok(Moment(this.0.with_time_zone(zone(name)?)))
    }
}
