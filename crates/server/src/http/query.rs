//! What may be asked for after the `?`.
//!
//! An unknown key is an error. Times are written as people write them: `30s`.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::{Deserialize, Deserializer, de::Error as _};
use strongroom_core::{name::VersionChoice, text};
use strongroom_store::Page;
use utoipa::IntoParams;

use super::problem::Refusal;

/// The longest that a client may wait for a run in one request.
pub const WAIT_MS_MAX: u64 = 60_000;
/// The most rows of one page.
pub const LIMIT_MAX: u32 = 200;
/// The most log lines or events of one page.
pub const LINES_MAX: u32 = 1000;
const LIMIT_DEFAULT: u32 = 50;

/// One page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// The `next` of the page before.
    pub after: Option<String>,
    /// Rows, 1 to 200; 50 if absent.
    pub limit: Option<u32>,
}

impl Paging {
    pub fn page(self) -> Result<Page, Refusal> {
        page(self.after, self.limit)
    }
}

/// Checks a page's bounds.
pub fn page(after: Option<String>, limit: Option<u32>) -> Result<Page, Refusal> {
    let limit = bounded(limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    if after
        .as_ref()
        .is_some_and(|after| after.contains(char::is_control))
    {
        let detail = "after: the cursor is none that a list gave";
        return Err(Refusal::malformed("bad_cursor", detail));
    }
    Ok(Page { after, limit })
}

/// A numbered list that goes on, after the number of the last row seen.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// The `seq` of the last row that was seen; 0 if absent.
    pub after: Option<i64>,
    /// Rows, 1 to 1000; 200 if absent.
    pub limit: Option<u32>,
}

impl After {
    pub fn bounds(self) -> Result<(i64, u32), Refusal> {
        let limit = bounded(self.limit, 200, LINES_MAX)?;
        match self.after.unwrap_or(0) {
            after if 0 <= after => Ok((after, limit)),
            after => Err(Refusal::malformed(
                "bad_query",
                format!("after: {after} is negative"),
            )),
        }
    }
}

fn bounded(limit: Option<u32>, default: u32, max: u32) -> Result<u32, Refusal> {
    match limit.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        limit => Err(Refusal::malformed(
            "bad_query",
            format!("limit: {limit} is not between 1 and {max}"),
        )),
    }
}

/// How long to wait for a run's end.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Waiting {
    /// Block until it ends, at most this long: `30s`, up to `60s`.
    #[serde(default, deserialize_with = "wait")]
    #[param(value_type = Option<String>)]
    pub wait: Option<Duration>,
}

/// How long to wait for what comes of a transform, and how to compare it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Looking {
    /// Block until something came of it, at most this long: `30s`, up to `60s`.
    #[serde(default, deserialize_with = "wait")]
    #[param(value_type = Option<String>)]
    pub wait: Option<Duration>,
    /// Columns whose values name a row, with commas between, to compare what it
    /// would be with what is; without, rows are compared by place.
    pub key: Option<String>,
}

/// A message that goes with a push.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Message {
    /// What changed; for archives only, since JSON bodies carry their own.
    #[serde(default)]
    pub message: String,
}

/// What goes with the push of a function.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Pushed {
    /// What changed; for archives only, since JSON bodies carry their own.
    #[serde(default)]
    pub message: String,
    /// Resolves its requirements anew; for archives only.
    #[serde(default)]
    pub relock: bool,
}

/// Whether something goes although it is needed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Force {
    /// Remove it although something needs it.
    #[serde(default)]
    pub force: bool,
}

fn wait<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let raw = String::deserialize(from)?;
    match millis(&raw) {
        Some(millis) if millis <= WAIT_MS_MAX => Ok(Some(Duration::from_millis(millis))),
        Some(_) => Err(D::Error::custom("wait: at most 60s")),
        None => Err(D::Error::custom(format!(
            "wait: `{}` is no time such as 30s or 500ms",
            text::shown(&raw, 40)
        ))),
    }
}

fn millis(raw: &str) -> Option<u64> {
    let digits = raw.find(|c: char| !c.is_ascii_digit()).unwrap_or(raw.len());
    let number: u64 = raw[..digits].parse().ok()?;
    let factor = match &raw[digits..] {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A version in a path: `latest`, `~1` or a digest.
#[derive(Debug, Clone)]
pub struct Version(pub VersionChoice);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = String::deserialize(from)?;
        let choice = match raw.strip_prefix('~') {
            _ if raw == "latest" => VersionChoice::Back(0),
            Some(back) => VersionChoice::Back(back.parse().map_err(|_| {
                D::Error::custom("`~` is followed by a number of versions to go back")
            })?),
            None => VersionChoice::Exactly(raw.parse().map_err(D::Error::custom)?),
        };
        Ok(Self(choice))
    }
}

/// A header as text, if it is there once.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut all = headers.get_all(name).iter();
    let Some(first) = all.next() else {
        return Ok(None);
    };
    match (first.to_str(), all.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(Refusal::malformed(
            "bad_header",
            format!("{name}: once, in plain text"),
        )),
    }
}
