//! Identities of records: a kind and a ULID.
//!
//! Each kind of record has its own type, so a run's id cannot be passed where
//! a request's is meant. An id sorts by the time of its making and cannot be
//! guessed: 48 bits of milliseconds, then 80 random bits, in Crockford's
//! base 32 in lower case (<https://github.com/ulid/spec>).

use std::{fmt, str::FromStr};

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an id of the form {prefix}-… with 26 characters", crate::text::shown(.raw, 60))]
pub struct IdError {
    prefix: &'static str,
    raw: String,
}

fn encode(millis: i64, random: [u8; 10]) -> String {
    let mut bits = u128::from(millis.unsigned_abs() & 0xffff_ffff_ffff) << 80;
    for (index, byte) in random.iter().enumerate() {
        bits |= u128::from(*byte) << (72 - 8 * index);
    }
    (0..26)
        .rev()
        .map(|digit| char::from(DIGITS[(bits >> (5 * digit)) as usize & 31]))
        .collect()
}

fn is_ulid(raw: &str) -> bool {
    raw.len() == 26 && raw.as_bytes()[0] <= b'7' && raw.bytes().all(|b| DIGITS.contains(&b))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Makes an id from the time and 80 random bits.
            pub fn new(now_ms: i64, random: [u8; 10]) -> Self {
                Self(format!(concat!($prefix, "-{}"), encode(now_ms, random)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(raw: &str) -> Result<Self, IdError> {
                match raw.strip_prefix(concat!($prefix, "-")) {
                    Some(ulid) if is_ulid(ulid) => Ok(Self(raw.to_owned())),
                    _ => Err(IdError { prefix: $prefix, raw: raw.to_owned() }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        crate::text::serde_as_text!($name);
    };
}

id!(
    /// One execution of a plan.
    RunId, "run"
);
id!(
    /// One question to the owners of some data.
    RequestId, "req"
);
id!(
    /// An owner's yes that may cover more than one run.
    ApprovalId, "apr"
);
id!(
    /// A bearer token, not its secret.
    TokenId, "tok"
);
