//! A reader that gives no more than a bound for one record.
//!
//! A parser would otherwise take the whole of a file into memory that never
//! ends its record. The bound counts what was read ahead too, so it is kept to
//! within the parser's own buffer.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use super::RECORD_BYTES_MAX;

/// What may still be read for the record that is being read.
#[derive(Clone, Debug)]
pub struct Allowance(Rc<Cell<u64>>);

/// The marked error of a record that is too long.
#[derive(Debug, thiserror::Error)]
#[error("longer than {} MiB", RECORD_BYTES_MAX >> 20)]
pub struct TooLong;

#[derive(Debug)]
pub struct Bounded<R> {
    from: R,
    left: Allowance,
}

impl Allowance {
    /// The next record begins.
    pub fn renew(&self) {
        self.0.set(RECORD_BYTES_MAX);
    }
}

impl<R> Bounded<R> {
    pub fn new(from: R) -> (Self, Allowance) {
        let left = Allowance(Rc::new(Cell::new(RECORD_BYTES_MAX)));
        let bounded = Self {
            from,
            left: left.clone(),
        };
        (bounded, left)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.0.get();
        if left == 0 {
            return Err(io::Error::other(TooLong));
        }
        let count = self.from.read(into)?;
        self.left.0.set(left.saturating_sub(count as u64));
        Ok(count)
    }
}

/// Whether an error is that of a record that is too long.
pub fn is_too_long(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooLong>())
}
