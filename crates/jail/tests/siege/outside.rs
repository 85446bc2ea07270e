//! Checks from outside, on the living process.
