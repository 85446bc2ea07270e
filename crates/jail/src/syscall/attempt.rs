//! One system call with any arguments, for the tests of the filter.
#![allow(unsafe_code)]

use std::io;

use super::done;

/// Makes a system call that may go wrong in every way; for throw-away children.
pub(crate) fn attempt(number: i64, arguments: [u64; 6]) -> io::Result<i64> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: the caller is a process that does nothing afterwards but report
    // and exit, so whatever happens to its memory and descriptors ends there.
    // JUSTIFICATION: trying every number is the point.
    done(unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) })
}
