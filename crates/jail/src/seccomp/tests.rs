//! Every rule of the table, tried on the compiled program with right and wrong arguments.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;

fn guest() -> Filter {
    Filter::guest()
}

/// Runs the program as the kernel would.
fn answer(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
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
            EQUAL => jump(accumulator == step.k),
            AT_LEAST => jump(step.k <= accumulator),
            ANY_BIT => jump(accumulator & step.k != 0),
            RETURN => return step.k,
            code => panic!("unknown instruction {code:#x}"),
        };
    }
}

fn entries() -> impl Iterator<Item = (i64, &'static Rule, &'static str)> {
    let each = |group: &'static Group| {
        group
            .numbers
            .iter()
            .map(|number| (*number, &group.rule, group.reason))
    };
    table::guest().flat_map(each)
}

fn ask(number: i64, arguments: [u64; 6]) -> u32 {
    answer(
        &guest().0,
        NATIVE,
        u32::try_from(number).unwrap(),
        arguments,
    )
}

fn refused(error: i32) -> u32 {
    ERRNO | error.cast_unsigned()
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

#[test]
fn every_rule_answers_as_the_table_says() {
    for (number, rule, reason) in entries() {
        match rule {
            Rule::Allow => assert_eq!(ask(number, [0; 6]), ALLOW, "{reason}"),
            Rule::Deny(error) => assert_eq!(ask(number, [0; 6]), refused(*error), "{reason}"),
            Rule::When(checks, error) => {
                let good = passing(checks);
                assert_eq!(ask(number, good), ALLOW, "{reason}");
                for check in *checks {
                    let mut bad = good;
                    bad[usize::from(check.argument)] = match check.test {
                        Test::OneOf(_) => 0xdead_beef,
                        Test::NoBitOf(mask) => 1 << mask.trailing_zeros(),
                    };
                    assert_eq!(ask(number, bad), refused(*error), "{reason}");
                }
            }
        }
    }
}

#[test]
fn every_listed_value_of_an_argument_passes() {
    for (number, rule, reason) in entries() {
        let Rule::When(checks, _) = rule else {
            continue;
        };
        for check in *checks {
            let Test::OneOf(values) = check.test else {
                continue;
            };
            for value in values {
                let mut arguments = passing(checks);
                arguments[usize::from(check.argument)] = u64::from(*value);
                assert_eq!(ask(number, arguments), ALLOW, "{reason} {value}");
            }
        }
    }
}

#[test]
fn every_bit_that_makes_a_namespace_is_refused() {
    for bit in [
        0x80,
        0x2_0000,
        0x200_0000,
        0x400_0000,
        0x800_0000,
        0x1000_0000,
        0x2000_0000,
    ] {
        assert_eq!(
            ask(libc::SYS_clone, [bit, 0, 0, 0, 0, 0]),
            refused(libc::EPERM),
            "{bit:#x}"
        );
    }
    assert_eq!(
        ask(libc::SYS_clone, [0x4000_0000, 0, 0, 0, 0, 0]),
        refused(libc::EPERM)
    );
}

#[test]
fn a_number_outside_the_table_does_not_exist() {
    let listed: Vec<i64> = entries().map(|(number, _, _)| number).collect();
    for number in (0..1200).filter(|number| !listed.contains(number)) {
        assert_eq!(ask(number, [0; 6]), refused(libc::ENOSYS), "{number}");
    }
}

#[test]
fn another_architecture_kills_and_x32_does_not_exist() {
    let i386 = 0x4000_0003;
    assert_eq!(answer(&guest().0, i386, 1, [0; 6]), KILL_PROCESS);
    for number in [X32, X32 | 1, X32 | 0x200, u32::MAX] {
        assert_eq!(
            answer(&guest().0, NATIVE, number, [0; 6]),
            refused(libc::ENOSYS)
        );
    }
}

#[test]
fn no_call_is_listed_twice_and_every_entry_has_a_reason() {
    let mut seen = BTreeMap::new();
    for (number, _, reason) in entries() {
        assert!(reason.len() > 5);
        assert!(seen.insert(number, reason).is_none(), "{number} twice");
    }
    let reasons: Vec<&str> = table::guest().map(|group| group.reason).collect();
    let different: std::collections::BTreeSet<&str> = reasons.iter().copied().collect();
    assert_eq!(reasons.len(), different.len());
}

#[test]
fn the_program_fits_the_kernels_bound() {
    assert!(guest().0.len() < 4096, "{} instructions", guest().0.len());
}
