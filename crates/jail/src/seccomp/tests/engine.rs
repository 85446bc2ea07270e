//! The profile for engines against the table that it came from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::seccomp::engine::{Network, groups, profile};

/// Whether the profile lets a call pass, as libseccomp reads it.
fn passes(profile: &Value, name: &str, arguments: [u64; 6]) -> bool {
    let meets = |condition: &Value| {
        assert_eq!(condition["op"], "SCMP_CMP_MASKED_EQ");
        let index = usize::try_from(condition["index"].as_u64().unwrap()).unwrap();
        let mask = condition["value"].as_u64().unwrap();
        arguments[index] & mask == condition["valueTwo"].as_u64().unwrap()
    };
    profile["syscalls"].as_array().unwrap().iter().any(|rule| {
        assert_eq!(rule["action"], "SCMP_ACT_ALLOW");
        let named = rule["names"].as_array().unwrap().contains(&name.into());
        named && rule["args"].as_array().unwrap().iter().all(meets)
    })
}

#[test]
fn the_engines_profile_allows_what_the_table_allows_and_nothing_else() {
    for network in [Network::None, Network::Gateway] {
        let profile: Value = serde_json::from_str(&profile(network)).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let names: BTreeMap<i64, (&str, &Group)> = groups(network)
            .into_iter()
            .flat_map(|group| {
                let each = group.numbers.iter().zip(group.names);
                each.map(move |(number, name)| (*number, (*name, group)))
            })
            .collect();
        let mut tried = 0;
        for (number, arguments) in cases_of(names.values().map(|(_, group)| *group)) {
            let Some((name, group)) = names.get(&i64::from(number)) else {
                continue;
            };
            let name = name.strip_prefix("SYS_").unwrap();
            let meant = meant(std::iter::once(*group), NATIVE, number, arguments) == ALLOW;
            assert_eq!(
                passes(&profile, name, arguments),
                meant,
                "{name} {arguments:x?}"
            );
            tried += 1;
        }
        assert!(300 < tried, "{tried}");
        // Whatever is named is in the table.
        for rule in profile["syscalls"].as_array().unwrap() {
            let name = format!("SYS_{}", rule["names"][0].as_str().unwrap());
            assert!(names.values().any(|(known, _)| **known == *name), "{name}");
        }
    }
}

#[test]
fn a_container_without_a_gateway_may_not_have_a_socket() {
    let profile: Value = serde_json::from_str(&profile(Network::None)).unwrap();
    for name in [
        "socket", "connect", "bind", "unshare", "mount", "ptrace", "bpf",
    ] {
        assert!(!passes(&profile, name, [2, 1, 0, 0, 0, 0]), "{name}");
    }
    assert!(passes(&profile, "read", [0; 6]));
}
