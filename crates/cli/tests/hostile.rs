//! The hostile programs against a station, through its public API.
//!
//! The same programs run in the cage alone (`crates/jail/tests/hostile.rs`);
//! here they meet what stands around it as well: the log, the collector, the
//! pool, and whoever reads what comes out.
#![allow(clippy::unwrap_used)]

#[path = "../../../hostile/canaries.rs"]
mod canaries;
#[path = "../../../hostile/judge.rs"]
mod judge;
#[path = "../../../hostile/station.rs"]
mod siege;
#[path = "journeys/station.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod station;

use canaries::Canaries;
use judge::{Judged, Verdict, besiege};
use siege::{Besieged, CONFIG};
use station::{Place, Station};

/// What a siege of a station with small limits finds.
fn found(act: impl FnOnce(&Besieged) -> Vec<Judged>) -> Vec<Judged> {
    found_in("full", act)
}

fn found_in(tier: &str, act: impl FnOnce(&Besieged) -> Vec<Judged>) -> Vec<Judged> {
    let place = Place::new();
    let own = std::fs::read_to_string(place.home().join("config.toml")).unwrap();
    assert!(own.contains("[jail]"), "{own}");
    place.configure(&format!("{own}tier = \"{tier}\"\n{CONFIG}"));
    let station = Station::start_in(place);
    let token = station.user("hostile").token;
    let canaries = Canaries::plant().unwrap();
    act(&Besieged::own(&station.url, &token, &canaries))
}

#[track_caller]
fn all_are_contained(judged: &[Judged]) {
    let held = [Verdict::Contained, Verdict::Skipped];
    let others: Vec<&Judged> = judged
        .iter()
        .filter(|one| !held.contains(&one.verdict))
        .collect();
    assert!(!judged.is_empty() && others.is_empty(), "{others:#?}");
}

#[test]
fn who_reads_what_comes_out_of_a_station_is_safe() {
    all_are_contained(&found(Besieged::outputs));
}

/// The largest output that a run may leave where it lies on a disk.
const LARGE: u64 = 96 << 20;

#[test]
fn a_station_gives_no_more_of_a_large_output_than_a_run_may_leave() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else may mount a disk, and what is asked of one is refused.
        return;
    }
    let place = Place::new();
    let own = std::fs::read_to_string(place.home().join("config.toml")).unwrap();
    let large = CONFIG.replace("out = \"1 MiB\"", &format!("out = {LARGE}"));
    place.configure(&format!("{own}{large}"));
    let station = Station::start_in(place);
    let token = station.user("hostile").token;
    let canaries = Canaries::plant().unwrap();
    // The table of files in it is made of whole blocks, so what it has room for
    // is more than the 16 that are taken out of it.
    let limits = serde_json::json!({
        "memory_bytes": 48 << 20, "processes": 24, "tmp_bytes": 4 << 20,
        "out_bytes": LARGE, "out_files": 1000, "cpu_milli": 1000,
    });
    let told = serde_json::json!({
        "canaries": canaries.told(), "limits": limits, "mark": std::process::id(),
    });
    let place = Besieged::at(&station.url, &token, told);
    let mut judged = besiege(&place, "disk");
    judged.extend(place.outputs());
    all_are_contained(&judged);
}

/// Memory, disk and the pool are bounded by looks there, which
/// `crates/jail/tests/hostile.rs` tries without a station.
#[test]
fn a_station_of_the_reduced_tier_lets_out_no_more_than_is_written() {
    let families = ["privilege", "files", "processes", "network", "kernel"];
    let families = [&families[..], &["residue", "neighbours"]].concat();
    let mut judged = found_in("reduced", |place| {
        let mut judged: Vec<Judged> = families
            .into_iter()
            .flat_map(|family| besiege(place, family))
            .collect();
        judged.extend(place.outputs());
        judged
    });
    judged.retain(|one| !one.is_open_in_reduced());
    all_are_contained(&judged);
}

macro_rules! families {
    ($( $family:ident: fn $name:ident(); )*) => {
        $(
            #[test]
            fn $name() {
                all_are_contained(&found(|place| besiege(place, stringify!($family))));
            }
        )*

        #[test]
        fn a_station_meets_every_family() {
            let tried = [$( stringify!($family) ),*];
            assert_eq!(tried, judge::FAMILIES.map(|(name, _)| name));
        }
    };
}

families! {
    privilege:
        fn a_station_gives_no_privilege();
    files:
        fn a_station_shows_no_file();
    processes:
        fn a_station_shows_no_process();
    network:
        fn a_station_gives_no_network();
    kernel:
        fn a_station_gives_no_kernel_interface();
    memory:
        fn a_station_gives_no_more_memory();
    disk:
        fn a_station_gives_no_more_disk();
    pool:
        fn a_station_keeps_nothing_that_stays_or_multiplies();
    residue:
        fn a_station_keeps_no_residue();
    neighbours:
        fn a_station_lets_no_neighbours_meet();
}
