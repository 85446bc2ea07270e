//! A length of time in nanoseconds.

use std::{cmp::Ordering, fmt, hash::Hash};

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    collections::StarlarkHasher,
    environment::{Methods, MethodsBuilder},
    starlark_module, starlark_simple_value,
    values::{
        Heap, NoSerialize, StarlarkValue, UnpackValue, Value, ValueError, ValueLike,
        float::UnpackFloat, starlark_value,
    },
};

use super::Moment;
use crate::modules::refusal::{argument, malformed};

const SECOND: i64 = 1_000_000_000;

/// The units, largest first, by the names that the module exports.
pub const UNITS: [(&str, i64); 6] = [
    ("hour", 3600 * SECOND),
    ("minute", 60 * SECOND),
    ("second", SECOND),
    ("millisecond", 1_000_000),
    ("microsecond", 1_000),
    ("nanosecond", 1),
];

/// A length of time; it may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Duration(pub i64);

starlark_simple_value!(Duration);

impl fmt::Display for Duration {
    /// As in `1h15m30.918s`, the way it is parsed.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let total = self.0.unsigned_abs();
        let second = SECOND.unsigned_abs();
        if total == 0 {
            return to.write_str("0s");
        }
        if total < second {
            let (unit, size) = match total {
                0..1_000 => ("ns", 1),
                1_000..1_000_000 => ("µs", 1_000),
                _ => ("ms", 1_000_000),
            };
            return write!(to, "{sign}{}{unit}", fraction(total, size));
        }
        to.write_str(sign)?;
        let minutes = total / second / 60;
        if 60 <= minutes {
            write!(to, "{}h", minutes / 60)?;
        }
        if 0 < minutes {
            write!(to, "{}m", minutes % 60)?;
        }
        write!(to, "{}s", fraction(total % (60 * second), second))
    }
}

/// A quotient in full, without zeros at its end.
fn fraction(total: u64, size: u64) -> String {
    let rest = total % size;
    if rest == 0 {
        return (total / size).to_string();
    }
    let width = size.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{}.{}", total / size, digits.trim_end_matches('0'))
}

impl Duration {
    /// Reads numbers with units, as in `-1.5h` or `2h45m`.
    ///
    /// # Errors
    ///
    /// When it is no such text, or is longer than about 292 years.
    pub fn parse(text: &str) -> starlark::Result<Self> {
        let refused = || malformed("duration", format_args!("{text:?}"));
        let (negative, mut rest) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(refused());
        }
        let mut total = 0_f64;
        let mut exact = 0_i128;
        while !rest.is_empty() {
            let digits = rest
                .find(|next: char| !next.is_ascii_digit() && next != '.')
                .ok_or_else(refused)?;
            let unit_end = rest[digits..]
                .find(|next: char| next.is_ascii_digit() || next == '.')
                .map_or(rest.len(), |end| digits + end);
            let size = unit_size(&rest[digits..unit_end]).ok_or_else(refused)?;
            let number = &rest[..digits];
            match number.parse::<i64>() {
                Ok(whole) => exact = exact.saturating_add(i128::from(whole) * i128::from(size)),
                Err(_) => total += number.parse::<f64>().map_err(|_| refused())? * size as f64,
            }
            rest = &rest[unit_end..];
        }
        let total = exact.saturating_add(total.round() as i128);
        i64::try_from(if negative { -total } else { total })
            .map(Self)
            .map_err(|_| refused())
    }

    fn of(value: Value<'_>) -> Option<Self> {
        value.downcast_ref::<Self>().copied()
    }

    fn over(self, unit: i64) -> f64 {
        self.0 as f64 / unit as f64
    }
}

fn unit_size(unit: &str) -> Option<i64> {
    let sizes = UNITS.map(|(_, size)| size);
    let at = match unit {
        "h" => 0,
        "m" => 1,
        "s" => 2,
        "ms" => 3,
        "us" | "µs" | "μs" => 4,
        "ns" => 5,
        _ => return None,
    };
    sizes.get(at).copied()
}

fn too_long() -> starlark::Error {
    argument("the duration is longer than 292 years")
}

fn zero_divisor() -> starlark::Error {
    argument("division by zero")
}

starlark::methods_static!(DURATION_METHODS = attributes);

#[starlark_value(type = "time.duration")]
impl<'v> StarlarkValue<'v> for Duration {
    fn get_methods() -> Option<&'static Methods> {
        Some(DURATION_METHODS.methods())
    }

    fn to_bool(&self) -> bool {
        self.0 != 0
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        self.0.hash(hasher);
        Ok(())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(Self::of(other) == Some(*self))
    }

    fn compare(&self, other: Value<'v>) -> starlark::Result<Ordering> {
        match Self::of(other) {
            Some(other) => Ok(self.0.cmp(&other.0)),
            None => ValueError::unsupported_with(self, "compare", other),
        }
    }

    fn add(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        if let Some(moment) = other.downcast_ref::<Moment>() {
            return Some(moment.later(*self).map(|later| heap.alloc(later)));
        }
        let sum = self.0.checked_add(Self::of(other)?.0);
        Some(sum.ok_or_else(too_long).map(|sum| heap.alloc(Self(sum))))
    }

    fn sub(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        match Self::of(other) {
            Some(other) => {
                let rest = self.0.checked_sub(other.0).ok_or_else(too_long)?;
                Ok(heap.alloc(Self(rest)))
            }
            None => ValueError::unsupported_with(self, "-", other),
        }
    }

    fn mul(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        let times = i64::unpack_value(other).ok().flatten()?;
        let product = self.0.checked_mul(times);
        Some(
            product
                .ok_or_else(too_long)
                .map(|all| heap.alloc(Self(all))),
        )
    }

    fn rmul(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        self.mul(other, heap)
    }

    fn div(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        if let Some(other) = Self::of(other) {
            return match other.0 {
                0 => Err(zero_divisor()),
                size => Ok(heap.alloc(self.over(size))),
            };
        }
        match UnpackFloat::unpack_value(other) {
            Ok(Some(UnpackFloat(0.0))) => Err(zero_divisor()),
            Ok(Some(UnpackFloat(by))) => Ok(heap.alloc(Self((self.0 as f64 / by) as i64))),
            _ => ValueError::unsupported_with(self, "/", other),
        }
    }

    fn floor_div(&self, other: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        match Self::of(other) {
            Some(Self(0)) => Err(zero_divisor()),
            Some(other) => Ok(heap.alloc(self.over(other.0).floor() as i64)),
            None => ValueError::unsupported_with(self, "//", other),
        }
    }

    fn minus(&self, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(heap.alloc(Self(self.0.checked_neg().ok_or_else(too_long)?)))
    }
}

#[starlark_module]
fn attributes(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn hours(this: &Duration) -> starlark::Result<f64> {
        Ok(this.over(3600 * SECOND))
    }
    #[starlark(attribute)]
    fn minutes(this: &Duration) -> starlark::Result<f64> {
        Ok(this.over(60 * SECOND))
    }
    #[starlark(attribute)]
    fn seconds(this: &Duration) -> starlark::Result<f64> {
        Ok(this.over(SECOND))
    }
    #[starlark(attribute)]
    fn milliseconds(this: &Duration) -> starlark::Result<i64> {
        Ok(this.0 / 1_000_000)
    }
    #[starlark(attribute)]
    fn microseconds(this: &Duration) -> starlark::Result<i64> {
        Ok(this.0 / 1_000)
    }
    #[starlark(attribute)]
    fn nanoseconds(this: &Duration) -> starlark::Result<i64> {
        Ok(this.0)
    }
}
