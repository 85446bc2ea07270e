//! A reader that gives no more than a bound for one record.
//!
//! A parser would otherwise take the whole of a file into memory that never
//! ends its record, and eight bytes for each of its fields, however empty. The
//! bounds count what was read ahead too, so they are kept to within the
//! parser's own buffer; and what stands between fields counts wherever it
//! stands.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use super::RECORD_BYTES_MAX;

/// The most signs in one record that may part fields.
pub const RECORD_SIGNS_MAX: u64 = 2_000_000;

/// What may still be read for the record that is being read.
#[derive(Clone, Debug)]
pub struct Allowance(Rc<Cell<Left>>);

#[derive(Clone, Copy, Debug)]
struct Left {
    bytes: u64,
    signs: u64,
}

const WHOLE: Left = Left {
    bytes: RECORD_BYTES_MAX,
    signs: RECORD_SIGNS_MAX,
};

/// The marked error of a record that goes over its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Beyond {
    #[error("is longer than {} MiB; is a quote open?", RECORD_BYTES_MAX >> 20)]
    Bytes,
    #[error("has more than {RECORD_SIGNS_MAX} signs that part fields")]
    Signs,
}

#[derive(Debug)]
pub struct Bounded<R> {
    from: R,
    /// What parts fields.
    sign: u8,
    left: Allowance,
}

impl Allowance {
    /// The next record begins.
    pub fn renew(&self) {
        self.0.set(WHOLE);
    }
}

impl<R> Bounded<R> {
    pub fn new(from: R, sign: u8) -> (Self, Allowance) {
        let left = Allowance(Rc::new(Cell::new(WHOLE)));
        let bounded = Self {
            from,
            sign,
            left: left.clone(),
        };
        (bounded, left)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.0.get();
        if left.bytes == 0 {
            return Err(io::Error::other(Beyond::Bytes));
        }
        if left.signs == 0 {
            return Err(io::Error::other(Beyond::Signs));
        }
        let count = self.from.read(into)?;
        let signs = into[..count].iter().filter(|byte| **byte == self.sign);
        self.left.0.set(Left {
            bytes: left.bytes.saturating_sub(count as u64),
            signs: left.signs.saturating_sub(signs.count() as u64),
        });
        Ok(count)
    }
}

/// The bound that a record went over, if that is what an error says.
pub fn beyond(error: &io::Error) -> Option<Beyond> {
    error.get_ref()?.downcast_ref::<Beyond>().cloned()
}
