"""Privilege: tries to become more than one plain user."""

import subprocess


def shell(command):
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=10)
    return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


@attempt("become root by setuid")
def _():
    os.setuid(0)
    return f"uid {os.getuid()}"


@attempt("become root by setresuid and setresgid")
def _():
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    return f"ids {os.getresuid()} {os.getresgid()}"


@attempt("join the group of shadow")
def _():
    os.setgroups([42])
    return f"groups {os.getgroups()}"


@attempt("hold any capability")
def _():
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    raw(125, header, data)
    held = [hex(one) for one in data if one]
    return f"capability sets {held}" if held else None


@attempt("hold a capability in the bounding set")
def _():
    for line in open("/proc/self/status"):
        if line.startswith("CapBnd") and int(line.split()[1], 16):
            return line.strip()


@attempt("set its capabilities, even to what they are")
def _():
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    raw(125, header, data)
    return reach(126, header, data)


@attempt("run a set-user-id program")
def _():
    code, said = shell("su -c 'id -u' root </dev/null")
    return f"su says {said!r}" if code == 0 and "0" in said.split() else None


@attempt("mount a file system with the host's mount program")
def _():
    code, said = shell("mount -t tmpfs none /mnt && umount /mnt")
    return "mounted" if code == 0 else None


@attempt("make a device node")
def _():
    path = PLACES["tmp"] + "/hostile-node"
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
    os.unlink(path)
    return "made the node of a character device"


@attempt("give a file to root")
def _():
    path = PLACES["tmp"] + "/hostile-owner"
    with open(path, "w"):
        os.chown(path, 0, 0)
    os.unlink(path)
    return "the file belongs to root"


@attempt("change its root by chroot")
def _():
    pid = os.fork()
    if pid == 0:
        try:
            os.chroot("/usr")
        except OSError:
            os._exit(1)
        os._exit(0)
    return "chroot worked" if os.waitpid(pid, 0)[1] == 0 else None


@attempt("raise a resource limit")
def _():
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        limit("NOFILE", most + 1)
    except PermissionError:
        if "control" in ARGUMENTS:
            raise Skipped("not even root may, here") from None
        raise
    return f"more than {most} descriptors"


@attempt("have no limit on the size of a core dump or of locked memory")
def _():
    import resource

    for name, most in [("CORE", 1), ("MEMLOCK", 65536), ("NOFILE", 256), ("MSGQUEUE", 0)]:
        found = resource.getrlimit(getattr(resource, "RLIMIT_" + name, 12))[1]
        if found == resource.RLIM_INFINITY or most < found:
            return f"{name} {found}"


@attempt("choose how it is scheduled")
def _():
    return reach(144, 0, 3, struct.pack("i", 0))


@attempt("move itself to a processor")
def _():
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    return "affinity set"


@attempt("switch off address randomness")
def _():
    was = raw(135, 0x0040000)
    raw(135, was)
    return "personality changed"


@attempt("allow a tracer, a subreaper, merging or new secure bits by prctl")
def _():
    for option, value in [(36, 1), (4, 1), (0x59616D61, -1), (67, 1), (28, 0), (53, 0), (26, 1)]:
        found = reach(157, option, value, 0, 0, 0)
        if found:
            return f"prctl({option}): {found}"


@attempt("undo no-new-privileges or its filter")
def _():
    for line in open("/proc/self/status"):
        if line.startswith("NoNewPrivs") and line.split()[1] == "0":
            return "new privileges are possible"


main()
