//! What the reduced tier refuses on top of the filter for every guest.
//!
//! Each rule closes what a namespace, a mount or a control group closes in the
//! full tier. It is a filter of its own, which can only refuse more.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

use super::User;
use crate::kernel::SECCOMP;
use crate::mutation::{Part, stands};
use crate::protocol::{OrRefuse as _, Refusal};

/// Before this version Landlock does not see a file being cut by its path.
const TRUNCATE_SEEN: u32 = 3;
/// The flag of an open that makes a file without a name.
const NAMELESS: u64 = 0x40_0000;
/// MAP_SHARED and MAP_ANONYMOUS together.
const SHARED_MEMORY: u64 = 0x21;
/// Calls that take a clock first, and what the number of a clock has that belongs
/// to a process or a thread: anybody may ask any for its time, by its number.
const CLOCKS: [c_long; 4] = [
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_timer_create,
];
const CLOCK_OF_SOMEBODY: u64 = 0x8000_0000;
/// Record locks, of processes and of open files.
const LOCKS: [u64; 6] = [5, 6, 7, 36, 37, 38];
/// For a guest that is the station's own user: it is found and killed by its
/// process group, which it may not leave.
const LEAVING: [c_long; 2] = [libc::SYS_setsid, libc::SYS_setpgid];
/// For the same: no rule of Landlock looks at who changes the mode and the
/// times of a file.
#[cfg(target_arch = "x86_64")]
const MODES_AND_TIMES: &[c_long] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_utimensat,
    libc::SYS_chmod,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(target_arch = "aarch64")]
const MODES_AND_TIMES: &[c_long] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_utimensat,
];
#[cfg(target_arch = "x86_64")]
const OPENS: &[(c_long, u8)] = &[(libc::SYS_openat, 2), (libc::SYS_open, 1)];
#[cfg(target_arch = "aarch64")]
const OPENS: &[(c_long, u8)] = &[(libc::SYS_openat, 2)];

/// Puts the refusals in force for this process and all it starts.
pub(super) fn install(user: User, landlock_abi: u32) -> Result<(), Refusal> {
    // It would come with the wall against new privileges.
    if !stands(Part::ReducedFilter) || !stands(Part::NoNewPrivileges) {
        return Ok(());
    }
    let program = compile(user, landlock_abi).or_refuse(SECCOMP, "compile the second filter")?;
    seccompiler::apply_filter(&program).or_refuse(SECCOMP, "install the second filter")
}

fn compile(user: User, landlock_abi: u32) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = BTreeMap::new();
    if landlock_abi < TRUNCATE_SEEN {
        rules.insert(libc::SYS_truncate, Vec::new());
    }
    for number in MODES_AND_TIMES
        .iter()
        .chain(&LEAVING)
        .filter(|_| user.shared)
    {
        rules.insert(*number, Vec::new());
    }
    for lock in LOCKS {
        let refused = when(1, SeccompCmpOp::Eq, lock)?;
        rules.entry(libc::SYS_fcntl).or_default().push(refused);
    }
    for number in CLOCKS {
        let somebodys = SeccompCmpOp::MaskedEq(CLOCK_OF_SOMEBODY);
        rules.insert(number, vec![when(0, somebodys, CLOCK_OF_SOMEBODY)?]);
    }
    let shared = when(3, SeccompCmpOp::MaskedEq(SHARED_MEMORY), SHARED_MEMORY)?;
    rules.insert(libc::SYS_mmap, vec![shared]);
    for (number, argument) in OPENS {
        let nameless = when(*argument, SeccompCmpOp::MaskedEq(NAMELESS), NAMELESS)?;
        rules.insert(*number, vec![nameless]);
    }
    let eperm = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, eperm, architecture)?.try_into()
}

fn when(argument: u8, test: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let length = SeccompCmpArgLen::Dword;
    SeccompRule::new(vec![SeccompCondition::new(argument, length, test, value)?])
}
