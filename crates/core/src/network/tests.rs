//! Hosts, patterns and addresses: what is taken, and what is not.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::address::{Kept, kept};
use super::*;

fn host(raw: &str) -> Host {
    raw.parse().unwrap()
}

#[track_caller]
fn reaches(pattern: &str, asked: &[(&str, u16)]) {
    let pattern: HostPattern = pattern.parse().unwrap();
    for (name, port) in asked {
        assert!(
            pattern.matches(&host(name), *port),
            "{pattern} {name}:{port}"
        );
    }
}

#[track_caller]
fn misses(pattern: &str, asked: &[(&str, u16)]) {
    let pattern: HostPattern = pattern.parse().unwrap();
    for (name, port) in asked {
        assert!(
            !pattern.matches(&host(name), *port),
            "{pattern} {name}:{port}"
        );
    }
}

#[test]
fn a_pattern_means_one_port_and_this_host_or_those_below_it() {
    reaches("api.example.org", &[("api.example.org", 443)]);
    misses(
        "api.example.org",
        &[
            ("api.example.org", 80),
            ("api.example.org", 8443),
            ("x.api.example.org", 443),
            ("example.org", 443),
            ("api.example.org.evil.com", 443),
        ],
    );
    reaches(
        "*.example.org:8443",
        &[("a.example.org", 8443), ("a.b.example.org", 8443)],
    );
    misses(
        "*.example.org:8443",
        &[
            ("example.org", 8443),
            ("evilexample.org", 8443),
            ("a.example.org", 443),
            ("a.example.org.evil.com", 8443),
        ],
    );
    reaches("127.0.0.1:80", &[("127.0.0.1", 80)]);
    reaches("[2001:db8::7]", &[("[2001:db8::7]", 443)]);
}

#[test]
fn what_is_no_host_or_could_be_read_in_two_ways_is_refused() {
    let long = format!("{}.org", "a".repeat(64));
    for raw in [
        "",
        ".",
        "a..b",
        "a.",
        ".a",
        "-a.org",
        "a-.org",
        "A.org",
        "ä.org",
        "a_b.org",
        "a b",
        "a/b",
        "a@b",
        "a:b:c",
        "a:0",
        "a:65536",
        "a:+1",
        "a:01",
        "a:",
        ":80",
        "*",
        "*.org",
        "*.1.2.3.4",
        "*.*.example.org",
        "a.*.org",
        "a*.example.org",
        "127.1",
        "127.0.0.01",
        "0x7f.0.0.1",
        "2130706433",
        "1.2.3.4.5",
        "example.0x7f",
        "[::1",
        "::1",
        "[0:0::1]",
        "[::1]x",
        "[fe80::1%1]",
        "http://a.org",
        "a.org\0",
        "a.org\n",
        &long,
    ] {
        assert!(raw.parse::<HostPattern>().is_err(), "{raw:?}");
    }
}

#[test]
fn a_pattern_is_written_as_it_is_read() {
    for raw in [
        "a",
        "a.example.org",
        "*.example.org:80",
        "10.0.0.1:1",
        "[::1]:8080",
        "xn--4ca.org",
    ] {
        assert_eq!(raw.parse::<HostPattern>().unwrap().to_string(), raw);
    }
    assert_eq!(
        "a.org:443".parse::<HostPattern>().unwrap().to_string(),
        "a.org"
    );
}

fn network(written: &str) -> Result<Network, String> {
    toml::from_str(written).map_err(|error: toml::de::Error| error.message().to_owned())
}

#[test]
fn a_download_reads_and_does_nothing_else_unless_it_says_so() {
    let plain = network("hosts = ['a.org']").unwrap();
    let found: Vec<_> = plain.methods().map(Method::as_str).collect();
    assert_eq!(found, ["GET", "HEAD"]);
    assert!(!plain.has_tunnels());
    assert!(plain.reaches(&host("a.org"), 443) && !plain.reaches(&host("b.org"), 443));
    let posting = network("hosts = ['a.org']\nmethods = ['POST']").unwrap();
    assert!(posting.allows(Method::Post) && !posting.allows(Method::Get));
}

#[test]
fn a_tunnel_is_only_had_with_every_method() {
    let tunnel = network("hosts = ['a.org']\ntunnel = true").unwrap();
    assert!(tunnel.has_tunnels() && Method::ALL.into_iter().all(|method| tunnel.allows(method)));
    let error = network("hosts = ['a.org']\ntunnel = true\nmethods = ['GET']").unwrap_err();
    assert!(error.contains("every method"), "{error}");
}

#[test]
fn a_download_without_hosts_or_with_unknown_words_is_refused() {
    let many: Vec<String> = (0..=HOSTS_MAX).map(|n| format!("'h{n}.org'")).collect();
    for written in [
        "",
        "hosts = []",
        "hosts = ['a.org']\nmethods = []",
        "hosts = ['a.org']\nmethods = ['TRACE']",
        "hosts = ['a.org']\nmethods = ['get']",
        "hosts = ['a.org']\nhost = 'b.org'",
        "hosts = ['*']",
        &format!("hosts = [{}]", many.join(",")),
    ] {
        assert!(network(written).is_err(), "{written}");
    }
}

#[test]
fn a_network_has_one_spelling() {
    let one = network("hosts = ['b.org:443', 'a.org']\nmethods = ['HEAD', 'GET']").unwrap();
    let other = network("hosts = ['a.org', 'b.org']").unwrap();
    let spelled = crate::json::canonical_of(&one);
    assert_eq!(spelled, crate::json::canonical_of(&other));
    let again: Network = serde_json::from_str(&spelled).unwrap();
    assert_eq!(again, one);
}

#[test]
fn no_address_but_a_public_one_is_dialled() {
    for (raw, why) in [
        ("127.0.0.1", Kept::Loopback),
        ("127.255.255.255", Kept::Loopback),
        ("0.0.0.0", Kept::Reserved),
        ("10.1.2.3", Kept::Private),
        ("172.16.0.1", Kept::Private),
        ("172.31.255.255", Kept::Private),
        ("192.168.1.1", Kept::Private),
        ("100.64.0.1", Kept::Private),
        ("100.100.100.200", Kept::Private),
        ("169.254.169.254", Kept::LinkLocal),
        ("168.63.129.16", Kept::Metadata),
        ("224.0.0.1", Kept::Multicast),
        ("255.255.255.255", Kept::Reserved),
        ("::", Kept::Reserved),
        ("::1", Kept::Loopback),
        ("::127.0.0.1", Kept::Loopback),
        ("::ffff:127.0.0.1", Kept::Loopback),
        ("::ffff:169.254.169.254", Kept::LinkLocal),
        ("64:ff9b::10.0.0.1", Kept::Private),
        ("64:ff9b:1::1", Kept::Reserved),
        ("2002:7f00:1::", Kept::Loopback),
        ("2002:808:808::", Kept::Reserved),
        ("2001::1", Kept::Reserved),
        ("2001:db8::1", Kept::Reserved),
        ("fd00:ec2::254", Kept::Private),
        ("fe80::1", Kept::LinkLocal),
        ("fec0::1", Kept::Private),
        ("ff02::1", Kept::Multicast),
        ("100::1", Kept::Reserved),
        ("5f00::1", Kept::Reserved),
    ] {
        assert_eq!(kept(raw.parse().unwrap()), Some(why), "{raw}");
    }
    for raw in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::8.8.8.8",
        "2001:200::1",
    ] {
        assert_eq!(kept(raw.parse().unwrap()), None, "{raw}");
    }
}

#[test]
fn an_address_that_carries_another_is_that_other() {
    for (raw, other) in [
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("64:ff9b::1.2.3.4", "1.2.3.4"),
        ("1.2.3.4", "1.2.3.4"),
        ("2606:4700::1111", "2606:4700::1111"),
    ] {
        let found = super::address::carried(raw.parse().unwrap());
        assert_eq!(found.to_string(), other, "{raw}");
    }
}

proptest! {
    #[test]
    fn whatever_carries_an_address_is_no_more_public_than_it(bits in any::<u32>()) {
        let inner = Ipv4Addr::from_bits(bits);
        let (high, low) = ((bits >> 16) as u16, (bits & 0xffff) as u16);
        let carriers = [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        ];
        if kept(inner.into()).is_some() {
            for carrier in carriers {
                prop_assert!(kept(carrier.into()).is_some(), "{}", carrier);
            }
        }
    }

    #[test]
    fn any_text_is_a_pattern_of_one_spelling_or_refused(raw in "\\PC{0,40}|[a-c*.:0-9\\[\\]-]{0,24}") {
        if let Ok(pattern) = raw.parse::<HostPattern>() {
            let spelled = pattern.to_string();
            prop_assert_eq!(spelled.parse::<HostPattern>().unwrap(), pattern);
        }
    }

    #[test]
    fn nothing_outside_of_its_suffix_is_below_a_pattern(name in "[a-z]{1,5}(\\.[a-z]{1,5}){0,3}") {
        let pattern: HostPattern = "*.b.c".parse().unwrap();
        let matches = pattern.matches(&host(&name), PORT_DEFAULT);
        prop_assert_eq!(matches, name.ends_with(".b.c"));
    }
}
