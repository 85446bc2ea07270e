//! The table of system calls: what each may do, and why.
//!
//! The rule: every group of calls says its reason. Calls that a program may try
//! in good faith answer EPERM, or the errno it knows how to handle; everything
//! not listed answers ENOSYS.

use libc::{
    EAFNOSUPPORT, EINVAL, ENOMEM, ENOPROTOOPT, ENOSYS, ENOTSUP, ENOTTY, EOPNOTSUPP, EPERM, c_long,
};

/// Calls that share a rule and the reason for it.
pub(crate) struct Group {
    /// Why, for a reader; no two groups have the same.
    pub(crate) reason: &'static str,
    pub(crate) rule: Rule,
    pub(crate) numbers: &'static [c_long],
    /// The same calls by name, each as `SYS_` and what the kernel calls it.
    pub(crate) names: &'static [&'static str],
}

use Rule::{Allow, Deny, Trace, When};

pub(crate) enum Rule {
    Allow,
    Deny(i32),
    /// Allowed if a tracer that asked to be told lets it pass, else ENOSYS.
    Trace,
    /// Allowed if every check passes, else this errno.
    When(&'static [Check], i32),
}

pub(crate) struct Check {
    pub(crate) argument: u8,
    pub(crate) test: Test,
}

pub(crate) enum Test {
    OneOf(&'static [u32]),
    NoBitOf(u32),
}

/// Every group for guests on this architecture.
pub(crate) fn guest() -> impl Iterator<Item = &'static Group> {
    GUEST.iter().chain(GUEST_LEGACY)
}

macro_rules! groups {
    ($( $reason:literal: $rule:expr => $( $name:ident )+ ; )*) => {
        &[ $( Group { reason: $reason, rule: $rule, numbers: &[ $( libc::$name ),+ ], names: &[ $( stringify!($name) ),+ ] } ),* ]
    };
}

const fn one_of(argument: u8, values: &'static [u32]) -> Check {
    Check {
        argument,
        test: Test::OneOf(values),
    }
}

const fn no_bit_of(argument: u8, mask: u32) -> Check {
    Check {
        argument,
        test: Test::NoBitOf(mask),
    }
}

/// CLONE_NEWTIME (0x80) and every other CLONE_NEW flag.
const NEW_NAMESPACES: u32 = 0x7e02_0080;
const MAP_HUGETLB: u32 = 0x4_0000;
/// What an overlay leaves for a file that is gone: a device that anybody may make.
const RENAME_WHITEOUT: u32 = 0x4;
/// O_EXCL, which means that to pipes.
const O_NOTIFICATION_PIPE: u32 = 0x80;
/// WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET and WAKE_BITSET, each
/// with or without PRIVATE and CLOCK_REALTIME.
const FUTEXES: &[u32] = &[
    0, 1, 3, 4, 5, 9, 10, 128, 129, 131, 132, 133, 137, 138, 256, 257, 259, 260, 261, 265, 266,
    384, 385, 387, 388, 389, 393, 394,
];
/// DONTWAIT, EOR, NOSIGNAL and MORE.
const SEND_FLAGS: u32 = 0xc0c0;
/// TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX.
const IOCTLS: &[u32] = &[0x5401, 0x5413, 0x541b, 0x5421, 0x5451, 0x5450];
/// Those, and what a shell asks of its terminal: TCSETS, TCSETSW, TCSETSF,
/// TCFLSH, TIOCGPGRP, TIOCSPGRP, TIOCGSID. Not TIOCSTI and TIOCLINUX, which type
/// on somebody's behalf; not TIOCSCTTY and TIOCNOTTY, since the worker chose the
/// terminal; not TIOCSETD, which loads line disciplines of the kernel; not
/// TIOCCONS, TIOCSWINSZ, nor anything of the pair's other side.
const TERMINAL_IOCTLS: &[u32] = &[
    0x5401, 0x5402, 0x5403, 0x5404, 0x540b, 0x540f, 0x5410, 0x5413, 0x541b, 0x5421, 0x5429, 0x5450,
    0x5451,
];
/// Duplicate, flags, record locks, seals, pipe size; no owner, signal, lease or notify.
const FCNTLS: &[u32] = &[0, 1, 2, 3, 4, 5, 6, 7, 1027, 1030, 1032, 1033, 1034];
/// PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA.
const PRCTLS: &[u32] = &[3, 15, 16, 0x5356_4d41];
/// Those, and PR_CAPBSET_DROP and PR_SET_SECUREBITS, which need a capability.
const PRCTLS_OF_ZYGOTES: &[u32] = &[3, 15, 16, 24, 28, 0x5356_4d41];
/// PER_LINUX, and the question.
const PERSONALITIES: &[u32] = &[0, 0xffff_ffff];
/// No MERGEABLE, COLD, PAGEOUT, COLLAPSE, HWPOISON or SOFT_OFFLINE.
const ADVICE: &[u32] = &[
    0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103,
];
const AF_UNIX: &[u32] = &[1];
/// STREAM and SEQPACKET, with or without NONBLOCK and CLOEXEC. A pair of
/// datagram sockets sends to any name it is given, in spite of being a pair.
const CONNECTED: &[u32] = &[1, 0x801, 0x8_0001, 0x8_0801, 5, 0x805, 0x8_0005, 0x8_0805];
const AF_INET: &[u32] = &[2];
/// STREAM, with or without NONBLOCK and CLOEXEC.
const STREAMS: &[u32] = &[1, 0x801, 0x8_0001, 0x8_0801];
/// The default of a stream, and TCP by its name; not MPTCP.
const TCP: &[u32] = &[0, 6];
/// SOL_SOCKET and IPPROTO_TCP.
const LEVELS: &[u32] = &[1, 6];
/// Those of every guest, and TCP's NODELAY, KEEPIDLE, KEEPINTVL, KEEPCNT and
/// USER_TIMEOUT. The same numbers on the other level change nothing for others:
/// DEBUG, ERROR, DONTROUTE, BROADCAST, RCVLOWAT; MAXSEG, SYNCNT, LINGER2,
/// DEFER_ACCEPT, THIN_LINEAR, and two that only a repaired socket has.
const CLIENT_OPTIONS: &[u32] = &[1, 2, 4, 5, 6, 7, 8, 9, 16, 18, 20, 21];
const SOL_SOCKET: &[u32] = &[1];
/// REUSEADDR, TYPE, ERROR, SNDBUF, RCVBUF, KEEPALIVE, LINGER, PASSCRED, PEERCRED,
/// RCVTIMEO, SNDTIMEO, ACCEPTCONN, PROTOCOL, DOMAIN.
const SOCKET_QUESTIONS: &[u32] = &[2, 3, 4, 7, 8, 9, 13, 16, 17, 20, 21, 30, 38, 39];
/// Those, and TCP's NODELAY, KEEPIDLE, KEEPINTVL, KEEPCNT and USER_TIMEOUT. The
/// same numbers on the other level tell a socket's own settings.
const CLIENT_QUESTIONS: &[u32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 18, 20, 21, 30, 38, 39,
];
/// REUSEADDR, SNDBUF, RCVBUF, KEEPALIVE, PASSCRED, RCVTIMEO, SNDTIMEO.
const SOCKET_OPTIONS: &[u32] = &[2, 7, 8, 9, 16, 20, 21];

#[rustfmt::skip]
const GUEST: &[Group] = groups! {
    "files: reading and writing what is open": Allow =>
        SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev
        SYS_lseek SYS_sendfile SYS_copy_file_range SYS_close SYS_close_range SYS_dup SYS_dup3
        SYS_fsync SYS_fdatasync SYS_ftruncate SYS_truncate SYS_fallocate;
    "files: paths, inside the private root": Allow =>
        SYS_openat SYS_newfstatat SYS_fstat SYS_statx SYS_faccessat SYS_faccessat2 SYS_getdents64
        SYS_getcwd SYS_chdir SYS_fchdir SYS_mkdirat SYS_unlinkat SYS_linkat
        SYS_symlinkat SYS_readlinkat SYS_fchmod SYS_fchmodat SYS_fchmodat2 SYS_utimensat SYS_umask;
    "waiting on descriptors": Allow =>
        SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2
        SYS_eventfd2 SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime SYS_signalfd4;
    "memory": Allow =>
        SYS_brk SYS_munmap SYS_mremap SYS_mprotect SYS_msync SYS_mlock SYS_munlock SYS_mlock2
        SYS_munlockall SYS_membarrier;
    "processes and threads, bounded by the control group": Allow =>
        SYS_execve SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_set_tid_address
        SYS_set_robust_list SYS_get_robust_list SYS_rseq SYS_futex_waitv SYS_kill
        SYS_tkill SYS_tgkill SYS_setsid SYS_setpgid SYS_sched_yield SYS_restart_syscall;
    "signals of its own processes": Allow =>
        SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait
        SYS_rt_sigsuspend SYS_sigaltstack;
    "questions about itself": Allow =>
        SYS_getpid SYS_getppid SYS_gettid SYS_getpgid SYS_getsid SYS_getuid SYS_geteuid SYS_getgid
        SYS_getegid SYS_getresuid SYS_getresgid SYS_getgroups SYS_getrusage SYS_times SYS_getcpu
        SYS_capget SYS_getpriority SYS_sched_getaffinity SYS_sched_getparam SYS_sched_getscheduler
        SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_rr_get_interval
        SYS_getrlimit SYS_setrlimit SYS_uname;
    "libc asks it for the number of memory pages and ignores refusals": Allow => SYS_sysinfo;
    "clocks and timers": Allow =>
        SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday
        SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime SYS_timer_gettime
        SYS_timer_getoverrun SYS_timer_delete;
    "randomness": Allow => SYS_getrandom;
    "talking over a socketpair; there is no other socket": Allow =>
        SYS_recvfrom SYS_recvmsg SYS_recvmmsg SYS_shutdown SYS_getsockname SYS_getpeername;

    "a rename may leave a device where the file was": When(&[no_bit_of(4, RENAME_WHITEOUT)], EINVAL) =>
        SYS_renameat2;
    "a pipe for the kernel's notices is another kernel surface": When(&[no_bit_of(1, O_NOTIFICATION_PIPE)], EINVAL) =>
        SYS_pipe2;
    "no locks that lend priority: their bookkeeping has a history": When(&[one_of(1, FUTEXES)], ENOSYS) =>
        SYS_futex;
    "nothing is sent to an address, out of line, or to open a connection by it": When(&[no_bit_of(3, !SEND_FLAGS), one_of(5, &[0])], EOPNOTSUPP) =>
        SYS_sendto;
    "descriptors on their way are counted by user, across sandboxes, and hide from limits": Deny(EPERM) =>
        SYS_sendmsg SYS_sendmmsg;
    "sockets are numbered across sandboxes; no handles on processes": When(&[one_of(1, SOL_SOCKET), one_of(2, SOCKET_QUESTIONS)], ENOPROTOOPT) => SYS_getsockopt;
    "threads and forks, but no new namespaces": When(&[no_bit_of(0, NEW_NAMESPACES)], EPERM) =>
        SYS_clone;
    "its flags lie behind a pointer; libc falls back to clone": Deny(ENOSYS) => SYS_clone3;
    "no network, and sockets of some families are in no namespace": Deny(EAFNOSUPPORT) =>
        SYS_socket;
    "event loops wake themselves through one; datagrams could be addressed to others": When(&[one_of(0, AF_UNIX), one_of(1, CONNECTED)], EAFNOSUPPORT) =>
        SYS_socketpair;
    "buffers and time-outs; no filters, which are programs for the kernel": When(&[one_of(1, SOL_SOCKET), one_of(2, SOCKET_OPTIONS)], ENOPROTOOPT) => SYS_setsockopt;
    "no addresses: a socketpair is connected already": Deny(EPERM) =>
        SYS_bind SYS_listen SYS_accept SYS_accept4 SYS_connect;
    "terminal questions and flags; no terminal injection": When(&[one_of(1, IOCTLS)], ENOTTY) =>
        SYS_ioctl;
    "no leases or notices, which cross sandboxes": When(&[one_of(1, FCNTLS)], EPERM) => SYS_fcntl;
    "whole-file locks are a channel wherever an inode is shared": Deny(ENOTSUP) => SYS_flock;
    "names only; every other option is a privilege": When(&[one_of(0, PRCTLS)], EPERM) =>
        SYS_prctl;
    "only its own limits": When(&[one_of(0, &[0])], EPERM) => SYS_prlimit64;
    "huge pages escape the memory limit": When(&[no_bit_of(3, MAP_HUGETLB)], ENOMEM) => SYS_mmap;
    "a file in memory can be executed, whatever mounts say": Deny(EPERM) => SYS_memfd_create;
    "no merging, which is a channel; no cache eviction": When(&[one_of(2, ADVICE)], EINVAL) =>
        SYS_madvise;
    "no switching off of address randomness": When(&[one_of(0, PERSONALITIES)], EPERM) =>
        SYS_personality;

    "namespaces, mounts and roots": Deny(EPERM) =>
        SYS_unshare SYS_setns SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_open_tree
        SYS_move_mount SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick SYS_mount_setattr;
    "other processes' memory and descriptors": Deny(EPERM) =>
        SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise
        SYS_process_mrelease SYS_pidfd_open SYS_pidfd_send_signal SYS_pidfd_getfd SYS_kcmp
        SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo;
    "keyrings are shared by user id and outlive a run": Deny(EPERM) =>
        SYS_add_key SYS_request_key SYS_keyctl;
    "large kernel surfaces with a history": Deny(EPERM) =>
        SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_io_uring_setup SYS_io_uring_enter
        SYS_io_uring_register SYS_vmsplice SYS_splice SYS_tee SYS_remap_file_pages;
    "the host itself": Deny(EPERM) =>
        SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_kexec_file_load
        SYS_reboot SYS_swapon SYS_swapoff SYS_acct SYS_quotactl SYS_quotactl_fd SYS_syslog
        SYS_settimeofday SYS_clock_settime SYS_clock_adjtime SYS_adjtimex SYS_sethostname
        SYS_setdomainname SYS_vhangup SYS_nfsservctl SYS_lookup_dcookie SYS_sync SYS_syncfs
        SYS_sync_file_range;
    "file handles walk past paths": Deny(EPERM) =>
        SYS_name_to_handle_at SYS_open_by_handle_at;
    "watches on shared files see neighbours": Deny(EPERM) =>
        SYS_fanotify_init SYS_fanotify_mark SYS_inotify_init1 SYS_inotify_add_watch
        SYS_inotify_rm_watch;
    "the page cache tells what neighbours read": Deny(EPERM) =>
        SYS_mincore SYS_fadvise64 SYS_readahead;
    "one of their flags asks the page cache": Deny(ENOSYS) => SYS_preadv2 SYS_pwritev2 SYS_openat2;
    "the free space of a host disk is the host's business": Deny(ENOSYS) => SYS_statfs SYS_fstatfs;
    "device nodes, owners and other identities": Deny(EPERM) =>
        SYS_mknodat SYS_fchown SYS_fchownat SYS_setuid SYS_setgid SYS_setreuid SYS_setregid
        SYS_setresuid SYS_setresgid SYS_setfsuid SYS_setfsgid SYS_setgroups SYS_capset;
    "attributes are kernel memory outside the file limits": Deny(ENOTSUP) =>
        SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_removexattr SYS_lremovexattr
        SYS_fremovexattr;
    "no rule of Landlock looks at who reads attributes by their path": Deny(ENOTSUP) =>
        SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr SYS_llistxattr SYS_flistxattr;
    "shared memory, semaphores and queues outside the file system": Deny(EPERM) =>
        SYS_shmget SYS_shmat SYS_shmdt SYS_shmctl SYS_semget SYS_semop SYS_semctl SYS_semtimedop
        SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink SYS_mq_timedsend
        SYS_mq_timedreceive SYS_mq_notify SYS_mq_getsetattr;
    "scheduling and memory placement belong to the host": Deny(EPERM) =>
        SYS_sched_setaffinity SYS_sched_setparam SYS_sched_setscheduler SYS_sched_setattr
        SYS_sched_getattr SYS_setpriority SYS_ioprio_set SYS_ioprio_get SYS_mbind SYS_migrate_pages
        SYS_move_pages SYS_set_mempolicy SYS_get_mempolicy SYS_set_mempolicy_home_node
        SYS_mlockall;
    "memory that hides from the kernel's own accounting": Deny(EPERM) => SYS_memfd_secret;
    "the walls themselves": Deny(EPERM) =>
        SYS_seccomp SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self;
    "programs are run by path, where Landlock looks": Deny(EPERM) => SYS_execveat;
};

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const GUEST_LEGACY: &[Group] = groups! {
    "older spellings of calls allowed above": Allow =>
        SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_poll SYS_select SYS_dup2 SYS_pipe
        SYS_fork SYS_vfork SYS_getdents SYS_mkdir SYS_rmdir SYS_unlink SYS_rename SYS_renameat
        SYS_link SYS_symlink SYS_readlink SYS_chmod SYS_utime SYS_utimes SYS_futimesat
        SYS_epoll_create SYS_epoll_wait SYS_epoll_ctl_old SYS_epoll_wait_old SYS_eventfd
        SYS_signalfd SYS_alarm SYS_pause SYS_time SYS_getpgrp;
    "thread-local storage; no shadow stacks": When(&[one_of(0, &[0x1001, 0x1002, 0x1003, 0x1004])], EINVAL) => SYS_arch_prctl;
    "older spellings of calls refused above": Deny(EPERM) =>
        SYS_mknod SYS_chown SYS_lchown SYS_inotify_init SYS_uselib SYS_ustat SYS_sysfs
        SYS__sysctl;
    "ports and segments of the processor": Deny(EPERM) =>
        SYS_iopl SYS_ioperm SYS_modify_ldt;
};

#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
const GUEST_LEGACY: &[Group] = groups! {
    "older spelling of a call allowed above": Allow => SYS_renameat;
};

/// What differs for a guest with a gateway. Its network holds nothing but that
/// gateway, and Landlock knows the port.
#[rustfmt::skip]
pub(crate) const CLIENT: &[Group] = groups! {
    "a client of the gateway opens TCP connections, of version 4 and no other kind": When(&[one_of(0, AF_INET), one_of(1, STREAMS), one_of(2, TCP)], EAFNOSUPPORT) =>
        SYS_socket;
    "a client connects; nobody else is in its network": Allow => SYS_connect;
    "a client also says how long to wait and to send at once": When(&[one_of(1, LEVELS), one_of(2, CLIENT_OPTIONS)], ENOPROTOOPT) => SYS_setsockopt;
    "a client may ask what it may say": When(&[one_of(1, LEVELS), one_of(2, CLIENT_QUESTIONS)], ENOPROTOOPT) => SYS_getsockopt;
};

/// What differs for a guest with a terminal.
#[rustfmt::skip]
pub(crate) const TERMINAL: &[Group] = groups! {
    "a shell sets the modes of its terminal and who reads from it; still no terminal injection": When(&[one_of(1, TERMINAL_IOCTLS)], ENOTTY) =>
        SYS_ioctl;
};

/// What differs for a zygote and its copies. No guest can trace (see above), so
/// these are open only to the keeper that steers a copy before its first step.
#[rustfmt::skip]
pub(crate) const ZYGOTE: &[Group] = groups! {
    "a copy enters the namespaces of its sandbox": Trace => SYS_setns;
    "a copy becomes the user of its slot and gives up every capability": Trace =>
        SYS_setresuid SYS_setresgid SYS_capset;
    "a copy takes on its Landlock rules": Trace => SYS_landlock_restrict_self;
    "a copy empties its bounding set and locks its secure bits; others lack the capability": When(&[one_of(0, PRCTLS_OF_ZYGOTES)], EPERM) =>
        SYS_prctl;
};

/// What the first process of a container does before its guest is behind a
/// filter of its own: it looks, and takes on the walls of that guest.
#[rustfmt::skip]
pub(crate) const INSIDE: &[Group] = groups! {
    "it looks at how much the places that can be written hold": Allow => SYS_statfs SYS_fstatfs;
    "it gives up capabilities, of which it has none": Allow => SYS_capset;
    "it passes on descriptors, and hands input over in memory": Allow =>
        SYS_sendmsg SYS_memfd_create;
    "it takes on the walls of the guest": Allow =>
        SYS_seccomp SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self;
    "it hides its memory, and gives up what could be gained": When(&[one_of(0, PRCTLS_INSIDE)], EPERM) =>
        SYS_prctl;
};

/// The same for a guest with a gateway, whose port it opens and hands out.
#[rustfmt::skip]
pub(crate) const INSIDE_GATEWAY: &[Group] = groups! {
    "it opens the gateway's port, and hands it to the station": When(&[one_of(0, FAMILIES_INSIDE), one_of(1, SOCKETS_INSIDE), one_of(2, TCP)], EAFNOSUPPORT) =>
        SYS_socket;
    "it listens for the guest": Allow => SYS_bind SYS_listen;
};

/// Those of every guest, and DUMPABLE, NO_NEW_PRIVS, its question, CAP_AMBIENT
/// and SPECULATION_CTRL.
const PRCTLS_INSIDE: &[u32] = &[3, 4, 15, 16, 38, 39, 47, 53, 0x5356_4d41];
const FAMILIES_INSIDE: &[u32] = &[1, 2];
/// Streams, and the sequenced packets that descriptors travel with.
const SOCKETS_INSIDE: &[u32] = &[1, 0x801, 0x8_0001, 0x8_0801, 5, 0x8_0005];

/// The -1 that stands for every process but the caller and the first.
const EVERYONE: u32 = u32::MAX;

/// What pid 1 of a sandbox does for the rest of its life: wait and report.
#[rustfmt::skip]
pub(crate) const INIT: &[Group] = groups! {
    "wait for children, or for nothing": Allow => SYS_wait4 SYS_ppoll;
    "end all others inside": When(&[one_of(0, &[EVERYONE])], EPERM) => SYS_kill;
    "know that it is the first process": Allow => SYS_getpid;
    "report the end of the worker": Allow => SYS_sendto SYS_exit_group SYS_exit;
    "encode the report": Allow =>
        SYS_brk SYS_mmap SYS_munmap SYS_mremap SYS_madvise SYS_rt_sigreturn
        SYS_restart_syscall SYS_close;
};
