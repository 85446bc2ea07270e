//! The same table as a profile for container engines, in their JSON.
//!
//! It allows what a guest may do and, besides, what the first process of the
//! container does before the guest is behind the filter of its own, which is
//! exactly the jail's. Values are compared in their low 32 bits, as that filter
//! does. What is not allowed answers ENOSYS; the guest's own filter says the
//! right error first.

use std::collections::BTreeMap;

use super::table::{self, Check, Group, Rule, Test};

/// What a container's guest reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    None,
    Gateway,
}

/// The groups of a profile; where a call is in two, the later counts.
pub(super) fn groups(network: Network) -> Vec<&'static Group> {
    let client = match network {
        Network::None => &[][..],
        Network::Gateway => table::CLIENT,
    };
    let gateway = match network {
        Network::None => &[][..],
        Network::Gateway => table::INSIDE_GATEWAY,
    };
    table::guest()
        .chain(client)
        .chain(table::INSIDE)
        .chain(gateway)
        .collect()
}

/// The profile, as `docker run --security-opt seccomp=FILE` takes it.
pub fn profile(network: Network) -> String {
    let mut calls = BTreeMap::new();
    for group in groups(network) {
        for name in group.names {
            calls.insert(name.strip_prefix("SYS_").unwrap_or(name), &group.rule);
        }
    }
    let rules = calls.iter().flat_map(|(name, rule)| rules(name, rule));
    let architectures = r#"[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":[]},{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":[]}]"#;
    format!(
        "{{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":{},\"archMap\":{architectures},\"syscalls\":[\n{}\n]}}\n",
        libc::ENOSYS,
        rules.collect::<Vec<_>>().join(",\n")
    )
}

/// One line for each way in which a call is allowed.
fn rules(name: &str, rule: &Rule) -> Vec<String> {
    let line = |conditions: &[String]| {
        format!(
            "{{\"names\":[\"{name}\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{}]}}",
            conditions.join(",")
        )
    };
    match rule {
        Rule::Allow => vec![line(&[])],
        // A tracer is nobody's in a container.
        Rule::Deny(_) | Rule::Trace => Vec::new(),
        Rule::When(checks, _) => {
            let mut ways: Vec<Vec<String>> = vec![Vec::new()];
            for check in *checks {
                let conditions = conditions(check);
                ways = ways
                    .iter()
                    .flat_map(|way| {
                        conditions.iter().map(|condition| {
                            let mut way = way.clone();
                            way.push(condition.clone());
                            way
                        })
                    })
                    .collect();
            }
            ways.iter().map(|way| line(way)).collect()
        }
    }
}

/// Each condition under which one argument passes.
fn conditions(check: &Check) -> Vec<String> {
    let masked = |mask: u32, value: u32| {
        format!(
            "{{\"index\":{},\"value\":{mask},\"valueTwo\":{value},\"op\":\"SCMP_CMP_MASKED_EQ\"}}",
            check.argument
        )
    };
    match check.test {
        Test::NoBitOf(mask) => vec![masked(mask, 0)],
        Test::OneOf(values) => values
            .iter()
            .map(|value| masked(u32::MAX, *value))
            .collect(),
    }
}
