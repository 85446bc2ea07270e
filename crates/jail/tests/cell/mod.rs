//! One guest at a time, through the public API: the frame of every suite here.
#![allow(clippy::unwrap_used, dead_code)]

pub mod delegated;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strongroom_jail::{
    Door, Enforced, Event, Exit, Jail, Limits, Open, Pipes, SlotId, Status, Warden, WardenConfig,
};

use delegated::{group_beside, own_group};

pub const MIB: u64 = 1 << 20;
pub const SLOT: SlotId = SlotId(0);
/// How long anything may take on a machine that is busy with much else.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Generous bounds for a small program.
pub const LIMITS: Limits = Limits {
    cpu_milli: 1000,
    memory_bytes: 128 * MIB,
    wall_ms: 20_000,
    processes: 32,
    out_bytes: MIB,
    out_files: 16,
    tmp_bytes: 4 * MIB,
};

pub fn config() -> WardenConfig {
    WardenConfig {
        program: PathBuf::from(env!("CARGO_BIN_EXE_strongroom-jail")),
        slots_max: 8,
        cgroup_dirs: BESIDE.clone().into_iter().collect(),
        ..WardenConfig::default()
    }
}

/// Version 2 passes no controllers on from a group that others share, as in a
/// terminal or below an outer test; then wardens work in an empty group beside
/// it. Alone in a group, as in a service, they make room for themselves.
static BESIDE: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let own = own_group()?;
    let inside = std::fs::read_to_string(own.join("cgroup.procs")).ok()?;
    let shared = 1 < inside.lines().count();
    shared.then(|| group_beside(&own, "strongroom_tests"))?
});

/// Whether we run as root; these suites keep their promises to ordinary users too.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn warden() -> Warden {
    let warden = Warden::start(config()).unwrap();
    if AS_COPIES {
        Guest::prepare(&warden, config().zygote_slot(0), zygote()).forget();
    }
    warden
}

/// The host's `/usr` and what programs expect beside it.
pub fn host(limits: Limits) -> Jail<Open> {
    host_in(Jail::new(limits))
}

/// The same for a jail of another kind.
pub fn host_in(jail: Jail<Open>) -> Jail<Open> {
    let mut jail = jail.runtime("/usr".into(), "/usr".into());
    for name in ["bin", "sbin", "lib", "lib64"] {
        jail = jail.symlink(format!("/{name}").into(), format!("usr/{name}").into());
    }
    let passwd = b"guest:x:1000:1000::/tmp:/bin/sh\n".to_vec();
    jail.file("/etc/passwd".into(), passwd)
        .env("PATH".into(), "/usr/bin:/bin".into())
}

/// Whether this suite runs its Python guests as copies of a zygote. What the
/// filter holds for a zygote's keeper answers ENOSYS then, and not EPERM.
pub const AS_COPIES: bool = matches!(
    module_path!().as_bytes(),
    [b'c', b'o', b'p', b'i', b'e', b's', ..]
);

/// Stands still, and lets each copy run its standard input.
pub const ZYGOTE: &str = "
import os, sys
os.write(4, b'!')
os.read(4, 1)
if os.fork():
    os._exit(1)
os.chdir('/tmp')
exec(sys.stdin.read())
";

/// The jail of a zygote of bare Python.
pub fn zygote() -> Jail<Open> {
    let argv = ["/usr/bin/python3", "-I", "-S", "-c", ZYGOTE].map(str::to_owned);
    let jail = host(LIMITS).command(argv.to_vec(), "/tmp".into());
    jail.zygote()
}

pub fn python(limits: Limits, program: &str) -> Jail<Open> {
    if AS_COPIES {
        let jail = host(limits).command(vec!["/usr/bin/python3".to_owned()], "/tmp".into());
        return jail.copy_of(config().zygote_slot(0)).stdin(input(program));
    }
    let argv = ["/usr/bin/python3", "-I", "-S", "-c", program].map(str::to_owned);
    host(limits).command(argv.to_vec(), "/tmp".into())
}

pub fn shell(limits: Limits, program: &str) -> Jail<Open> {
    let argv = ["/bin/sh", "-c", program].map(str::to_owned);
    host(limits).command(argv.to_vec(), "/tmp".into())
}

/// Everything about a guest that has ended.
#[derive(Debug)]
pub struct Ran {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
    pub result: String,
    pub out: OwnedFd,
    pub enforced: Enforced,
}

impl Ran {
    /// The output of a guest that succeeded.
    #[track_caller]
    pub fn text(&self) -> &str {
        assert_eq!(self.exit.status, Status::Exited(0), "{self:?}");
        self.stdout.trim_end()
    }

    /// One file of `/out`.
    pub fn file(&self, name: &str) -> String {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.out, name, flags, rustix::fs::Mode::empty()).unwrap();
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).unwrap();
        text
    }
}

/// Runs a jail in slot 0 of `warden` to its end.
#[track_caller]
pub fn run_in(warden: &Warden, jail: Jail<Open>) -> Ran {
    let guest = Guest::prepare(warden, SLOT, jail);
    guest.start();
    guest.finish()
}

/// Runs a jail under a warden of its own.
#[track_caller]
pub fn run(jail: Jail<Open>) -> Ran {
    run_in(&warden(), jail)
}

/// What a Python program prints.
#[track_caller]
pub fn prints(program: &str) -> String {
    let ran = run(python(LIMITS, program));
    ran.text().to_owned()
}

/// A guest that is ready or running.
pub struct Guest<'a> {
    pub warden: &'a Warden,
    pub slot: SlotId,
    pub enforced: Enforced,
    pub door: Option<Door>,
    pub gateway: Option<OwnedFd>,
    pipes: Vec<(OwnedFd, Vec<u8>, bool)>,
    exit: Option<(Exit, OwnedFd)>,
}

impl<'a> Guest<'a> {
    #[track_caller]
    pub fn prepare(warden: &'a Warden, slot: SlotId, jail: Jail<Open>) -> Self {
        let pipes = warden
            .prepare(slot, jail.seal(warden.kernel()).unwrap())
            .unwrap();
        let Pipes {
            stdout,
            stderr,
            result,
            door,
        } = pipes;
        let pipes = [stdout, stderr, result]
            .into_iter()
            .map(|fd| (fd, Vec::new(), true));
        match event(warden) {
            Event::Ready {
                slot: told,
                enforced,
                gateway,
            } => {
                assert_eq!(told, slot);
                Self {
                    warden,
                    slot,
                    enforced,
                    door,
                    gateway,
                    pipes: pipes.collect(),
                    exit: None,
                }
            }
            other => panic!("not ready: {other:?}"),
        }
    }

    /// Leaves it to its warden.
    pub fn forget(self) {
        std::mem::forget(self.pipes);
    }

    /// What the guest has printed so far.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&self.pipes[0].1).into()
    }

    pub fn start(&self) {
        self.warden.start_slot(self.slot).unwrap();
    }

    /// Reads until the guest has printed `text` on its standard output.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !String::from_utf8_lossy(&self.pipes[0].1).contains(text) {
            assert!(
                Instant::now() < until,
                "no {text:?} in {:?}",
                self.pipes[0].1
            );
            assert!(
                self.exit.is_none(),
                "ended before {text:?}: {:?}",
                self.exit
            );
            self.turn();
        }
    }

    #[track_caller]
    pub fn finish(mut self) -> Ran {
        let until = Instant::now() + PATIENCE;
        while self.exit.is_none() || self.pipes.iter().any(|(_, _, open)| *open) {
            assert!(Instant::now() < until, "the guest did not end");
            self.turn();
        }
        let (exit, out) = self.exit.unwrap();
        let mut texts = self
            .pipes
            .into_iter()
            .map(|(_, bytes, _)| String::from_utf8_lossy(&bytes).into());
        let mut next = || texts.next().unwrap();
        let (stdout, stderr, result) = (next(), next(), next());
        Ran {
            exit,
            stdout,
            stderr,
            result,
            out,
            enforced: self.enforced,
        }
    }

    /// Waits for anything to happen, and takes it in.
    fn turn(&mut self) {
        let mut ends = vec![PollFd::new(self.warden, PollFlags::IN)];
        let open = self.pipes.iter().filter(|(_, _, open)| *open);
        ends.extend(open.map(|(fd, _, _)| PollFd::new(fd, PollFlags::IN)));
        poll(
            &mut ends,
            Some(&Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            }),
        )
        .unwrap();
        while let Some(event) = self.warden.receive().unwrap() {
            match event {
                Event::Exited { slot, exit, out } if slot == self.slot => {
                    self.exit = Some((exit, out));
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        for (fd, bytes, open) in &mut self.pipes {
            let mut chunk = [0; 65_536];
            match rustix::io::read(&*fd, &mut chunk) {
                Ok(0) => *open = false,
                Ok(length) => bytes.extend_from_slice(&chunk[..length]),
                Err(_) => {}
            }
        }
    }
}

/// The next event of a warden.
#[track_caller]
pub fn event(warden: &Warden) -> Event {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = warden.receive().unwrap() {
            return event;
        }
        assert!(Instant::now() < until, "the warden says nothing");
        let mut ends = [PollFd::new(warden, PollFlags::IN)];
        poll(
            &mut ends,
            Some(&Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            }),
        )
        .unwrap();
    }
}

/// Why a jail is refused.
#[track_caller]
pub fn refused(warden: &Warden, jail: Jail<Open>) -> (String, String) {
    warden
        .prepare(SLOT, jail.seal(warden.kernel()).unwrap())
        .unwrap();
    match event(warden) {
        Event::Refused { wall, detail, .. } => (wall, detail),
        other => panic!("not refused: {other:?}"),
    }
}

/// Waits until `condition` holds. How long that may take is no promise: on a
/// machine with much else to do it is a minute. Promises in seconds are those of
/// `killed.rs`.
#[track_caller]
pub fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what} did not happen in time");
        poll(
            &mut [],
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 2_000_000,
            }),
        )
        .unwrap();
    }
}

/// A file to read from its beginning.
pub fn input(text: &str) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file.into()
}

/// The host pid of every process whose command line contains `marker`.
pub fn processes_with(marker: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let own = *pid == i32::try_from(std::process::id()).unwrap();
        !own && String::from_utf8_lossy(&line).contains(marker)
    })
    .collect()
}

/// A field of `/proc/PID/status`.
pub fn status_field(pid: i32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field}"))
        .trim()
        .to_owned()
}

/// A world-readable directory with one file.
pub fn directory_with(name: &str, content: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).unwrap();
    std::fs::write(directory.path().join(name), content).unwrap();
    directory
}

/// The control groups of every warden on this host with this name.
pub fn groups_named(prefix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    found.push(entry.path());
                }
                open.push(entry.path());
            }
        }
    }
    found
}

pub fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

/// `call(number, ...)` answers "allowed" or the name of the errno; `attempt`
/// does the same for a Python function.
pub const PRELUDE: &str = r#"
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    longs = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    got = libc.syscall(ctypes.c_long(number), *longs)
    return 'allowed' if got >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(function, *arguments):
    try:
        function(*arguments)
        return 'allowed'
    except OSError as error:
        return errno.errorcode[error.errno]
"#;

/// What a Python program with the prelude prints.
#[track_caller]
pub fn tries(program: &str) -> String {
    prints(&format!("{PRELUDE}{program}"))
}

/// The one answer that every listed expression must give.
#[track_caller]
pub fn each_answers(expected: &str, expressions: &[&str]) {
    let lines: Vec<String> = expressions
        .iter()
        .map(|one| format!("print({one})"))
        .collect();
    let text = tries(&lines.join("\n"));
    let answers: Vec<&str> = text.lines().collect();
    assert_eq!(answers.len(), expressions.len(), "{text}");
    for (expression, answer) in expressions.iter().zip(answers) {
        assert_eq!(answer, expected, "{expression}");
    }
}
