//! What the engine is told of one container, and what its first process is told.
//!
//! Between the two lies the rule: the engine hears limits and paths of this
//! host, and nothing that is anybody's; the first process hears the rest.

use std::{collections::HashMap, io::Read as _, path::PathBuf, sync::Arc};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountBindOptions,
    MountType, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use strongroom_jail::{
    Limits, Network, Outline, Shown, engine_profile,
    inside::{Bytes, ORDER_LEN_MAX, Order},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    EngineError, Shared, engine,
    tools::{self, Tools},
};
use crate::result::value_len_max;

/// What is hidden of what every container has: all of `/sys` but the control
/// groups, and what engines hide by themselves.
const MASKED: [&str; 24] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sysrq-trigger",
    "/sys/block",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/fs/ext4",
    "/sys/fs/pstore",
    "/sys/hypervisor",
    "/sys/kernel",
    "/sys/module",
    "/sys/power",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// The period of processor time, in microseconds.
const PERIOD_US: i64 = 100_000;
const PAGE_BYTES: u64 = 4096;
/// The most files in `/tmp` and in `/dev/shm`.
const SCRATCH_FILES_MAX: u64 = 65_536;
const HOST_NAME: &str = "strongroom";
/// What a guest's user file holds besides.
const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A place for one container, and the user of its guest.
pub(super) struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: u32,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.slots().push(self.slot);
    }
}

/// Whether an engine sees this host's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Here,
    Elsewhere,
}

/// What is said to the engine, but for the image, which is made of the rest.
pub(super) struct Said<'a> {
    pub(super) station: &'a str,
    pub(super) run: &'a str,
    pub(super) uid: u32,
    pub(super) tools: &'a Tools,
    /// Folders of the station's own, by their path in the container.
    pub(super) own: Vec<(PathBuf, String)>,
}

impl Said<'_> {
    /// What a container is known by.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        let labels = [(engine::STATION, self.station), (engine::RUN, self.run)];
        HashMap::from(labels.map(|(key, value)| (key.to_owned(), value.to_owned())))
    }
}

/// The container of one run, with folders of this host where the engine sees them.
pub(super) fn body(
    said: &Said<'_>,
    outline: &Outline,
    image: String,
    sight: Sight,
) -> ContainerCreateBody {
    let mounts = match sight {
        Sight::Here => mounts(said, &outline.folders),
        Sight::Elsewhere => Vec::new(),
    };
    ContainerCreateBody {
        hostname: Some(HOST_NAME.to_owned()),
        user: Some(format!("{0}:{0}", said.uid)),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        tty: Some(false),
        env: Some(Vec::new()),
        entrypoint: Some(said.tools.command()),
        cmd: Some(Vec::new()),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        image: Some(image),
        working_dir: Some("/".to_owned()),
        labels: Some(said.labels()),
        host_config: Some(host(said, outline, mounts)),
        ..ContainerCreateBody::default()
    }
}

fn host(said: &Said<'_>, outline: &Outline, mounts: Vec<Mount>) -> HostConfig {
    let limits = &outline.limits;
    let network = match outline.gateway {
        true => Network::Gateway,
        false => Network::None,
    };
    let own = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
    HostConfig {
        memory: Some(signed(limits.memory_bytes)),
        memory_swap: Some(signed(limits.memory_bytes)),
        cpu_period: Some(PERIOD_US),
        cpu_quota: Some(i64::from(limits.cpu_milli) * PERIOD_US / 1000),
        pids_limit: Some(i64::from(limits.processes) + 1),
        ulimits: Some(vec![
            ulimit("core", 0),
            ulimit("nofile", 256),
            ulimit("memlock", 64 * 1024),
            ulimit("msgqueue", 0),
        ]),
        mounts: Some(mounts),
        tmpfs: Some(places(said.uid, limits)),
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        network_mode: Some("none".to_owned()),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        auto_remove: Some(false),
        init: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        ipc_mode: Some("private".to_owned()),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        security_opt: Some(vec![
            "no-new-privileges".to_owned(),
            format!("seccomp={}", engine_profile(network)),
        ]),
        masked_paths: own(&MASKED),
        readonly_paths: own(&READ_ONLY),
        ..HostConfig::default()
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value),
        hard: Some(value),
    }
}

fn mounts(said: &Said<'_>, folders: &[Shown]) -> Vec<Mount> {
    let tools = said.tools.files().into_iter();
    let shown = folders
        .iter()
        .map(|shown| (shown.host.clone(), shown.guest.display().to_string()));
    let all = tools.chain(shown).chain(said.own.iter().cloned());
    all.map(|(host, guest)| Mount {
        target: Some(guest),
        source: Some(host.display().to_string()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        bind_options: Some(MountBindOptions {
            // What is mounted below stays out: it would not be read-only.
            non_recursive: Some(true),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    })
    .collect()
}

/// The memory that can be written: one page and one file more than allowed, which
/// tell what is full from what is over.
fn places(uid: u32, limits: &Limits) -> HashMap<String, String> {
    let place = |bytes: u64, files: u64| {
        let bytes = bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES + PAGE_BYTES;
        format!(
            "rw,nosuid,nodev,noexec,size={bytes},nr_inodes={files},mode=0700,uid={uid},gid={uid}"
        )
    };
    let scratch_files = (limits.tmp_bytes / PAGE_BYTES + 17).min(SCRATCH_FILES_MAX);
    let scratch = place(limits.tmp_bytes, scratch_files);
    HashMap::from([
        ("/tmp".to_owned(), scratch.clone()),
        ("/dev/shm".to_owned(), scratch),
        (
            "/out".to_owned(),
            place(limits.out_bytes, limits.out_files + 2),
        ),
    ])
}

/// Whether a place of the outline is among the tools: what lies there would be
/// the first process of the container, or be loaded by it.
pub(super) fn is_among_tools(outline: &Outline) -> bool {
    let folders = outline.folders.iter().map(|shown| &shown.guest);
    let files = outline.files.iter().map(|(path, _)| path);
    let links = outline.links.iter().map(|(path, _)| path);
    let mut all = folders.chain(files).chain(links);
    all.any(|path| path.starts_with(tools::FOLDER))
}

/// What the first process is told.
///
/// # Errors
///
/// When the arguments cannot be read, or are too long.
pub(super) fn order(
    outline: Outline,
    log_bytes: u64,
    gateway: Option<PathBuf>,
) -> Result<Order, EngineError> {
    let mut input = Vec::new();
    if let Some(file) = outline.input {
        let mut file = std::fs::File::from(file).take(ORDER_LEN_MAX as u64);
        file.read_to_end(&mut input).map_err(EngineError::Order)?;
    }
    if ORDER_LEN_MAX / 2 < input.len() {
        let max = ORDER_LEN_MAX / 2;
        return Err(EngineError::OrderTooLong { max });
    }
    let folders = outline.folders.into_iter();
    Ok(Order {
        value_bytes: value_len_max(outline.limits.out_bytes),
        limits: outline.limits,
        program: outline.program,
        input: Bytes(input),
        folders: folders
            .map(|shown| (shown.guest, shown.is_executable))
            .collect(),
        files: outline.files.into_iter().map(|(path, _)| path).collect(),
        log_bytes,
        gateway,
    })
}

/// The files of a root, in which every user that a guest can be has a name.
pub(super) fn files(outline: &Outline, uids: &[u32]) -> Vec<(PathBuf, Vec<u8>)> {
    let all = outline.files.iter().map(|(path, content)| {
        let lines: String = match path.to_str() {
            Some(PASSWD) => uids
                .iter()
                .map(|uid| format!("guest:x:{uid}:{uid}:guest:/tmp:/bin/sh\n"))
                .collect(),
            Some(GROUP) => uids.iter().map(|uid| format!("guest:x:{uid}:\n")).collect(),
            _ => return (path.clone(), content.clone()),
        };
        (path.clone(), lines.into_bytes())
    });
    all.collect()
}

/// A box with nothing in it, whose child never begins.
pub(super) fn rehearsal() -> Outline {
    const MIB: u64 = 1 << 20;
    let program = strongroom_jail::Program {
        argv: vec![format!("{}/program", tools::FOLDER)],
        cwd: "/".into(),
        env: Vec::new(),
    };
    Outline {
        limits: Limits {
            cpu_milli: 1000,
            memory_bytes: 64 * MIB,
            wall_ms: 1000,
            processes: 4,
            out_bytes: MIB,
            out_files: 1,
            tmp_bytes: MIB,
        },
        folders: Vec::new(),
        links: Vec::new(),
        files: Vec::new(),
        program,
        input: None,
        gateway: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_where_the_first_process_lies() {
        assert!(!is_among_tools(&rehearsal()));
        for place in [tools::FOLDER, "/.strongroom/glibc-hwcaps"] {
            let mut folder = rehearsal();
            folder.folders.push(Shown {
                host: "/usr".into(),
                guest: place.into(),
                is_executable: true,
            });
            let mut file = rehearsal();
            file.files.push((place.into(), Vec::new()));
            let mut link = rehearsal();
            link.links.push((place.into(), "/usr".into()));
            for outline in [folder, file, link] {
                assert!(is_among_tools(&outline), "{place}");
            }
        }
    }
}
