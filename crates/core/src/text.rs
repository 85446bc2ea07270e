//! Text that strangers wrote, made fit to be shown to people.
//!
//! Names, messages and log lines may carry control characters that move a
//! terminal's cursor or turn the direction of writing. Whatever a person
//! reads passes through [`shown`]; what machines read is never altered.

/// The text with control and direction characters escaped, cut to `chars_max`
/// characters with an ellipsis.
pub fn shown(raw: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(raw.len().min(chars_max * 4));
    for (index, c) in raw.chars().enumerate() {
        if index == chars_max {
            out.push('…');
            break;
        }
        push_shown(&mut out, c);
    }
    out
}

/// The whole text, one line, with what could deceive a reader escaped. Tabs stay.
pub fn line_shown(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        if c == '\t' {
            out.push(c);
        } else {
            push_shown(&mut out, c);
        }
    }
    out
}

fn push_shown(out: &mut String, c: char) {
    if c.is_control() || turns_direction(c) {
        out.extend(c.escape_unicode());
    } else {
        out.push(c);
    }
}

/// Whether `c` is one of Unicode's direction controls or invisible joiners
/// (the "Trojan Source" characters).
pub fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Serialises a type by its `Display` and reads it back by its `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let raw = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                raw.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                String::schema()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $type {}
    };
}
pub(crate) use serde_as_text;
