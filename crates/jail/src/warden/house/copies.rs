//! Which guest is a copy of which zygote: ordered, made, ended.
//!
//! The rule: an answer counts for the order that it names, and an end for the
//! copy that is known by that number to that very zygote. Slots and process
//! numbers are given to others in time.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Instant;

use rustix::net::SendFlags;

use super::House;
use crate::event::SlotId;
use crate::jail::Origin;
use crate::kernel::ZYGOTE;
use crate::protocol::Refusal;
use crate::warden::slot::{Heard, Slot};
use crate::wire;

impl House {
    /// Has the zygote in `of` make a copy the guest of `id`.
    pub(super) fn graft(&mut self, id: SlotId, of: SlotId, descriptors: &[OwnedFd], now: Instant) {
        self.orders += 1;
        let number = self.orders;
        let order = self.slots.get_mut(&id).map(|slot| slot.graft(number));
        let borrowed: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
        // Never waiting: a keeper that is far behind must not hold up others.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = match (self.slots.get(&of), order) {
            (Some(zygote), Some(order)) => wire::encode(&order).and_then(|bytes| {
                wire::send_encoded(&zygote.cradle.socket, &bytes, &borrowed, flags)
            }),
            _ => Err(io::Error::other("the zygote is gone")),
        };
        if let Err(error) = sent {
            self.with(id, |slot| slot.refuse(no_copy(error.to_string()), now));
        }
    }

    /// The copy of the zygote in `of` that is meant, and its slot.
    fn copy(&mut self, of: SlotId, meant: impl Fn(&Slot) -> bool) -> Option<(SlotId, &mut Slot)> {
        let copies = self.slots.iter_mut();
        let mut copies = copies.filter(|(_, slot)| slot.origin == Origin::CopyOf(of));
        let (id, slot) = copies.find(|(_, slot)| meant(slot))?;
        Some((*id, slot))
    }

    /// Whoever was a copy of a zygote that is gone is none of the next one.
    pub(super) fn forget_copies(&mut self, of: SlotId) {
        for slot in self.slots.values_mut() {
            if slot.origin == Origin::CopyOf(of) {
                (slot.ordered, slot.reaped_as) = (None, None);
            }
        }
    }

    pub(super) fn grafted(&mut self, of: SlotId, number: u64, reaped_as: i32, now: Instant) {
        let Some((id, copy)) = self.copy(of, |slot| slot.ordered == Some(number)) else {
            return;
        };
        copy.reaped_as = Some(reaped_as);
        if let Some(Heard::Ready { proc }) = copy.grafted(now) {
            self.say_ready(id, proc);
        }
    }

    pub(super) fn not_grafted(&mut self, of: SlotId, number: u64, why: String, now: Instant) {
        if let Some((_, copy)) = self.copy(of, |slot| slot.ordered == Some(number)) {
            copy.refuse(no_copy(why), now);
        }
    }

    pub(super) fn reaped(&mut self, of: SlotId, pid: i32, wait_status: i32, now: Instant) {
        if let Some((_, copy)) = self.copy(of, |slot| slot.reaped_as == Some(pid)) {
            copy.reaped_as = None;
            copy.guest_ended(wait_status, now);
        }
    }
}

fn no_copy(detail: String) -> Refusal {
    Refusal {
        wall: ZYGOTE.to_owned(),
        detail,
    }
}
