"""Processes: tries to see, signal, trace or alter what runs outside."""

import fcntl
import signal


@attempt("learn that a process of the host exists")
def _():
    try:
        os.kill(planted("pid"), 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return "refused, and so told that it is there"
    return "signalled it"


@attempt("read the environment of a process of the host")
def _():
    with open(f"/proc/{planted('pid')}/environ", "rb") as file:
        return f"read {len(file.read())} bytes"


@attempt("signal the first process of its sandbox")
def _():
    os.kill(1, 0)
    version = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    if version < (6, 12):
        raise Skipped("Landlock knows no signals before 6.12; the first process ignores them")
    return "may signal process 1"


@attempt("see the first process of its sandbox in /proc")
def _():
    os.stat("/proc/1/status")
    return "sees process 1"


@attempt("count processes that are not its own")
def _():
    found = [one for one in os.listdir("/proc") if one.isdigit() and int(one) != os.getpid()]
    return f"{len(found)} others, such as {found[:3]}" if found else None


@attempt("see that its number is that of the host")
def _():
    return f"pid {os.getpid()}" if 1000 < os.getpid() or os.getppid() not in (0, 1) else None


@attempt("trace a process of the host")
def _():
    pid = planted("pid")
    # It is let go when this process ends.
    raw(101, 0x4206, pid, 0, 0)
    return "seized it"


@attempt("ask to be traced")
def _():
    pid = os.fork()
    if pid == 0:
        os._exit(0 if reach(101, 0, 0, 0, 0) else 1)
    return "ptrace answered" if os.waitpid(pid, 0)[1] == 0 else None


@attempt("learn how long a process of the host has computed")
def _():
    # The clock of a process, as clock_getcpuclockid(3) makes it of a number.
    spent = time.clock_gettime(~planted("pid") << 3 | 2)
    return f"{spent} s"


@attempt("read the memory of a process of the host")
def _():
    for pid in (planted("pid"), os.getppid()):
        found = reach(310, pid, 0, 0, 0, 0, 0, walls=("EPERM", "ENOSYS", "ESRCH"))
        if found:
            return found


@attempt("take a handle or a descriptor of a process of the host")
def _():
    return reach(434, planted("pid"), 0, walls=("EPERM", "ENOSYS", "ESRCH")) or reach(438, -1, 0, 0)


@attempt("compare itself with a process of the host")
def _():
    return reach(312, os.getpid(), os.getpid(), 0, 0, 0)


@attempt("change the limits of a process of the host")
def _():
    return reach(302, planted("pid"), 7, 0, ctypes.create_string_buffer(16), walls=("EPERM", "ENOSYS", "ESRCH"))


@attempt("signal by a queue, where filters forget to look")
def _():
    return reach(129, os.getpid(), 0, 0) or reach(297, os.getpid(), os.getpid(), 0, 0)


@attempt("push keystrokes into a terminal")
def _():
    for number in range(4):
        for request in (0x5412, 0x541C, 0x100005412, 0x10000541C):
            found = reach(16, number, request, b"x", walls=("ENOTTY", "EPERM", "EIO", "EBADF"))
            if found:
                return f"ioctl({request:#x}): {found}"
    leader, follower = os.openpty()
    os.close(leader)
    os.close(follower)
    return "there are terminals"


@attempt("ask a device driver by an unlisted ioctl")
def _():
    # FIGETBSZ and FIOASYNC, which every file answers.
    return reach(16, 0, 2, 0, walls=("ENOTTY",)) or reach(16, 0, 0x5452 | 1 << 32, 0, walls=("ENOTTY",))


@attempt("send a signal by the owner of a descriptor")
def _():
    pipe = os.pipe()
    fcntl.fcntl(pipe[0], 8, os.getpid())
    return "F_SETOWN worked"


@attempt("open the terminal of the station")
def _():
    for path in ("/dev/tty", "/dev/ptmx", "/dev/console"):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_NOCTTY))
            return f"opened {path}"
        except OSError:
            continue


main()
