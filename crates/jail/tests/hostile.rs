//! The hostile programs against the cage, and against nothing at all.
//!
//! Each family runs twice: inside, where no attempt may get out, and as a
//! plain process of this host, where each must, so that a program which cannot
//! fail is seen.
#![allow(clippy::unwrap_used)]

#[path = "../../../hostile/canaries.rs"]
mod canaries;
mod cell;
#[path = "../../../hostile/judge.rs"]
mod judge;
mod siege;

use canaries::Canaries;
use judge::{GATEWAY, Judged, Verdict, besiege};
use siege::{Bare, Caged, Kind};
use strongroom_jail::{SealError, Tier, Warden, WardenConfig};

/// The first Landlock that sees signals, without which an ordinary user's guests
/// of the tier `reduced` are not let in.
const SIGNALS_SEEN: u32 = 6;

#[track_caller]
fn is_contained(family: &'static str) {
    let (warden, canaries) = (cell::warden(), Canaries::plant().unwrap());
    let place = Caged {
        warden: &warden,
        canaries: &canaries,
        is_patient: true,
        kind: Kind::Plain,
    };
    let judged = besiege(&place, family);
    let held = [Verdict::Contained, Verdict::Skipped];
    assert!(
        others(&judged, held).is_empty(),
        "{:#?}",
        others(&judged, held)
    );
    assert_eq!(siege::outliving(), [] as [i32; 0]);
}

#[track_caller]
fn gets_out_where_nothing_holds_it(family: &'static str) {
    if !cell::is_root() {
        return;
    }
    let canaries = Canaries::plant().unwrap();
    let judged = besiege(&Bare::new(&canaries), family);
    let free = [Verdict::GotOut, Verdict::Skipped];
    assert!(
        others(&judged, free).is_empty(),
        "{:#?}",
        others(&judged, free)
    );
}

fn others(judged: &[Judged], expected: [Verdict; 2]) -> Vec<&Judged> {
    let other = |one: &&Judged| !expected.contains(&one.verdict);
    judged.iter().filter(other).collect()
}

/// Only a test build knows how to leave out walls, whatever it is asked.
#[test]
#[cfg(not(feature = "mutation"))]
fn nobody_can_ask_an_ordinary_build_to_leave_out_a_wall() {
    let test = "nobody_can_ask_an_ordinary_build_to_leave_out_a_wall";
    if std::env::var_os("STRONGROOM_REMOVED").is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("STRONGROOM_REMOVED", "Seccomp\nLandlock\nOldRootDetached")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
        return;
    }
    is_contained("kernel");
    is_contained("files");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn copies_of_a_zygote_do_not_get_out_either() {
    let (warden, canaries) = (cell::warden(), Canaries::plant().unwrap());
    let zygote = cell::config().zygote_slot(0);
    cell::Guest::prepare(&warden, zygote, cell::zygote()).forget();
    let place = Caged {
        warden: &warden,
        canaries: &canaries,
        is_patient: false,
        kind: Kind::Copy,
    };
    let judged: Vec<Judged> = judge::FAMILIES
        .iter()
        .flat_map(|(family, _)| besiege(&place, family))
        .collect();
    let held = [Verdict::Contained, Verdict::Skipped];
    let open = others(&judged, held);
    assert!(open.is_empty(), "{open:#?}");
}

#[test]
fn the_reduced_tier_lets_out_no_more_than_is_written_here() {
    let folder = cell::directory_with("empty", "");
    let warden = Warden::start(WardenConfig {
        tier: Tier::Reduced,
        folder: folder.path().to_owned(),
        uid_base: 400_000_000 + std::process::id() * 32,
        ..cell::config()
    });
    let (warden, canaries) = (warden.unwrap(), Canaries::plant().unwrap());
    let kernel = warden.kernel();
    if !cell::is_root() && kernel.landlock_abi < SIGNALS_SEEN {
        // Then nothing is let in at all.
        let sealed = cell::shell(cell::LIMITS, "true").seal(kernel);
        let wall =
            |error| matches!(error, SealError::Wall { name, .. } if name == "landlock_signals");
        return assert!(sealed.is_err_and(wall));
    }
    let place = Caged {
        warden: &warden,
        canaries: &canaries,
        is_patient: false,
        kind: Kind::Plain,
    };
    let judged: Vec<Judged> = judge::FAMILIES
        .iter()
        .flat_map(|(family, _)| besiege(&place, family))
        .collect();
    let held = [Verdict::Contained, Verdict::Skipped];
    let open: Vec<&Judged> = others(&judged, held)
        .into_iter()
        .filter(|one| !one.is_open_in_reduced())
        .collect();
    assert!(open.is_empty(), "{open:#?}");
}

#[test]
fn a_guest_with_a_gateway_goes_no_other_way() {
    let (warden, canaries) = (cell::warden(), Canaries::plant().unwrap());
    let place = Caged {
        warden: &warden,
        canaries: &canaries,
        is_patient: true,
        kind: Kind::Client,
    };
    let judged = besiege(&place, GATEWAY.0);
    let open = others(&judged, [Verdict::Contained, Verdict::Skipped]);
    assert!(open.is_empty(), "{open:#?}");
}

#[test]
fn other_ways_than_a_gateway_are_open_outside() {
    gets_out_where_nothing_holds_it(GATEWAY.0);
}

macro_rules! families {
    ($( $family:ident: fn $inside:ident() fn $outside:ident(); )*) => {
        $(
            #[test]
            fn $inside() {
                is_contained(stringify!($family));
            }

            #[test]
            fn $outside() {
                gets_out_where_nothing_holds_it(stringify!($family));
            }
        )*

        #[test]
        fn every_family_is_tried() {
            let tried = [$( stringify!($family) ),*];
            assert_eq!(tried, judge::FAMILIES.map(|(name, _)| name));
        }
    };
}

families! {
    privilege:
        fn no_privilege_is_gained_inside()
        fn privilege_is_gained_outside();
    files:
        fn no_file_is_reached_inside()
        fn files_are_reached_outside();
    processes:
        fn no_process_is_reached_inside()
        fn processes_are_reached_outside();
    network:
        fn no_network_is_reached_inside()
        fn the_network_is_reached_outside();
    kernel:
        fn no_kernel_interface_is_reached_inside()
        fn kernel_interfaces_are_reached_outside();
    memory:
        fn no_more_memory_is_held_inside()
        fn more_memory_is_held_outside();
    disk:
        fn no_more_disk_is_filled_inside()
        fn more_disk_is_filled_outside();
    pool:
        fn nothing_stays_or_multiplies_inside()
        fn anything_stays_or_multiplies_outside();
    residue:
        fn nothing_is_left_inside()
        fn residue_is_left_outside();
    neighbours:
        fn neighbours_do_not_meet_inside()
        fn neighbours_meet_outside();
}
