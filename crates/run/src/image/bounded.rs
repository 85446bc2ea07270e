//! What an archive may make us read before it has to come to a point: the
//! crate that reads archives takes long names into memory as they come.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

/// Reads until an allowance is used up, which its other holder may renew.
pub(super) struct Bounded<R> {
    from: R,
    left: Rc<Cell<u64>>,
}

impl<R> Bounded<R> {
    pub(super) fn new(from: R, left: Rc<Cell<u64>>) -> Self {
        Self { from, left }
    }

    pub(super) fn into_inner(self) -> R {
        self.from
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("its headers are too long"));
        }
        let most = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.from.read(&mut into[..most])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}
