//! A run's arguments and limits, from a command line.

mod flow;

use serde_json::{Map, Value};
use strongroom_core::{config::Config, json, limits::LimitsAsked, text::shown};

pub use self::flow::FlowArgs;
use crate::error::CliError;

/// The whole arguments: `whole` if given, with each `KEY=VALUE` laid over it.
pub fn arguments(whole: Option<&str>, pairs: &[String]) -> Result<Value, CliError> {
    let mut args = match whole {
        None => Value::Object(Map::new()),
        Some(raw) => json::parse(raw.as_bytes())
            .map_err(|error| CliError::wrong_use(format!("--args-json: {error}")))?,
    };
    for pair in pairs {
        let (key, value) = split("--arg", pair)?;
        let Value::Object(map) = &mut args else {
            let message = "--arg adds to an object, and --args-json is none";
            return Err(CliError::wrong_use(message));
        };
        map.insert(key.to_owned(), value_of("--arg", key, value)?);
    }
    Ok(args)
}

/// Settings, each `KEY=VALUE`.
pub fn config(pairs: &[String]) -> Result<Config, CliError> {
    let mut config = Config::new();
    for pair in pairs {
        let (key, value) = split("--config", pair)?;
        config.insert(key.to_owned(), value_of("--config", key, value)?);
    }
    Ok(config)
}

/// What is JSON is read as JSON; everything else is text.
fn value_of(option: &str, key: &str, raw: &str) -> Result<Value, CliError> {
    match json::parse(raw.as_bytes()) {
        Ok(value) => Ok(value),
        // Nobody means a text that only looks like JSON that was mistyped.
        Err(error) if raw.trim_start().starts_with(['{', '[', '"']) => {
            let key = shown(key, 80);
            Err(CliError::wrong_use(format!("{option} {key}: {error}")))
        }
        Err(_) => Ok(Value::String(raw.to_owned())),
    }
}

/// Reads limits, each `KEY=VALUE`.
pub fn limits(pairs: &[String]) -> Result<LimitsAsked, CliError> {
    let mut limits = LimitsAsked::default();
    for pair in pairs {
        let (key, value) = split("--limit", pair)?;
        let set = limits.set(key, value);
        set.map_err(|error| CliError::wrong_use(error.to_string()))?;
    }
    Ok(limits)
}

fn split<'a>(option: &str, pair: &'a str) -> Result<(&'a str, &'a str), CliError> {
    let found = pair.split_once('=').filter(|(key, _)| !key.is_empty());
    found.ok_or_else(|| {
        let pair = shown(pair, 80);
        CliError::wrong_use(format!("{option} `{pair}` is not of the form KEY=VALUE"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn read(whole: Option<&str>, pairs: &[&str]) -> Result<Value, String> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        arguments(whole, &pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn an_argument_is_json_where_it_is_json_and_text_elsewhere() {
        let pairs = ["n=3", "t=a=b", "q=\"3\"", "l=[1]", "b=true", "e=", "z=007"];
        let wanted =
            json!({ "n": 3, "t": "a=b", "q": "3", "l": [1], "b": true, "e": "", "z": "007" });
        assert_eq!(read(None, &pairs), Ok(wanted));
        assert_eq!(
            read(Some("{\"a\":1,\"b\":2}"), &["b=3"]),
            Ok(json!({ "a": 1, "b": 3 }))
        );
        assert_eq!(read(Some("[1]"), &[]), Ok(json!([1])));
    }

    #[test]
    fn a_mistyped_argument_is_an_error() {
        for (whole, pairs) in [
            (None, vec!["novalue"]),
            (None, vec!["=3"]),
            (None, vec!["x={\"a\":1"]),
            (Some("{"), vec![]),
            (Some("{\"a\":1,\"a\":2}"), vec![]),
            (Some("[1]"), vec!["a=1"]),
        ] {
            assert!(read(whole, &pairs).is_err(), "{whole:?} {pairs:?}");
        }
    }
}
