//! Hostile guests: each tries to reach what is not theirs, and reports the answer.
#![allow(clippy::unwrap_used)]

pub(crate) mod cell;

use cell::{LIMITS, PRELUDE, directory_with, each_answers, prints, python, run, shell, tries};
use strongroom_jail::Status;

#[test]
fn no_family_of_sockets_can_be_opened() {
    let families = tries(
        "print({call(41, family, kind, 0) for family in range(64) for kind in (1, 2, 3, 5)})",
    );
    assert_eq!(families, "{'EAFNOSUPPORT'}");
    let names = "import socket\nfor name in 'AF_INET AF_INET6 AF_UNIX AF_VSOCK AF_NETLINK AF_ALG AF_PACKET'.split():\n  print(name, attempt(socket.socket, getattr(socket, name)))";
    for line in tries(names).lines() {
        assert!(line.ends_with(" EAFNOSUPPORT"), "{line}");
    }
}

#[test]
fn a_socketpair_reaches_nobody_else() {
    let program = "
import socket
one, other = socket.socketpair()
one.send(b'x'); print(other.recv(1) == b'x')
for address in ('/tmp/s', '\\0abstract'):
    print(attempt(one.bind, address), attempt(one.connect, address))
print(attempt(one.listen), call(43, one.fileno(), 0, 0))
print(attempt(socket.socketpair, socket.AF_INET))
print(attempt(one.setsockopt, socket.SOL_SOCKET, 26, bytes(16)))
print(attempt(one.setsockopt, socket.SOL_SOCKET, socket.SO_SNDBUF, 4096))";
    let text = tries(program);
    let expected =
        "True\nEPERM EPERM\nEPERM EPERM\nEPERM EPERM\nEAFNOSUPPORT\nENOPROTOOPT\nallowed";
    assert_eq!(text, expected);
}

#[test]
fn the_network_has_only_a_loopback_and_it_is_down() {
    let text = prints(
        "print(open('/proc/self/net/dev').read() if __import__('os').path.exists('/proc/self/net/dev') else '')",
    );
    for line in text.lines().skip(2) {
        assert!(line.trim_start().starts_with("lo:"), "{line}");
    }
}

#[test]
fn no_file_of_the_host_is_there() {
    each_answers(
        "ENOENT",
        &[
            "attempt(open, '/etc/shadow')",
            "attempt(open, '/etc/hostname')",
            "attempt(os.listdir, '/root')",
            "attempt(os.listdir, '/home')",
            "attempt(os.listdir, '/sys')",
            "attempt(os.listdir, '/var')",
            "attempt(os.listdir, '/run')",
            "attempt(os.listdir, '/.stage')",
            "attempt(open, '/proc/sysrq-trigger')",
            "attempt(os.listdir, '/proc/sys')",
            "attempt(open, '/proc/kcore')",
            "attempt(open, '/proc/keys')",
            "attempt(open, '/dev/tty')",
            "attempt(open, '/dev/mem')",
            "attempt(os.listdir, '/dev/mqueue')",
            "attempt(os.listdir, '/proc/1/root')",
        ],
    );
    assert_eq!(
        prints("import os; print(*sorted(os.listdir('/dev')))"),
        "fd full null random shm stderr stdin stdout urandom zero"
    );
    assert_eq!(
        prints("import os; print(os.listdir('/..') == os.listdir('/'))"),
        "True"
    );
}

#[test]
fn nothing_that_was_shown_can_be_written() {
    let data = directory_with("rows", "1\n");
    let program = format!(
        "{PRELUDE}
for path in ('/usr/x', '/usr/lib/x', '/data/x', '/x', '/etc/x', '/dev/x', '/proc/x'):
    print(path, attempt(os.mkdir, path), attempt(open, path, 'w'))
for path in ('/data/rows', '/usr/bin/env', '/etc/passwd'):
    print(path, attempt(open, path, 'a'), attempt(os.chmod, path, 0o777), attempt(os.unlink, path))
    print(path, attempt(os.utime, path), attempt(os.rename, path, path + '2'), attempt(os.truncate, path, 0))"
    );
    let ran = run(python(LIMITS, &program).read_only(data.path().into(), "/data".into()));
    for line in ran.text().lines() {
        assert!(!line.contains("allowed"), "{line}");
    }
    assert_eq!(
        std::fs::read_to_string(data.path().join("rows")).unwrap(),
        "1\n"
    );
}

#[test]
fn nothing_that_was_written_can_be_executed() {
    let program = "
import shutil, mmap
for place in ('/tmp', '/out', '/dev/shm'):
    path = place + '/true'
    shutil.copyfile('/usr/bin/true', path); os.chmod(path, 0o755)
    print(attempt(os.execv, path, ['true']))
    fd = os.open(path, os.O_RDONLY)
    print(attempt(lambda: mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)))";
    assert_eq!(tries(program), ["EACCES", "EPERM"].repeat(3).join("\n"));
}

#[test]
fn data_cannot_be_executed() {
    let data = directory_with("run.sh", "#!/bin/sh\necho out\n");
    let set = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(data.path().join("run.sh"), set).unwrap();
    let program = format!("{PRELUDE}print(attempt(os.execv, '/data/run.sh', ['x']))");
    let ran = run(python(LIMITS, &program).read_only(data.path().into(), "/data".into()));
    assert_eq!(ran.text(), "EACCES");
}

#[test]
fn links_nodes_sockets_and_pipes_cannot_be_made() {
    each_answers(
        "EACCES",
        &[
            "attempt(os.symlink, '/etc', '/tmp/l')",
            "attempt(os.symlink, '/', '/out/l')",
        ],
    );
    each_answers(
        "EPERM",
        &[
            "attempt(os.mkfifo, '/out/f')",
            "attempt(os.mknod, '/out/n', 0o20666, os.makedev(1, 3))",
            "attempt(os.mknod, '/tmp/n', 0o60666, os.makedev(8, 0))",
            "attempt(os.mknod, '/tmp/n')",
        ],
    );
    // The second answer of a fence: the setuid bit means nothing here.
    let text = prints(
        "import os; open('/out/f','w'); os.chmod('/out/f', 0o6755); print(oct(os.stat('/out/f').st_mode))",
    );
    assert!(text.starts_with("0o10"), "{text}");
}

#[test]
fn links_planted_in_data_lead_nowhere() {
    let data = directory_with("rows", "1\n");
    for (name, target) in [
        ("root", "/"),
        ("shadow", "/etc/shadow"),
        ("up", "../../../../etc/shadow"),
    ] {
        std::os::unix::fs::symlink(target, data.path().join(name)).unwrap();
    }
    let program = format!(
        "{PRELUDE}
print(attempt(open, '/data/shadow'), attempt(open, '/data/up'), os.listdir('/data/root') == os.listdir('/'))"
    );
    let ran = run(python(LIMITS, &program).read_only(data.path().into(), "/data".into()));
    assert_eq!(ran.text(), "ENOENT ENOENT True");
}

#[test]
fn kernel_interfaces_answer_as_forbidden() {
    let numbers = [
        ("unshare", libc::SYS_unshare),
        ("setns", libc::SYS_setns),
        ("mount", libc::SYS_mount),
        ("umount2", libc::SYS_umount2),
        ("pivot_root", libc::SYS_pivot_root),
        ("chroot", libc::SYS_chroot),
        ("open_tree", libc::SYS_open_tree),
        ("fsopen", libc::SYS_fsopen),
        ("ptrace", libc::SYS_ptrace),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("pidfd_open", libc::SYS_pidfd_open),
        ("pidfd_getfd", libc::SYS_pidfd_getfd),
        ("kcmp", libc::SYS_kcmp),
        ("add_key", libc::SYS_add_key),
        ("keyctl", libc::SYS_keyctl),
        ("request_key", libc::SYS_request_key),
        ("bpf", libc::SYS_bpf),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("init_module", libc::SYS_init_module),
        ("kexec_load", libc::SYS_kexec_load),
        ("reboot", libc::SYS_reboot),
        ("syslog", libc::SYS_syslog),
        ("name_to_handle_at", libc::SYS_name_to_handle_at),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("fanotify_init", libc::SYS_fanotify_init),
        ("inotify_init1", libc::SYS_inotify_init1),
        ("mincore", libc::SYS_mincore),
        ("shmget", libc::SYS_shmget),
        ("semget", libc::SYS_semget),
        ("msgget", libc::SYS_msgget),
        ("mq_open", libc::SYS_mq_open),
        ("setuid", libc::SYS_setuid),
        ("setgroups", libc::SYS_setgroups),
        ("capset", libc::SYS_capset),
        ("seccomp", libc::SYS_seccomp),
        ("landlock", libc::SYS_landlock_create_ruleset),
        ("execveat", libc::SYS_execveat),
        ("mbind", libc::SYS_mbind),
        ("memfd_secret", libc::SYS_memfd_secret),
    ];
    let calls: Vec<String> = numbers
        .iter()
        .map(|(name, number)| format!("print('{name}', call({number}, 0, 0, 0, 0, 0))"))
        .collect();
    for line in tries(&calls.join("\n")).lines() {
        let held = cell::AS_COPIES && line.ends_with(" ENOSYS");
        assert!(line.ends_with(" EPERM") || held, "{line}");
    }
}

#[test]
fn rules_on_arguments_answer_their_own_errno() {
    let text = tries(
        "
import fcntl, mmap
print(call(435, 0, 0))                                  # clone3
for flag in (0x80, 0x20000, 0x2000000, 0x10000000, 0x40000000):
    print(call(56, flag | 17, 0, 0, 0, 0))              # clone with a new namespace
print(call(16, 0, 0x5412, 0), call(16, 1, 0x541c, 0))   # terminal injection
print(call(72, 1, 1024, 0), call(72, 1, 1026, 0))       # lease, notify
print(attempt(fcntl.flock, 0, fcntl.LOCK_SH))
print(call(157, 38, 1, 0, 0, 0), call(157, 22, 1, 0, 0, 0), call(157, 4, 1, 0, 0, 0))
print(call(9, 0, 1 << 21, 3, 0x40022, -1, 0))           # huge pages
print(call(319, b'x', 0))                               # a file in memory
print(call(135, 0x0040000))                             # no address randomness
print(call(302, 1, 7, 0, 0), call(302, 0, 7, 0, 0))     # limits of another, of itself
print(call(28, 0, 4096, 12))                            # merging
print(call(999), call(0x40000000 | 39))                 # unknown, x32
print(call(137, b'/', 0), call(437, -100, b'/', 0, 0))  # statfs, openat2",
    );
    let expected = "ENOSYS\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM\nENOTTY ENOTTY\nEPERM EPERM\nENOTSUP\n\
                    EPERM EPERM EPERM\nENOMEM\nEPERM\nEPERM\nEPERM allowed\nEINVAL\nENOSYS ENOSYS\n\
                    ENOSYS ENOSYS";
    assert_eq!(text, expected);
}

#[test]
fn a_foreign_architecture_is_killed() {
    // int 0x80 enters the kernel by the 32-bit door.
    let program = "
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print('alive')";
    let ran = run(python(LIMITS, program));
    assert_eq!(
        (ran.exit.status, ran.stdout.as_str()),
        (Status::Signaled(libc::SIGSYS), "")
    );
}

#[test]
fn identity_is_one_plain_user_without_a_way_up() {
    let text = tries(
        "
print(os.getresuid(), os.getresgid(), os.getpid() != 1)
print(attempt(os.setuid, 0), attempt(os.setreuid, 0, 0), attempt(os.chown, '/tmp', 0, 0))
wanted = 'CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Groups'.split()
for line in open('/proc/self/status'):
    name, _, value = line.partition(':')
    if name in wanted: print(name, value.strip())
print(open('/proc/self/uid_map').read().split()[0::2])",
    );
    let zeros = "0000000000000000";
    assert!(
        text.starts_with("(1000, 1000, 1000) (1000, 1000, 1000) True\nEPERM EPERM EPERM\n"),
        "{text}"
    );
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(text.contains(&format!("{name} {zeros}")), "{text}");
    }
    assert!(
        text.contains("NoNewPrivs 1\nSeccomp 2") && text.ends_with("['1000', '1']"),
        "{text}"
    );
    assert!(
        text.contains("Groups \n") || text.contains("Groups\n"),
        "{text}"
    );
}

#[test]
fn setuid_programs_raise_nothing() {
    let ran = run(shell(
        LIMITS,
        "/usr/bin/su -c id 2>&1; /usr/bin/mount -t tmpfs x /tmp 2>&1; id -u",
    ));
    assert!(
        ran.stdout.trim_end().ends_with("1000") && !ran.stdout.contains("uid=0"),
        "{}",
        ran.stdout
    );
}

#[test]
fn no_descriptor_is_inherited() {
    let text = tries("print([n for n in range(256) if call(72, n, 1, 0) == 'allowed'])");
    assert_eq!(text, "[0, 1, 2, 3]");
    let links = prints(
        "import os\nfor n in (0, 1, 2, 3): print(os.readlink(f'/proc/self/fd/{n}').split(':')[0])",
    );
    assert_eq!(links, "/memfd\npipe\npipe\npipe");
}

#[test]
fn its_input_cannot_be_changed_or_grown() {
    each_answers(
        "EPERM",
        &["attempt(os.truncate, '/proc/self/fd/0', 1 << 20)"],
    );
    let text =
        tries("print(attempt(lambda: os.write(os.open('/proc/self/fd/0', os.O_WRONLY), b'x')))");
    assert_ne!(text, "allowed");
}

#[test]
fn init_cannot_be_signalled_traced_or_read() {
    let text = tries(
        "
import signal
# Where Landlock knows signals it refuses; elsewhere pid 1 ignores them.
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM): attempt(os.kill, 1, number)
print(call(101, 16, 1, 0, 0), call(310, 1, 0, 0, 0, 0, 0))
for name in ('mem', 'environ', 'maps', 'exe', 'root', 'fd', 'status'):
    print(attempt(os.stat, f'/proc/1/{name}'))
print(os.getppid(), [one for one in os.listdir('/proc') if one.isdigit()] == [str(os.getpid())])",
    );
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("EPERM EPERM"));
    // A copy's parent is outside of its processes.
    let parent = if cell::AS_COPIES { "0 True" } else { "1 True" };
    assert_eq!(lines.next_back(), Some(parent));
    assert!(lines.all(|line| line == "ENOENT"), "{text}");
}

#[test]
fn only_its_own_processes_exist() {
    let own = std::process::id();
    let text = tries(&format!(
        "print(attempt(os.kill, {own}, 0), attempt(os.kill, -1, 0), os.getpgid(0) == os.getpid())"
    ));
    assert!(
        text.starts_with("ESRCH ") && text.ends_with(" True"),
        "{text}"
    );
}

#[test]
fn the_host_name_and_groups_tell_nothing() {
    let text =
        prints("import os; print(os.uname().nodename); print(open('/proc/self/cgroup').read())");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("strongroom"));
    for line in lines {
        // Hierarchies without limits of ours are shown from where the station is.
        assert!(
            !line.contains("slot") && !line.contains("strongroom"),
            "{line}"
        );
    }
}

#[test]
fn mounts_tell_no_path_of_the_host() {
    let data = directory_with("rows", "1\n");
    let program = "print(open('/proc/self/mountinfo').read())";
    let ran = run(python(LIMITS, program).read_only(data.path().into(), "/data".into()));
    let name = data.path().to_str().unwrap();
    assert!(!ran.text().contains(name), "{}", ran.stdout);
    for line in ran.text().lines() {
        let mut fields = line.split(' ');
        let (place, flags) = (fields.nth(4).unwrap(), fields.next().unwrap());
        assert!(flags.contains("nosuid"), "{line}");
        assert!(
            flags.contains("nodev") || place.starts_with("/dev/"),
            "{line}"
        );
        assert!(flags.contains("noexec") || place == "/usr", "{line}");
        let writable = ["/tmp", "/out", "/dev/shm"].contains(&place);
        assert_eq!(flags.starts_with("rw"), writable, "{line}");
        assert_eq!(flags.contains("nosymfollow"), writable, "{line}");
    }
}

#[test]
fn two_runs_share_nothing_that_was_written() {
    let warden = cell::warden();
    let plant = "for d in /tmp /out /dev/shm; do echo x > $d/mark; done";
    assert_eq!(
        cell::run_in(&warden, shell(LIMITS, plant)).exit.status,
        Status::Exited(0)
    );
    let ran = cell::run_in(
        &warden,
        shell(LIMITS, "ls -A /tmp /out /dev/shm | grep mark"),
    );
    assert_eq!(
        (ran.exit.status, ran.stdout.as_str()),
        (Status::Exited(1), "")
    );
}

#[test]
fn locks_on_shared_files_are_invisible_to_neighbours() {
    let data = directory_with("rows", "1\n");
    let lock = "import fcntl; f = open('/data/rows'); fcntl.lockf(f, fcntl.LOCK_SH); print('held', flush=True); import time; time.sleep(60)";
    let look = "
import fcntl, struct
f = open('/data/rows')
asked = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)
print(struct.unpack('hhqqi4x', fcntl.fcntl(f, fcntl.F_GETLK, asked))[0] == fcntl.F_UNLCK)";
    let warden = cell::warden();
    let mount =
        |program: &str| python(LIMITS, program).read_only(data.path().into(), "/data".into());
    let mut first = cell::Guest::prepare(&warden, strongroom_jail::SlotId(1), mount(lock));
    first.start();
    first.wait_for("held");
    assert_eq!(cell::run_in(&warden, mount(look)).text(), "True");
    warden.kill(strongroom_jail::SlotId(1)).unwrap();
    first.finish();
}

/// An ordinary user may make no device nodes; its guests share those of the host.
#[test]
fn locks_on_devices_are_invisible_to_neighbours() {
    if !cell::is_root() {
        return;
    }
    let lock = "
import fcntl, time
held = [open('/dev/' + name) for name in ('null', 'zero', 'full', 'random', 'urandom')]
for file in held: fcntl.lockf(file, fcntl.LOCK_SH)
print('held', flush=True); time.sleep(60)";
    let look = "
import fcntl, struct
asked = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)
for name in ('null', 'zero', 'full', 'random', 'urandom'):
    with open('/dev/' + name) as file:
        print(struct.unpack('hhqqi4x', fcntl.fcntl(file, fcntl.F_GETLK, asked))[0] == fcntl.F_UNLCK)";
    let warden = cell::warden();
    let slot = strongroom_jail::SlotId(1);
    let mut first = cell::Guest::prepare(&warden, slot, python(LIMITS, lock));
    first.start();
    first.wait_for("held");
    let free = cell::run_in(&warden, python(LIMITS, look));
    assert_eq!(free.text(), ["True"; 5].join("\n"));
    warden.kill(slot).unwrap();
    first.finish();
}
