//! The system call filter: a table of rules, compiled once to one program.
//!
//! The rule: what the table does not list answers ENOSYS, so that programs
//! written for newer kernels fall back. A wrong architecture kills. Arguments
//! are compared in their low 32 bits, the only bits the kernel looks at for
//! every argument tested here. One program, not a stack of several: each rule
//! has an errno of its own and stacked filters would mix them up.

mod table;

use seccompiler::{BpfProgram, sock_filter};

use crate::kernel::SECCOMP;
use crate::mutation::{Part, rule_stands, stands};
use crate::protocol::{OrRefuse as _, Refusal};
use table::{Check, Group, Rule, Test};

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

/// Where the kernel puts what a filter may look at.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
/// The x32 numbers of x86-64 start here; no other architecture goes so high.
const X32: u32 = 0x4000_0000;

/// A compiled filter.
pub(crate) struct Filter(BpfProgram);

impl Filter {
    /// The filter for guests.
    pub(crate) fn guest() -> Self {
        Self(compile(table::guest()))
    }

    /// The filter for init, which only waits and reports.
    pub(crate) fn init() -> Self {
        Self(compile(table::INIT.iter()))
    }

    /// Puts it in force for this process and all it starts.
    pub(crate) fn install(&self) -> Result<(), Refusal> {
        // The kernel takes no filter from those who may gain privileges.
        if !stands(Part::Seccomp) || !stands(Part::NoNewPrivileges) {
            return Ok(());
        }
        seccompiler::apply_filter(&self.0).or_refuse(SECCOMP, "install the filter")
    }
}

/// Why calls are refused, group by group.
#[cfg(feature = "mutation")]
pub(crate) fn refusing_reasons() -> impl Iterator<Item = &'static str> {
    let refusing = table::guest().filter(|group| !matches!(group.rule, Rule::Allow));
    refusing.map(|group| group.reason)
}

fn compile<'a>(groups: impl Iterator<Item = &'a Group>) -> BpfProgram {
    let mut groups: Vec<&Group> = groups.collect();
    // The kernel remembers calls that are always allowed and skips the filter
    // for them; only rules with arguments are worth an early place.
    groups.sort_by_key(|group| !matches!(group.rule, Rule::When(..)));
    let mut program = vec![
        step(LOAD, ARCHITECTURE),
        jump(EQUAL, NATIVE, 1, 0),
        step(RETURN, KILL_PROCESS),
        step(LOAD, NUMBER),
        jump(AT_LEAST, X32, 0, 1),
        errno(libc::ENOSYS),
    ];
    for group in groups {
        let rule = if rule_stands(group.reason) {
            &group.rule
        } else {
            &Rule::Allow
        };
        let body = body(rule);
        let skip = u8::try_from(body.len()).expect("a rule has fewer than 256 steps");
        for number in group.numbers {
            let number = u32::try_from(*number).expect("system call numbers are small");
            program.push(jump(EQUAL, number, 0, skip));
            program.extend_from_slice(&body);
        }
    }
    program.push(errno(libc::ENOSYS));
    program
}

fn body(rule: &Rule) -> BpfProgram {
    match rule {
        Rule::Allow => vec![step(RETURN, ALLOW)],
        Rule::Deny(error) => vec![errno(*error)],
        Rule::When(checks, error) => {
            let mut steps: BpfProgram = checks
                .iter()
                .flat_map(|check| checked(check, *error))
                .collect();
            steps.push(step(RETURN, ALLOW));
            steps
        }
    }
}

/// Falls through if the argument passes, and answers the errno if not.
fn checked(check: &Check, error: i32) -> BpfProgram {
    let mut steps = vec![step(LOAD, ARGUMENTS + 8 * u32::from(check.argument))];
    match check.test {
        Test::NoBitOf(mask) => steps.push(jump(ANY_BIT, mask, 0, 1)),
        Test::OneOf(values) => {
            for (index, value) in values.iter().enumerate() {
                let past = u8::try_from(values.len() - index).expect("short lists");
                steps.push(jump(EQUAL, *value, past, 0));
            }
        }
    }
    steps.push(errno(error));
    steps
}

fn errno(error: i32) -> sock_filter {
    step(RETURN, ERRNO | error.cast_unsigned())
}

fn step(code: u16, k: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests;
