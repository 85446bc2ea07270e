//! The compiled program against the table it came from, by running it here.
#![allow(clippy::unwrap_used)]

mod engine;
mod living;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The x32 numbers of x86-64 start here; no other architecture goes so high.
const X32: u32 = 0x4000_0000;
const I386: u32 = 0x4000_0003;

fn guest() -> BpfProgram {
    Filter::guest().0
}

/// Runs the program as the kernel would.
fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [0u32; 16];
    data[0] = number;
    data[1] = architecture;
    for (index, argument) in arguments.iter().enumerate() {
        data[4 + 2 * index] = u32::try_from(argument & 0xffff_ffff).unwrap();
        data[5 + 2 * index] = u32::try_from(argument >> 32).unwrap();
    }
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let step = &program[at];
        let jump = |taken: bool| at + 1 + usize::from(if taken { step.jt } else { step.jf });
        at = match step.code {
            LOAD => {
                accumulator = data[step.k as usize / 4];
                at + 1
            }
            SKIP => at + 1 + step.k as usize,
            EQUAL => jump(accumulator == step.k),
            AT_LEAST => jump(step.k <= accumulator),
            ANY_BIT => jump(accumulator & step.k != 0),
            RETURN => return step.k,
            code => panic!("unknown instruction {code:#x}"),
        };
    }
}

/// What the table says, read without any program.
fn meant<'a>(
    mut groups: impl Iterator<Item = &'a Group>,
    architecture: u32,
    number: u32,
    arguments: [u64; 6],
) -> u32 {
    if architecture != NATIVE {
        return KILL_PROCESS;
    }
    let passes = |check: &Check| {
        let low = u32::try_from(arguments[usize::from(check.argument)] & 0xffff_ffff).unwrap();
        match check.test {
            Test::OneOf(values) => values.contains(&low),
            Test::NoBitOf(mask) => low & mask == 0,
        }
    };
    match groups.find(|group| group.numbers.contains(&i64::from(number))) {
        None => refused(libc::ENOSYS),
        Some(group) => match &group.rule {
            Rule::Allow => ALLOW,
            Rule::Deny(error) => refused(*error),
            Rule::Trace => TRACE,
            Rule::When(checks, error) if !checks.iter().all(passes) => refused(*error),
            Rule::When(..) => ALLOW,
        },
    }
}

fn refused(error: i32) -> u32 {
    ERRNO | error.cast_unsigned()
}

fn entries() -> impl Iterator<Item = (i64, &'static Rule, &'static str)> {
    entries_of(table::guest())
}

fn entries_of(
    groups: impl Iterator<Item = &'static Group>,
) -> impl Iterator<Item = (i64, &'static Rule, &'static str)> {
    groups.flat_map(|group| {
        let each = group.numbers.iter();
        each.map(|number| (*number, &group.rule, group.reason))
    })
}

/// Arguments that pass every check, with high bits the kernel ignores.
fn passing(checks: &[Check]) -> [u64; 6] {
    let mut arguments = [0; 6];
    for check in checks {
        arguments[usize::from(check.argument)] = match check.test {
            Test::OneOf(values) => u64::from(values[0]) | 1 << 40,
            Test::NoBitOf(mask) => u64::from(!mask) | 1 << 40,
        };
    }
    arguments
}

/// Values of one argument at and beside every border of its check, each also
/// with high bits that the kernel ignores.
fn borders(check: &Check) -> BTreeSet<u64> {
    let near: Vec<u32> = match check.test {
        Test::OneOf(values) => values
            .iter()
            .flat_map(|value| [value.wrapping_sub(1), *value, value.wrapping_add(1)])
            .chain([0, u32::MAX, 0xdead_beef])
            .collect(),
        Test::NoBitOf(mask) => (0..32)
            .map(|bit| 1 << bit)
            .chain([0, mask, !mask, u32::MAX])
            .collect(),
    };
    let wide = |value: u32| [u64::from(value), u64::from(value) | 0xffff_ffff << 32];
    near.into_iter().flat_map(wide).collect()
}

/// Every call worth a try: each number of the table with passing arguments,
/// each rule at its borders, and the numbers that are not listed.
fn cases() -> Vec<(u32, [u64; 6])> {
    cases_of(table::guest())
}

fn cases_of(groups: impl Iterator<Item = &'static Group>) -> Vec<(u32, [u64; 6])> {
    let mut cases = Vec::new();
    for (number, rule, _) in entries_of(groups) {
        let number = u32::try_from(number).unwrap();
        let Rule::When(checks, _) = rule else {
            cases.push((number, [u64::MAX; 6]));
            continue;
        };
        for check in *checks {
            for value in borders(check) {
                let mut arguments = [u64::MAX; 6];
                for (place, good) in arguments.iter_mut().zip(passing(checks)) {
                    // Pointers and descriptors stay harmless and invalid.
                    *place = if good == 0 { *place } else { good };
                }
                arguments[usize::from(check.argument)] = value;
                cases.push((number, arguments));
            }
        }
    }
    let listed: BTreeSet<u32> = cases.iter().map(|(number, _)| *number).collect();
    let unlisted = (0..=600).filter(|number| !listed.contains(number));
    cases.extend(unlisted.map(|number| (number, [u64::MAX; 6])));
    cases
}

#[test]
fn the_program_says_what_the_table_says_at_every_border() {
    let program = guest();
    for (number, arguments) in cases() {
        let expected = meant(table::guest(), NATIVE, number, arguments);
        assert_eq!(
            run(&program, NATIVE, number, arguments),
            expected,
            "{number} {arguments:x?}"
        );
    }
}

/// Numbers and arguments of the table are likelier than any other.
fn telling_argument() -> impl Strategy<Value = u64> {
    let mut values: BTreeSet<u64> = BTreeSet::new();
    for (_, rule, _) in entries() {
        if let Rule::When(checks, _) = rule {
            values.extend(checks.iter().flat_map(borders));
        }
    }
    let values: Vec<u64> = values.into_iter().collect();
    prop_oneof![proptest::sample::select(values), any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn the_program_says_what_the_table_says_for_any_input(
        number in prop_oneof![0..640u32, any::<u32>()],
        arguments in proptest::array::uniform6(telling_argument()),
    ) {
        for (program, groups) in [
            (guest(), table::guest().collect::<Vec<_>>()),
            (Filter::zygote().0, table::ZYGOTE.iter().chain(table::guest()).collect()),
            (Filter::client().0, table::CLIENT.iter().chain(table::guest()).collect()),
            (Filter::terminal().0, table::TERMINAL.iter().chain(table::guest()).collect()),
            (Filter::init().0, table::INIT.iter().collect()),
        ] {
            for architecture in [NATIVE, I386] {
                let expected = meant(groups.iter().copied(), architecture, number, arguments);
                prop_assert_eq!(run(&program, architecture, number, arguments), expected);
            }
        }
    }
}

#[test]
fn every_bit_that_makes_a_namespace_is_refused() {
    let new_user_to_new_network = [0x80, 0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000]
        .into_iter()
        .chain([0x1000_0000, 0x2000_0000, 0x4000_0000]);
    for bit in new_user_to_new_network {
        let number = u32::try_from(libc::SYS_clone).unwrap();
        let got = run(&guest(), NATIVE, number, [bit, 0, 0, 0, 0, 0]);
        assert_eq!(got, refused(libc::EPERM), "{bit:#x}");
    }
}

#[test]
fn another_architecture_kills_and_x32_does_not_exist() {
    assert_eq!(run(&guest(), I386, 1, [0; 6]), KILL_PROCESS);
    for number in [X32, X32 | 1, X32 | 0x200, u32::MAX] {
        assert_eq!(run(&guest(), NATIVE, number, [0; 6]), refused(libc::ENOSYS));
    }
}

#[test]
fn no_entry_repeats_or_contradicts_another() {
    let mut seen = BTreeSet::new();
    for (number, rule, reason) in entries() {
        assert!(seen.insert(number), "{number} twice");
        let Rule::When(checks, _) = rule else {
            continue;
        };
        let places: BTreeSet<u8> = checks.iter().map(|check| check.argument).collect();
        assert_eq!(
            places.len(),
            checks.len(),
            "one check per argument: {reason}"
        );
        for check in *checks {
            match check.test {
                Test::OneOf(values) => {
                    let different: BTreeSet<&u32> = values.iter().collect();
                    assert_eq!(different.len(), values.len(), "a value twice: {reason}");
                    assert!(!values.is_empty(), "refuses everything: {reason}");
                }
                Test::NoBitOf(mask) => assert!(0 < mask, "allows everything: {reason}"),
            }
        }
    }
}

#[test]
fn every_group_has_a_reason_of_its_own() {
    let reasons: Vec<&str> = table::guest().map(|group| group.reason).collect();
    assert!(reasons.iter().all(|reason| 5 < reason.len()));
    let different: BTreeSet<&str> = reasons.iter().copied().collect();
    assert_eq!(reasons.len(), different.len());
}

#[test]
fn the_program_is_short_and_any_call_is_answered_in_few_steps() {
    let length = guest().len();
    assert!(length < 600, "{length} instructions");
}
