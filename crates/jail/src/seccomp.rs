//! The system call filter: a table of rules, compiled once to one program.
//!
//! The rule: what the table does not list answers ENOSYS, so that programs
//! written for newer kernels fall back; the x32 numbers are among those. A
//! wrong architecture kills. Arguments are compared in their low 32 bits, the
//! only bits the kernel looks at for every argument tested here. One program,
//! not a stack of several: each rule has an errno of its own and stacked
//! filters would mix them up.
//!
//! The program is a search: numbers with the same answer are one range, and
//! halving the ranges finds the answer in eight steps instead of hundreds.
//! The lists of argument values are searched in the same way.

pub(crate) mod engine;
mod table;

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, sock_filter};

use crate::kernel::SECCOMP;
use crate::mutation::{Part, rule_stands, stands};
use crate::protocol::{OrRefuse as _, Refusal};
use table::{Check, Group, Rule, Test};

const LOAD: u16 = 0x20;
const SKIP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
/// Passes if a tracer says so; ENOSYS without one.
const TRACE: u32 = 0x7ff0_0000;

/// Where the kernel puts what a filter may look at.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
/// A compiled filter.
pub(crate) struct Filter(BpfProgram);

impl Filter {
    /// The filter for guests.
    pub(crate) fn guest() -> Self {
        Self(compile(table::guest()))
    }

    /// The filter for guests with a gateway, who may connect by TCP.
    pub(crate) fn client() -> Self {
        Self(compile(table::guest().chain(table::CLIENT)))
    }

    /// The filter for guests with a terminal, who may ask more of one.
    pub(crate) fn terminal() -> Self {
        Self(compile(table::guest().chain(table::TERMINAL)))
    }

    /// The filter for zygotes, which their copies keep as guests: that of guests,
    /// but calls that walk a copy into its walls pass while its keeper steers it.
    pub(crate) fn zygote() -> Self {
        Self(compile(table::guest().chain(table::ZYGOTE)))
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
    let every = table::guest().chain(table::CLIENT).chain(table::ZYGOTE);
    let refusing = every.filter(|group| !matches!(group.rule, Rule::Allow));
    refusing.map(|group| group.reason)
}

/// Where a number is in two groups, the later counts.
fn compile<'a>(groups: impl Iterator<Item = &'a Group>) -> BpfProgram {
    let mut answers = BTreeMap::new();
    for group in groups {
        let rule = match rule_stands(group.reason) {
            true => &group.rule,
            false => &Rule::Allow,
        };
        for number in group.numbers {
            let number = u32::try_from(*number).expect("system call numbers are small");
            answers.insert(number, answer(rule));
        }
    }
    let mut program = vec![
        step(LOAD, ARCHITECTURE),
        jump(EQUAL, NATIVE, 1, 0),
        step(RETURN, KILL_PROCESS),
        step(LOAD, NUMBER),
    ];
    program.extend(search(&ranges(answers, &errno(libc::ENOSYS))));
    program
}

/// What a rule answers, once the number is known.
fn answer(rule: &Rule) -> BpfProgram {
    match rule {
        Rule::Allow => vec![step(RETURN, ALLOW)],
        Rule::Deny(error) => errno(*error),
        Rule::Trace => vec![step(RETURN, TRACE)],
        Rule::When(checks, error) => {
            let passed = vec![step(RETURN, ALLOW)];
            let refused = errno(*error);
            let each = checks.iter().rev();
            each.fold(passed, |passed, check| checked(check, &passed, &refused))
        }
    }
}

/// Goes on with `passed` if the argument passes, and with `refused` if not.
fn checked(check: &Check, passed: &BpfProgram, refused: &BpfProgram) -> BpfProgram {
    let mut program = vec![step(LOAD, ARGUMENTS + 8 * u32::from(check.argument))];
    match check.test {
        Test::NoBitOf(mask) => {
            let skip = u8::try_from(refused.len()).expect("a refusal is one step");
            program.push(jump(ANY_BIT, mask, 0, skip));
            program.extend_from_slice(refused);
            program.extend_from_slice(passed);
        }
        Test::OneOf(values) => {
            let listed = values.iter().map(|value| (*value, passed.clone()));
            program.extend(search(&ranges(listed.collect(), refused)));
        }
    }
    program
}

/// A first value and what to do from there on.
type Range = (u32, BpfProgram);

/// Every value from zero on, in as few ranges as there can be.
fn ranges(listed: BTreeMap<u32, BpfProgram>, otherwise: &BpfProgram) -> Vec<Range> {
    let mut ranges = vec![(0, otherwise.clone())];
    for (value, program) in listed {
        // The range after the neighbour below began here, and is empty then.
        ranges.pop_if(|(first, _)| *first == value);
        ranges.push((value, program));
        let after = value.checked_add(1);
        ranges.extend(after.map(|after| (after, otherwise.clone())));
    }
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    ranges
}

/// Finds the range of the loaded value by halving.
fn search(ranges: &[Range]) -> BpfProgram {
    if let [(_, only)] = ranges {
        return only.clone();
    }
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let first = above[0].0;
    let (below, above) = (search(below), search(above));
    let mut program = match u8::try_from(below.len()) {
        Ok(over) => vec![jump(AT_LEAST, first, over, 0)],
        // Further than a comparison can jump.
        Err(_) => {
            let over = u32::try_from(below.len()).expect("programs are short");
            vec![jump(AT_LEAST, first, 0, 1), step(SKIP, over)]
        }
    };
    program.extend(below);
    program.extend(above);
    program
}

fn errno(error: i32) -> BpfProgram {
    vec![step(RETURN, ERRNO | error.cast_unsigned())]
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
