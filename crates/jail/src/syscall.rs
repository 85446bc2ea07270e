//! The kernel calls that no safe crate offers, each as one small safe function.
//!
//! The rule: nothing here decides anything. Every function makes one call (or
//! one fixed group), turns -1 into an `io::Error`, and says why it is sound.
#![allow(unsafe_code)]

#[cfg(test)]
mod attempt;
mod disk;
mod process;
#[cfg(target_arch = "x86_64")]
pub(crate) mod script;
#[cfg(target_arch = "x86_64")]
pub(crate) mod trace;

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd};

#[cfg(test)]
pub(crate) use attempt::attempt;
pub(crate) use disk::{loop_device_fill, loop_device_free};
pub(crate) use process::{
    child_signals, clone, execute, exit_now, fork, ignore_children, kill_all_others, reset_signals,
    wait_any, wait_for_hangup,
};

fn done(returned: libc::c_long) -> io::Result<libc::c_long> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}

/// Leaves the named namespaces for fresh ones.
pub(crate) fn unshare(namespaces: c_int) -> io::Result<()> {
    // SAFETY: takes flags only; descriptors and memory stay shared with nobody.
    // JUSTIFICATION: rustix marks its own version unsafe as well.
    done(libc::c_long::from(unsafe { libc::unshare(namespaces) })).map(drop)
}

/// Enters a namespace; for that of processes, only children do.
pub(crate) fn enter(namespace: impl AsFd, kind: c_int) -> io::Result<()> {
    // SAFETY: takes numbers only; this process has one thread.
    // JUSTIFICATION: rustix calls its own version unsafe or splits it by kind.
    done(libc::c_long::from(unsafe {
        libc::setns(namespace.as_fd().as_raw_fd(), kind)
    }))
    .map(drop)
}

/// Brings up the loopback of this network namespace.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all zeroes is a valid `ifreq`: arrays and integers only.
    // JUSTIFICATION: it has no other constructor.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: this request reads an `ifreq`, which outlives the call.
    // JUSTIFICATION: neither std nor rustix sets the flags of an interface.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    done(libc::c_long::from(answer)).map(drop)
}

/// Names this host, in its own UTS namespace.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    // JUSTIFICATION: rustix offers sethostname but not setdomainname.
    let host = unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
    done(libc::c_long::from(host))?;
    // SAFETY: an empty name reads no memory.
    // JUSTIFICATION: as above.
    let domain = unsafe { libc::setdomainname(name.as_ptr().cast(), 0) };
    done(libc::c_long::from(domain)).map(drop)
}

/// Sets flags on a mount, and on all below it if `recursive`.
pub(crate) fn mount_set(
    mount: impl AsFd,
    set: u64,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation,
        userns_fd: 0,
    };
    mount_change(mount, attributes, recursive)
}

/// Takes flags off a mount.
pub(crate) fn mount_clear(mount: impl AsFd, clear: u64) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: 0,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    mount_change(mount, attributes, false)
}

fn mount_change(
    mount: impl AsFd,
    mut attributes: libc::mount_attr,
    recursive: bool,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a terminated string, `attributes` outlives the call
    // and its size is the one passed.
    // JUSTIFICATION: rustix has no mount_setattr.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw mut attributes,
            std::mem::size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Closes every descriptor from `first` on, or marks them close-on-exec.
pub(crate) fn close_from(first: u32, only_on_exec: bool) -> io::Result<()> {
    let flags = if only_on_exec {
        libc::CLOSE_RANGE_CLOEXEC
    } else {
        0
    };
    close_between(first, u32::MAX, flags)
}

/// Closes the descriptors `first..=last`; none of an empty range.
pub(crate) fn close_between(first: u32, last: u32, flags: u32) -> io::Result<()> {
    if last < first {
        return Ok(());
    }
    // SAFETY: callers are children that own their whole table and touch none
    // of the closed numbers again.
    // JUSTIFICATION: rustix has no close_range, by design.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Closes everything from `first` on but these.
pub(crate) fn close_all_but(first: u32, kept: impl IntoIterator<Item = u32>) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.into_iter().collect();
    kept.sort_unstable();
    let mut next = first;
    for number in kept {
        close_between(next, number.saturating_sub(1), 0)?;
        next = number + 1;
    }
    close_from(next, false)
}

/// A descriptor's number, for ranges.
pub(crate) fn number(of: &impl AsRawFd) -> u32 {
    u32::try_from(of.as_raw_fd()).expect("an open descriptor is not negative")
}

/// Makes `number` a copy of `from` that survives exec.
pub(crate) fn duplicate_onto(from: impl AsFd, number: c_int) -> io::Result<()> {
    // SAFETY: callers are children that decide what each low number means.
    // JUSTIFICATION: the safe version needs an owner for `number`.
    let returned = unsafe { libc::dup2(from.as_fd().as_raw_fd(), number) };
    done(libc::c_long::from(returned)).map(drop)
}

/// Takes ownership of an inherited descriptor, close-on-exec, at 10 or above.
pub(crate) fn adopt(number: c_int) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on any number is harmless; the result is ours alone.
    // JUSTIFICATION: an inherited number has no Rust owner to borrow from.
    unsafe {
        let copy = done(libc::c_long::from(libc::fcntl(
            number,
            libc::F_DUPFD_CLOEXEC,
            10,
        )))?;
        Ok(OwnedFd::from_raw_fd(
            c_int::try_from(copy).map_err(io::Error::other)?,
        ))
    }
}

/// Takes ownership of a descriptor that another process opened in our table.
pub(crate) fn own(number: c_int) -> OwnedFd {
    // SAFETY: the process that opened it shared our table, told us the number
    // and has ended; nobody else owns it.
    // JUSTIFICATION: a number out of a pipe has no Rust owner.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Makes one prctl call; for those without pointers.
pub(crate) fn prctl(option: c_int, second: c_ulong, third: c_ulong) -> io::Result<i32> {
    let zero: c_ulong = 0;
    // SAFETY: callers only pass options whose arguments are plain numbers.
    // JUSTIFICATION: rustix covers some of the options we need, under three types.
    let returned = unsafe { libc::prctl(option, second, third, zero, zero) };
    done(libc::c_long::from(returned))?;
    Ok(returned)
}

/// Becomes this user and group, for real, effective and saved ids.
pub(crate) fn set_ids(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: takes numbers only; this process has one thread.
    // JUSTIFICATION: rustix sets ids of one thread and is unsafe too.
    unsafe {
        done(libc::c_long::from(libc::setresgid(gid, gid, gid)))?;
        done(libc::c_long::from(libc::setresuid(uid, uid, uid))).map(drop)
    }
}

/// Leaves every supplementary group.
pub(crate) fn drop_groups() -> io::Result<()> {
    // SAFETY: a length of zero reads no memory.
    // JUSTIFICATION: rustix has no process-wide setgroups.
    done(libc::c_long::from(unsafe {
        libc::setgroups(0, std::ptr::null())
    }))
    .map(drop)
}

/// Has the rights of this user and group over files and other processes, and
/// no other rights than before.
pub(crate) fn set_file_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: both calls take a number and affect this one thread.
    // JUSTIFICATION: rustix leaves these calls out.
    let (group, user) = unsafe { (libc::setfsgid(gid), libc::setfsuid(uid)) };
    // Both answer the id before, whether or not they did anything.
    match group < 0 || user < 0 {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

/// Kills every process that this one may kill, but not itself.
pub(crate) fn kill_everyone() {
    // SAFETY: takes numbers only. Called by a process that has just become the
    // user of one run and may reach nobody else.
    // JUSTIFICATION: rustix takes no -1, which is the only call that reaches
    // every process of a user at one moment.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Of all children that were reaped, and of theirs: the processor time in
/// microseconds, and the most memory that one of them held, in bytes.
pub(crate) fn children_usage() -> (u64, u64) {
    // SAFETY: all zeroes is a valid `rusage`, which outlives the call.
    // JUSTIFICATION: rustix has no getrusage.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    let cpu_us = us(usage.ru_utime) + us(usage.ru_stime);
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    (count(cpu_us), count(usage.ru_maxrss) * 1024)
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Gives up every effective, permitted and inheritable capability.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let data = [0u32; 6];
    // SAFETY: version 3 reads the header and six numbers; both outlive the call.
    // JUSTIFICATION: rustix caps types pull a second crate for five lines.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

/// The capability sets as the kernel has them; all zero means none.
pub(crate) fn capabilities() -> io::Result<[u32; 6]> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut data = [0u32; 6];
    // SAFETY: version 3 writes six numbers; `data` has six.
    // JUSTIFICATION: as for `drop_capabilities`.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    Ok(data)
}

/// The Landlock version of this kernel; `None` without Landlock.
pub(crate) fn landlock_abi() -> Option<u32> {
    let version: c_ulong = 1;
    let nothing: c_ulong = 0;
    // SAFETY: with the version flag the kernel reads no memory.
    // JUSTIFICATION: the landlock crate hides the version on purpose.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, nothing, version) };
    u32::try_from(abi).ok().filter(|abi| 0 < *abi)
}
