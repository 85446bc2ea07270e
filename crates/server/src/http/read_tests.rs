//! Promises about the pace of bodies.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_body_that_trickles_is_refused_once_its_grace_is_over() {
    let mut pace = Pace::default();
    let grace = PACE_GRACE;
    assert_eq!(pace.goes_on(1, Duration::ZERO), Ok(()));
    assert_eq!(
        pace.goes_on(1, grace),
        Ok(()),
        "the pace does not count yet"
    );
    let later = grace + Duration::from_secs(1);
    assert_eq!(pace.goes_on(1, later), Err(IncomingError::Idle));
}

#[test]
fn a_slow_body_that_keeps_the_least_pace_is_taken() {
    let mut pace = Pace::default();
    for second in 0..1000 {
        assert_eq!(
            pace.goes_on(BYTES_PER_SECOND_MIN, Duration::from_secs(second)),
            Ok(())
        );
    }
}
