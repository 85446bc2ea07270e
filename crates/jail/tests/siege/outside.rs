//! What the kernel says about living guests, judged like the programs' own attempts.
//!
//! Some walls are hidden behind others: a guest does not notice that one is
//! gone. The host does.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use strongroom_jail::{Jail, Open, SlotId, Warden, WardenConfig};

use super::{Kind, LIMITS};
use crate::cell::{self, Guest, python, status_field};
use crate::judge::{Judged, Verdict};

const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
const WRITABLE: [&str; 3] = ["/tmp", "/out", "/dev/shm"];
const LIMIT_ROWS: [(&str, &str); 7] = [
    ("Max core file size", "1"),
    ("Max open files", "256"),
    ("Max locked memory", "65536"),
    ("Max msgqueue size", "0"),
    ("Max realtime priority", "0"),
    ("Max nice priority", "0"),
    ("Max pending signals", "256"),
];

/// Everything that can be seen of two living guests, and of one that waits.
pub fn looked_at(config: &WardenConfig, kind: Kind) -> Vec<Judged> {
    let warden = warden(config, kind);
    let (one, first) = asleep(&warden, 0, kind);
    // Two of them would want one place if their networks were not their own.
    let neighbour = match kind {
        Kind::Copy => Kind::Copy,
        Kind::Plain | Kind::Client | Kind::Reduced => Kind::Plain,
    };
    let (other, second) = asleep(&warden, 1, neighbour);
    let mut judged = Vec::new();
    identity(&mut judged, config, one, other);
    namespaces(&mut judged, kind, one, other);
    mounts(&mut judged, one);
    privileges(&mut judged, kind, one);
    resources(&mut judged, one);
    match kind {
        Kind::Plain => {
            let waiting = Guest::prepare(&warden, SlotId(2), python(LIMITS, "pass"));
            hidden_memory(&mut judged, &warden, one);
            warden.kill(waiting.slot).unwrap();
            waiting.finish();
        }
        Kind::Client => network_of_a_gateway(&mut judged, one),
        Kind::Copy | Kind::Reduced => {}
    }
    for guest in [first, second] {
        warden.kill(guest.slot).unwrap();
        guest.finish();
    }
    drop(warden);
    judged.push(after_the_warden(config, kind));
    judged
}

/// A warden, with a zygote if its guests are to be copies.
fn warden(config: &WardenConfig, kind: Kind) -> Warden {
    let warden = Warden::start(config.clone()).unwrap();
    if kind == Kind::Copy {
        Guest::prepare(&warden, config.zygote_slot(0), cell::zygote()).forget();
    }
    warden
}

/// A guest that does nothing, and its process on the host.
pub(super) fn asleep(warden: &Warden, slot: u32, kind: Kind) -> (i32, Guest<'_>) {
    // A copy has the arguments of its zygote, but a name of its own.
    let name = format!("o{}-{slot}", std::process::id());
    let program = format!(
        "import ctypes, time\nctypes.CDLL(None).prctl(15, b'{name}', 0, 0, 0)
print('up', flush=True); time.sleep(3600)"
    );
    let mut guest = Guest::prepare(warden, SlotId(slot), jail(&program, kind));
    guest.start();
    guest.wait_for("up");
    (named(&name)[0], guest)
}

fn jail(program: &str, kind: Kind) -> Jail<Open> {
    let jail = python(LIMITS, program);
    match kind {
        Kind::Plain | Kind::Reduced => jail,
        Kind::Client => jail.gateway(),
        Kind::Copy => jail
            .copy_of(cell::config().zygote_slot(0))
            .stdin(cell::input(program)),
    }
}

/// The processes of the host that call themselves this.
fn named(name: &str) -> Vec<i32> {
    let is_it = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(is_it).collect()
}

pub(super) fn found(judged: &mut Vec<Judged>, what: &str, is_right: bool, seen: impl ToString) {
    judged.push(Judged {
        family: "outside",
        attempt: what.to_owned(),
        verdict: match is_right {
            true => Verdict::Contained,
            false => Verdict::GotOut,
        },
        detail: seen.to_string(),
    });
}

fn identity(judged: &mut Vec<Judged>, config: &WardenConfig, one: i32, other: i32) {
    let map = fs::read_to_string(format!("/proc/{one}/uid_map")).unwrap();
    let numbers: Vec<&str> = map.split_whitespace().collect();
    let narrow = numbers.first() == Some(&"1000") && numbers.last() == Some(&"1");
    found(
        judged,
        "one user id is mapped and it is not root's",
        narrow,
        map.trim(),
    );
    let (first, second) = (status_field(one, "Uid"), status_field(other, "Uid"));
    if cell::is_root() {
        let own = first.starts_with(&config.uid_base.to_string()) && first != second;
        found(
            judged,
            "each slot has a host user of its own",
            own,
            format!("{first}, {second}"),
        );
    }
}

/// Copies share with their zygote, and so with each other, what is empty in all.
fn namespaces(judged: &mut Vec<Judged>, kind: Kind, one: i32, other: i32) {
    let of = |who: &str, name: &str| fs::read_link(format!("/proc/{who}/ns/{name}")).unwrap();
    for name in NAMESPACES {
        let own = of(&one.to_string(), name);
        let shared = kind == Kind::Copy && ["net", "ipc", "uts"].contains(&name);
        let apart = own != of("self", name) && (shared || own != of(&other.to_string(), name));
        found(
            judged,
            &format!("its {name} namespace is its own"),
            apart,
            own.display(),
        );
    }
}

fn mounts(judged: &mut Vec<Judged>, pid: i32) {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let lines: Vec<(&str, &str, &str)> = text.lines().filter_map(mount).collect();
    let mut each = |what: &str, is_right: &dyn Fn(&str, &str, &str) -> bool| {
        let wrong = lines
            .iter()
            .find(|(place, flags, rest)| !is_right(place, flags, rest));
        found(judged, what, wrong.is_none(), format!("{wrong:?}"));
    };
    let has = |flags: &str, flag: &str| flags.split(',').any(|one| one == flag);
    let writable = |place: &str| WRITABLE.contains(&place);
    let node = |place: &str| place.starts_with("/dev/") && place != "/dev/shm";
    each("no mount honours set-user-id", &|_, flags, _| {
        has(flags, "nosuid")
    });
    each(
        "no mount has devices but the five nodes",
        &|place, flags, _| has(flags, "nodev") || node(place),
    );
    each("nothing executes but the runtime", &|place, flags, _| {
        has(flags, "noexec") || place == "/usr"
    });
    each("only its own folders can be written", &|place, flags, _| {
        has(flags, "ro") || writable(place)
    });
    each(
        "no link is followed where it may write",
        &|place, flags, _| has(flags, "nosymfollow") || !writable(place),
    );
    each("the runtime lies behind an overlay", &|place, _, rest| {
        rest.starts_with("overlay") || place != "/usr"
    });
    if cell::is_root() {
        each("its device nodes are its own", &|place, _, rest| {
            rest.starts_with("tmpfs") || !node(place)
        });
    }
    each("its proc hides other processes", &|place, _, rest| {
        rest.contains("hidepid=invisible") || place != "/proc"
    });
    each("its proc shows processes only", &|place, _, rest| {
        rest.contains("subset=pid") || place != "/proc"
    });
    each(
        "what it may write is bounded in bytes",
        &|place, _, rest| {
            number_after(rest, "size=").is_some_and(|kib| kib * 1024 <= LIMITS.tmp_bytes + 4096)
                || !writable(place)
        },
    );
    each(
        "what it may write is bounded in files",
        &|place, _, rest| {
            number_after(rest, "nr_inodes=").is_some_and(|files| files < 2048) || !writable(place)
        },
    );
}

/// Where a mount lies, its flags, and its file system with the options.
fn mount(line: &str) -> Option<(&str, &str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(4);
    Some((fields.next()?, fields.next()?, after))
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let (_, rest) = text.split_once(key)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn privileges(judged: &mut Vec<Judged>, kind: Kind, pid: i32) {
    let init: i32 = status_field(pid, "PPid").parse().unwrap();
    let parent = match kind {
        Kind::Copy => "the zygote's init",
        Kind::Plain | Kind::Client | Kind::Reduced => "its init",
    };
    for (who, pid) in [("the guest", pid), (parent, init)] {
        let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
        let held = sets.map(|set| status_field(pid, set));
        let empty = held.iter().all(|set| set.trim_matches('0').is_empty());
        found(
            judged,
            &format!("{who} holds no capability"),
            empty,
            held.join(" "),
        );
        let bound = status_field(pid, "CapBnd");
        let empty = bound.trim_matches('0').is_empty();
        found(
            judged,
            &format!("{who} can gain no capability"),
            empty,
            bound,
        );
        let fixed = status_field(pid, "NoNewPrivs");
        found(
            judged,
            &format!("{who} gains no privileges by programs"),
            fixed == "1",
            fixed,
        );
        let filter = status_field(pid, "Seccomp") + " " + &status_field(pid, "Seccomp_filters");
        found(
            judged,
            &format!("{who} lives under one filter"),
            filter == "2 1",
            filter,
        );
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let session = after_name.split(' ').nth(3).unwrap_or_default();
        found(
            judged,
            &format!("{who} leads a session"),
            session == pid.to_string(),
            session,
        );
    }
    for name in ["Speculation_Store_Bypass", "SpeculationIndirectBranch"] {
        let says = status_field(pid, name);
        // Other answers mean that this processor has nothing to switch.
        let free = says == "thread vulnerable" || says == "conditional enabled";
        found(
            judged,
            &format!("{name} is off where it can be"),
            !free,
            says,
        );
    }
}

fn resources(judged: &mut Vec<Judged>, pid: i32) {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let wrong = LIMIT_ROWS.iter().find(|(name, value)| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let mut values = line.unwrap_or_default().split_whitespace();
        values.next() != Some(value) || values.next() != Some(value)
    });
    found(
        judged,
        "every resource limit is set",
        wrong.is_none(),
        format!("{wrong:?}"),
    );
    let open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .map(|entries| {
            entries
                .flatten()
                .map(|one| one.file_name().to_string_lossy().into())
                .collect()
        })
        .unwrap_or_default();
    found(
        judged,
        "it holds descriptors 0 to 3",
        open.len() <= 4,
        format!("{open:?}"),
    );
    for (what, file, most) in [
        (
            "memory",
            ["memory.max", "memory.limit_in_bytes"],
            LIMITS.memory_bytes,
        ),
        (
            "processes",
            ["pids.max", "pids.max"],
            u64::from(LIMITS.processes) + 2,
        ),
        (
            "processor time",
            ["cpu.max", "cpu.cfs_quota_us"],
            u64::from(LIMITS.cpu_milli) * 100,
        ),
    ] {
        let value = group_value(pid, file);
        let bounded = value.is_some_and(|value| value <= most);
        found(
            judged,
            &format!("its group bounds {what}"),
            bounded,
            format!("{value:?}"),
        );
    }
}

/// The first number in a file of its control group, of version 2 or 1.
fn group_value(pid: i32, names: [&str; 2]) -> Option<u64> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let place = match controllers {
            "" => format!("/sys/fs/cgroup{path}/{}", names[0]),
            named => format!("/sys/fs/cgroup/{named}{path}/{}", names[1]),
        };
        let text = fs::read_to_string(place).ok()?;
        text.split_whitespace().next()?.parse().ok()
    })
}

/// The kernel gives a process that hides its memory to root.
fn hidden_memory(judged: &mut Vec<Judged>, warden: &Warden, pid: i32) {
    let init: i32 = status_field(pid, "PPid").parse().unwrap();
    let owner =
        |pid: i32| fs::metadata(format!("/proc/{pid}/environ")).map_or(0, |meta| meta.uid());
    found(
        judged,
        "its init hides its memory",
        owner(init) == 0,
        owner(init),
    );
    let gate = waiting_worker(warden).unwrap();
    found(
        judged,
        "a guest that waits hides its memory",
        owner(gate) == 0,
        owner(gate),
    );
}

/// A network that holds a loopback and one socket that listens, and nothing else.
fn network_of_a_gateway(judged: &mut Vec<Judged>, pid: i32) {
    // A kernel without version 6 has no files for it.
    let read =
        |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let devices = read("dev");
    let others = devices.lines().skip(2);
    let others: Vec<&str> = others
        .filter(|line| !line.trim_start().starts_with("lo:"))
        .collect();
    let alone = others.is_empty() && read("route").lines().count() == 1;
    let what = "its network is a loopback and no route";
    found(judged, what, alone, format!("{others:?}"));
    // Address, port and state as the kernel spells them: 127.0.0.1:3128, listening.
    let tcp = read("tcp");
    let sockets: Vec<Vec<&str>> = tcp
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().skip(1).take(3).collect())
        .collect();
    let one = sockets == [["0100007F:0C38", "00000000:0000", "0A"]];
    let none = ["udp", "udp6", "tcp6", "raw", "raw6"]
        .iter()
        .all(|name| read(name).lines().count() <= 1);
    found(
        judged,
        "one socket is in its network, and it listens",
        one && none,
        format!("{sockets:?}"),
    );
}

/// The worker that is no guest yet: a child of an init that still bears its name.
fn waiting_worker(warden: &Warden) -> Option<i32> {
    let is_init = |pid: i32| {
        fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm == "strongroom-init\n")
    };
    let parent = |pid: i32| -> Option<i32> {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("PPid:"))?
            .trim()
            .parse()
            .ok()
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let above = parent(*pid).filter(|above| is_init(*pid) && is_init(*above));
        let keeper = above.and_then(parent);
        keeper
            .and_then(parent)
            .is_some_and(|top| top.cast_unsigned() == warden.process_id())
    })
}

/// A warden that is killed takes its guests along.
fn after_the_warden(config: &WardenConfig, kind: Kind) -> Judged {
    let warden = warden(config, kind);
    let (orphan, guest) = asleep(&warden, 7, kind);
    let name = fs::read_to_string(format!("/proc/{orphan}/comm")).unwrap();
    let pid = rustix::process::Pid::from_raw(warden.process_id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let mut left = named(name.trim_end());
    while !left.is_empty() && std::time::Instant::now() < until {
        left = named(name.trim_end());
    }
    guest.forget();
    // The next warden clears away what this one left.
    drop(Warden::start(config.clone()).unwrap());
    let mut judged = Vec::new();
    let gone = left.is_empty();
    found(
        &mut judged,
        "nothing lives on when the warden is killed",
        gone,
        format!("{left:?}"),
    );
    judged.remove(0)
}
