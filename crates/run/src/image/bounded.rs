//! What an archive may make us read: the crate that reads archives takes long
//! names into memory as they come, and passes over whatever an entry carries.
//!
//! Every byte counts that comes out of a packed layer, and not only those which
//! become files: an entry that is left out can be as long as any other.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use super::LayerError;

/// How much a layer may grow when it is unpacked; asked beyond the first bytes.
pub(super) const GROWTH_MAX: u64 = 200;
const GROWTH_FREE_BYTES: u64 = 64 << 20;

/// What may still be read of an archive, and why no more of it is.
#[derive(Debug)]
pub(super) struct Bound {
    /// Up to the end of the next header.
    next: Cell<u64>,
    /// In all.
    left: Cell<u64>,
    fault: Cell<Option<Fault>>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    TooLarge,
    Bomb,
}

impl Bound {
    /// At most `bytes` in all, of which `next` come before anybody says more.
    pub(super) fn new(bytes: u64, next: u64) -> Rc<Self> {
        Rc::new(Self {
            next: Cell::new(next),
            left: Cell::new(bytes),
            fault: Cell::new(None),
        })
    }

    /// Lets so many bytes come before anybody says more.
    pub(super) fn renew(&self, next: u64) {
        self.next.set(next);
    }

    pub(super) fn left(&self) -> u64 {
        self.left.get()
    }

    /// Why reading was ended here, if it was.
    pub(super) fn fault(&self) -> Option<LayerError> {
        self.fault.get().map(|fault| match fault {
            Fault::TooLarge => LayerError::TooLarge,
            Fault::Bomb => LayerError::Bomb(GROWTH_MAX),
        })
    }

    fn ended(&self, fault: Fault) -> io::Error {
        self.fault.set(Some(fault));
        io::Error::other("it is longer than it may be")
    }
}

/// Reads until a bound is met. `packed` tells how many bytes of the stored
/// layer were read so far.
pub(super) struct Bounded<R, P> {
    from: R,
    packed: P,
    read: u64,
    bound: Rc<Bound>,
}

impl<R, P> Bounded<R, P> {
    pub(super) fn new(from: R, packed: P, bound: Rc<Bound>) -> Self {
        Self {
            from,
            packed,
            read: 0,
            bound,
        }
    }
}

impl<R: Read, P: Fn() -> u64> Read for Bounded<R, P> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let next = self.bound.next.get();
        if next == 0 {
            return Err(io::Error::other("its headers are too long"));
        }
        let most = into.len().min(usize::try_from(next).unwrap_or(usize::MAX));
        let count = self.from.read(&mut into[..most])?;
        let read = count as u64;
        self.bound.next.set(next - read);
        self.read += read;
        let left = self.bound.left.get().checked_sub(read);
        let left = left.ok_or_else(|| self.bound.ended(Fault::TooLarge))?;
        self.bound.left.set(left);
        let most = GROWTH_FREE_BYTES.max((self.packed)().saturating_mul(GROWTH_MAX));
        match self.read <= most {
            true => Ok(count),
            false => Err(self.bound.ended(Fault::Bomb)),
        }
    }
}
