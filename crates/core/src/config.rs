//! Plain settings of a function: `[config]` in its manifest, and what a caller
//! lays over them.
//!
//! They are in the plan, so whoever approves it approves them, and whoever may
//! read it reads them: what is secret belongs into secrets. A function that
//! lists settings takes these and no others, so a misspelt one is an error
//! and not a setting that nobody reads; one that lists none takes any.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{json, text};

/// Settings by name.
pub type Config = BTreeMap<String, Value>;

/// The most of them, as canonical JSON: they travel as one variable of the
/// environment, of which Linux takes 128 KiB.
pub const CONFIG_LEN_MAX: usize = 64 << 10;
/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// The deepest nesting: they are shown inside other documents.
pub const CONFIG_DEPTH_MAX: usize = 100;
/// By what the reader of TOML tells a date from a text.
const DATE: &str = "$__toml_private_datetime";

/// Why something is no setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the name `{}` is empty or longer than {NAME_CHARS_MAX} characters", text::shown(.0, 40))]
    Name(String),
    #[error("`{}` is a date; write it as a text, in quotes", text::shown(.0, 80))]
    Date(String),
    #[error("they are longer than {CONFIG_LEN_MAX} bytes of JSON")]
    TooLong,
    #[error("they are nested deeper than {CONFIG_DEPTH_MAX}")]
    TooDeep,
    #[error("the function has no `{}`; it has {have}", text::shown(.name, 80))]
    Unknown { name: String, have: String },
}

/// The settings, if they are some.
///
/// # Errors
///
/// [`ConfigError`] for the first that breaks a bound.
pub fn checked(config: Config) -> Result<Config, ConfigError> {
    for (name, value) in &config {
        if name.is_empty() || NAME_CHARS_MAX < name.chars().count() {
            return Err(ConfigError::Name(name.clone()));
        }
        if CONFIG_DEPTH_MAX <= json::depth(value) {
            return Err(ConfigError::TooDeep);
        }
        if has_date(value) {
            return Err(ConfigError::Date(name.clone()));
        }
    }
    match json::canonical_of(&config).len() <= CONFIG_LEN_MAX {
        true => Ok(config),
        false => Err(ConfigError::TooLong),
    }
}

/// What a caller says, laid over what the function has.
///
/// # Errors
///
/// [`ConfigError::Unknown`] for a name that a function does not list that
/// lists some.
pub fn over(own: &Config, asked: Config) -> Result<Config, ConfigError> {
    let unknown = |name: &&String| !own.is_empty() && !own.contains_key(*name);
    if let Some(name) = asked.keys().find(unknown) {
        let have: Vec<&str> = own.keys().map(String::as_str).collect();
        return Err(ConfigError::Unknown {
            name: name.clone(),
            have: text::shown(&have.join(", "), 300),
        });
    }
    let mut config = own.clone();
    config.extend(asked);
    checked(config)
}

fn has_date(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key(DATE) || map.values().any(has_date),
        Value::Array(items) => items.iter().any(has_date),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_a_caller_says_is_laid_over_what_the_function_lists() {
        let own = config(json!({ "unit": "g", "deep": { "a": 1 } }));
        let both = over(&own, config(json!({ "unit": "kg" }))).unwrap();
        assert_eq!(both, config(json!({ "unit": "kg", "deep": { "a": 1 } })));
        let misspelt = over(&own, config(json!({ "units": "kg" }))).unwrap_err();
        assert!(misspelt.to_string().contains("unit"), "{misspelt}");
        // Who lists none takes any.
        let any = config(json!({ "a": [1, null] }));
        assert_eq!(over(&Config::new(), any.clone()).unwrap(), any);
    }

    #[test]
    fn settings_are_bounded_at_every_side() {
        let long = |len: usize| config(json!({ "a": "x".repeat(len) }));
        let most = CONFIG_LEN_MAX - r#"{"a":""}"#.len();
        assert!(checked(long(most)).is_ok());
        assert_eq!(checked(long(most + 1)), Err(ConfigError::TooLong));
        let deep = |depth: usize| {
            let value = (0..depth).fold(json!(1), |inner, _| json!([inner]));
            checked(config(json!({ "a": value })))
        };
        assert!(deep(CONFIG_DEPTH_MAX - 1).is_ok());
        assert_eq!(deep(CONFIG_DEPTH_MAX).unwrap_err(), ConfigError::TooDeep);
        for name in ["", &"x".repeat(NAME_CHARS_MAX + 1)] {
            let named = config(json!({ name: 1 }));
            assert!(
                matches!(checked(named), Err(ConfigError::Name(_))),
                "{name}"
            );
        }
        let date: Config = toml::from_str("day = [2020-01-01]").unwrap();
        assert_eq!(checked(date), Err(ConfigError::Date("day".to_owned())));
    }
}
