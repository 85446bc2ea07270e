//! A loop in machine code that makes system calls from a list.
//!
//! It is laid into a process of our own making that is stopped, so that a list
//! of calls costs one stop and not two for each. It touches no stack and no
//! memory but the list, and ends at a breakpoint: with all calls made, or at
//! the first that failed, which the count that is left tells.
#![allow(unsafe_code)]

use super::trace::Registers;

/// One call and its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call(pub(crate) [u64; 7]);

impl Call {
    pub(crate) fn new(number: libc::c_long, arguments: &[u64]) -> Self {
        let mut words = [0; 7];
        words[0] = number.cast_unsigned();
        for (word, argument) in words[1..].iter_mut().zip(arguments) {
            *word = *argument;
        }
        Self(words)
    }

    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> {
        self.0.into_iter().flat_map(u64::to_ne_bytes)
    }
}

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .text.strongroom_script,\"ax\",@progbits",
    ".balign 8",
    "strongroom_script_begin:",
    "2: mov rax, [r12]",
    "mov rdi, [r12 + 8]",
    "mov rsi, [r12 + 16]",
    "mov rdx, [r12 + 24]",
    "mov r10, [r12 + 32]",
    "mov r8, [r12 + 40]",
    "mov r9, [r12 + 48]",
    "syscall",
    "test rax, rax",
    "js 3f",
    "add r12, 56",
    "dec r13",
    "jnz 2b",
    "3: int3",
    ".balign 8, 0xcc",
    "strongroom_script_end:",
    ".popsection",
);

/// The loop, as whole words.
pub(crate) fn code() -> Vec<u64> {
    unsafe extern "C" {
        static strongroom_script_begin: [u8; 0];
        static strongroom_script_end: [u8; 0];
    }
    // SAFETY: both symbols bound one run of initialised, read-only bytes of
    // this program, the end after the beginning.
    // JUSTIFICATION: assembled code has no Rust name.
    let bytes = unsafe {
        let begin = strongroom_script_begin.as_ptr();
        let length = strongroom_script_end.as_ptr().offset_from(begin);
        std::slice::from_raw_parts(begin, length.unsigned_abs())
    };
    let word = |chunk: &[u8]| {
        chunk
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    bytes.chunks(8).map(word).collect()
}

/// Registers with which a thread runs the loop at `code` over `count` calls at `list`.
pub(crate) fn entry(before: &Registers, code: u64, list: u64, count: u64) -> Registers {
    Registers {
        rip: code,
        r12: list,
        r13: count,
        // No system call is under way that the kernel might restart.
        orig_rax: u64::MAX,
        ..*before
    }
}

/// How many calls were not made, and what the last one answered.
pub(crate) fn outcome(after: &Registers) -> (u64, i64) {
    (after.r13, after.rax.cast_signed())
}
