//! Times as people write them on a command line.

use std::time::Duration;

use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// Reads a length of time: `30s`, `5m`, `1h 30m`.
pub fn duration(raw: &str) -> Result<Duration, String> {
    let parsed: Result<SignedDuration, _> = raw.parse();
    let found = parsed
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok());
    found.ok_or_else(|| "a time such as 30s, 5m or 1h is expected".to_owned())
}

/// Reads a moment that lies ahead, in milliseconds since 1970: a date and
/// time of RFC 3339, or how long from `now`: `7d`, `12h`, `2 weeks`.
pub fn until_ms(raw: &str, now: &Zoned) -> Result<i64, String> {
    let expected = "a time such as 2030-01-31T12:00:00Z, 7d or 12h is expected";
    let moment: Timestamp = match raw.parse() {
        Ok(moment) => moment,
        Err(_) => {
            let span: Span = raw.parse().map_err(|_| expected.to_owned())?;
            let moment = now.checked_add(span).map_err(|_| expected.to_owned())?;
            moment.timestamp()
        }
    };
    if moment <= now.timestamp() {
        return Err("the time has passed already".to_owned());
    }
    Ok(moment.as_millisecond())
}

/// Reads `--until`, from now.
pub fn until_from_now(raw: &str) -> Result<i64, String> {
    until_ms(raw, &Zoned::now())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_end_is_a_date_or_a_time_from_now() {
        let now: Zoned = "2030-01-01T00:00:00+00:00[UTC]".parse().unwrap();
        let start = now.timestamp().as_millisecond();
        let after = |raw| until_ms(raw, &now).map(|until_ms| (until_ms - start) / 1000);
        assert_eq!(after("2030-01-01T00:00:10Z"), Ok(10));
        assert_eq!(after("7d"), Ok(7 * 24 * 3600));
        assert_eq!(after("12h"), Ok(12 * 3600));
        assert_eq!(after("1mo"), Ok(31 * 24 * 3600));
        for wrong in ["", "soon", "7", "-1h", "2029-01-01T00:00:00Z", "99999999y"] {
            assert!(after(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wait_is_never_negative() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("-1s").is_err() && duration("").is_err() && duration("7").is_err());
    }
}
