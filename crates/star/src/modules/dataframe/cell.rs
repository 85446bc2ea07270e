//! One value of a table, apart from its column.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
    sync::Arc,
};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};
use starlark::values::{Heap, UnpackValue, Value, ValueLike, float::StarlarkFloat};

use crate::modules::{
    json,
    refusal::argument,
    time::{self, Moment},
    tree::Written,
};

/// A moment that is not known.
pub const NO_TIME: i64 = i64::MIN;

/// One value. Columns of one type hold theirs without this wrapping.
#[derive(Clone, Debug)]
pub enum Cell {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    /// Nanoseconds since 1970, or [`NO_TIME`].
    Time(i64),
    /// A list, a dict or a large integer: as JSON, and as it is shown.
    Tree(Arc<(String, String)>),
}

impl Cell {
    pub const NAN: Self = Self::Float(f64::NAN);

    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// # Errors
    ///
    /// When a table cannot hold the value.
    pub fn from_value<'v>(
        value: Value<'v>,
        heap: impl Into<Option<Heap<'v>>>,
    ) -> starlark::Result<Self> {
        if value.is_none() {
            return Ok(Self::None);
        }
        if let Some(truth) = value.unpack_bool() {
            return Ok(Self::Bool(truth));
        }
        if let Some(text) = value.unpack_str() {
            return Ok(Self::text(text));
        }
        if let Some(float) = value.downcast_ref::<StarlarkFloat>() {
            return Ok(Self::Float(float.0));
        }
        if let Ok(Some(whole)) = i64::unpack_value(value) {
            return Ok(Self::Int(whole));
        }
        if let Some(moment) = value.downcast_ref::<Moment>() {
            let nanoseconds = moment.0.timestamp().as_nanosecond();
            return i64::try_from(nanoseconds)
                .map(Self::Time)
                .map_err(|_| argument("a table holds moments from 1677 to 2262"));
        }
        let json = serde_json::to_string(&Written::new(value, heap.into()))
            .map_err(|_| argument(format!("a table cannot hold a {}", value.get_type())))?;
        Ok(Self::Tree(Arc::new((json, value.to_repr()))))
    }

    pub fn to_value<'v>(&self, heap: Heap<'v>) -> Value<'v> {
        match self {
            Self::None => Value::new_none(),
            Self::Bool(truth) => Value::new_bool(*truth),
            Self::Int(whole) => heap.alloc(*whole),
            Self::Float(float) => heap.alloc(*float),
            Self::Text(text) => heap.alloc(&**text),
            Self::Time(NO_TIME) => Value::new_none(),
            Self::Time(nanoseconds) => {
                let at = Timestamp::from_nanosecond((*nanoseconds).into());
                let at = at.expect("every i64 of nanoseconds is a timestamp");
                heap.alloc(Moment(at.to_zoned(TimeZone::UTC)))
            }
            Self::Tree(tree) => json::parse(tree.0.as_bytes(), heap).unwrap_or(Value::new_none()),
        }
    }

    pub fn is_null(&self) -> bool {
        match self {
            Self::None | Self::Time(NO_TIME) => true,
            Self::Float(float) => float.is_nan(),
            _ => false,
        }
    }

    /// The number, with truth as one and zero.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Self::Int(whole) => Some(*whole as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            _ if self.is_null() => 9,
            Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
            Self::Text(_) => 1,
            Self::Time(_) => 2,
            _ => 3,
        }
    }

    /// Whether two values can be put in order by their meaning.
    pub fn comparable(&self, other: &Self) -> bool {
        self.rank() == other.rank() || self.is_null() || other.is_null()
    }

    /// How the value is written where it stands for itself, as in a label.
    pub fn plain(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Int(whole) => whole.to_string(),
            Self::Float(float) if float.is_nan() => "NaN".to_owned(),
            Self::Float(float) => format!("{float:?}"),
            Self::Text(text) => text.to_string(),
            Self::Time(NO_TIME) => "NaT".to_owned(),
            Self::Time(nanoseconds) => shown_time(*nanoseconds),
            Self::Tree(tree) => tree.1.clone(),
        }
    }
}

/// A moment as tables show it: only the day where the rest is zero.
pub fn shown_time(nanoseconds: i64) -> String {
    let Ok(at) = Timestamp::from_nanosecond(nanoseconds.into()) else {
        return "NaT".to_owned();
    };
    let zoned = at.to_zoned(TimeZone::UTC);
    let layout = match nanoseconds.rem_euclid(86_400_000_000_000) {
        0 => "2006-01-02",
        _ => "2006-01-02 15:04:05.999999999",
    };
    time::shown(layout, &zoned)
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Cell {}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cell {
    /// Numbers, then texts, then moments, then trees; what is null comes last.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(one), Self::Int(two)) => one.cmp(two),
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            (Self::Time(one), Self::Time(two)) if self.rank() == other.rank() => one.cmp(two),
            (Self::Tree(one), Self::Tree(two)) => one.0.cmp(&two.0),
            _ => match (self.rank(), other.rank(), self.number(), other.number()) {
                (0, 0, Some(one), Some(two)) => one.total_cmp(&two),
                (one, two, ..) => one.cmp(&two),
            },
        }
    }
}

impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self, self.number()) {
            _ if self.is_null() => 9_u8.hash(state),
            (_, Some(number)) => (number + 0.0).to_bits().hash(state),
            (Self::Text(text), _) => text.hash(state),
            (Self::Time(time), _) => time.hash(state),
            (Self::Tree(tree), _) => tree.0.hash(state),
            _ => {}
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            _ if self.is_null() => to.serialize_unit(),
            Self::Bool(truth) => to.serialize_bool(*truth),
            Self::Int(whole) => to.serialize_i64(*whole),
            Self::Float(float) if float.is_infinite() => to.serialize_unit(),
            Self::Float(float) => to.serialize_f64(*float),
            Self::Text(text) => to.serialize_str(text),
            Self::Time(nanoseconds) => to.serialize_str(&shown_time(*nanoseconds)),
            Self::Tree(tree) => match serde_json::from_str::<serde_json::Value>(&tree.0) {
                Ok(value) => value.serialize(to),
                Err(_) => to.serialize_unit(),
            },
            Self::None => to.serialize_unit(),
        }
    }
}
