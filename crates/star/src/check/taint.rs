//! What a value may carry: secrets, exposed data, or what it was called with.

use std::ops::{BitOr, BitOrAssign};

/// The most parameters of one function that are followed.
const PARAMETERS_MAX: usize = 60;

/// Marks of one value. Those of parameters stand for what a caller gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taint(u64);

impl Taint {
    pub(super) const SECRET: Self = Self(1);
    pub(super) const EXPOSED: Self = Self(2);

    /// The mark of a parameter, by its number.
    pub(super) fn parameter(number: usize) -> Self {
        match number < PARAMETERS_MAX {
            true => Self(4 << number),
            false => Self::default(),
        }
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The marks of parameters put in place by what a call gives for them.
    pub(super) fn with(self, given: &[Self]) -> Self {
        let own = Self(self.0 & 3);
        let from = given.iter().enumerate();
        let from = from.filter(|(number, _)| self.has(Self::parameter(*number)));
        from.fold(own, |all, (_, taint)| all | *taint)
    }
}

impl BitOr for Taint {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Taint {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}
