"""Files: tries to read, change or execute what is not its own."""

import subprocess


def read(path):
    with open(path, "rb") as file:
        return f"read {len(file.read(4096))} bytes of {path}"


def write(path):
    os.close(os.open(path, os.O_WRONLY))
    return f"opened {path} for writing"


def sort(path):
    found = sorted(os.listdir(path))
    return f"{path} holds {found[:5]}"


@attempt("read a secret file of the host")
def _():
    return read(planted("file"))


@attempt("read the host's passwords")
def _():
    return read("/etc/shadow")


@attempt("list the homes of the host")
def _():
    return sort("/root")


@attempt("walk above its root")
def _():
    for path in ["/..", "/../..", "/proc/self/root/..", "/proc/self/cwd/../../.."]:
        try:
            if os.path.exists(path + planted("file")) or "boot" in os.listdir(path):
                return f"{path} is the host's root"
        except OSError:
            continue


@attempt("change the interpreter's library")
def _():
    return write(os.__file__)


@attempt("change a program of the runtime")
def _():
    return write("/usr/bin/env")


@attempt("change the file of users")
def _():
    return write("/etc/passwd")


@attempt("change its own code")
def _():
    path = PLACES["function"] + "/main.py"
    return write(path)


@attempt("change its input")
def _():
    if not os.path.isdir(PLACES["data"]):
        raise Skipped("there is no input")
    return write(PLACES["data"] + "/rows.csv")


@attempt("write into the root folder")
def _():
    path = "/hostile-mark"
    with open(path, "w"):
        os.unlink(path)
    return "made a file in /"


@attempt("open the memory or the log of the kernel")
def _():
    for path in ["/dev/mem", "/dev/kmsg", "/dev/port", "/proc/kcore", "/proc/kmsg"]:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            return f"opened {path}"
        except OSError:
            continue


@attempt("find a device beyond the five")
def _():
    allowed = {"null", "zero", "full", "random", "urandom", "shm", "fd", "stdin", "stdout", "stderr"}
    found = sorted(set(os.listdir("/dev")) - allowed)
    return f"/dev holds {found[:5]}" if found else None


@attempt("change a setting of the kernel")
def _():
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/kernel/mm/ksm/run"):
        try:
            return write(path)
        except OSError:
            continue


@attempt("read settings and tables of the kernel in /proc")
def _():
    for path in ["sys/kernel/osrelease", "kallsyms", "meminfo", "keys", "timer_list", "sched_debug", "cpuinfo"]:
        if os.path.exists("/proc/" + path):
            return read("/proc/" + path)


@attempt("read what the host's networks count")
def _():
    if ARGUMENTS.get("ordinary_user"):
        raise Skipped("no ordinary user owns these files, and none can close them")
    for name in ("softnet_stat", "sockstat", "sockstat6", "protocols", "unix"):
        try:
            return read("/proc/self/net/" + name)
        except OSError:
            continue


@attempt("look at the devices and modules in /sys")
def _():
    return sort("/sys")


@attempt("find the control groups")
def _():
    return sort("/sys/fs/cgroup")


@attempt("learn where it lies in the host's control groups")
def _():
    for line in open("/proc/self/cgroup"):
        path = line.strip().split(":", 2)[2]
        if "slot-" in path or "control" in ARGUMENTS:
            return f"lies in {path}"


@attempt("learn paths of the host from its mounts")
def _():
    text = open("/proc/self/mountinfo").read()
    if planted("folder") in text or " /sys/" in text:
        return "mountinfo names folders of the host"


@attempt("reach a service by its socket file")
def _():
    found = [path for path in ["/run", "/var/run/docker.sock", planted("socket")] if os.path.exists(path)]
    return f"{found[0]} exists" if found else None


@attempt("run a program that it wrote")
def _():
    for place in ("tmp", "out", "shm"):
        path = PLACES[place] + "/hostile-program"
        try:
            with open(path, "w") as file:
                file.write("#!/bin/sh\nexit 0\n")
            os.chmod(path, 0o755)
            if subprocess.run([path]).returncode == 0:
                return f"ran {path}"
        except OSError:
            continue
        finally:
            if os.path.exists(path):
                os.unlink(path)


@attempt("run a program that it wrote through the loader")
def _():
    path = PLACES["tmp"] + "/hostile-true"
    with open("/usr/bin/true", "rb") as program, open(path, "wb") as copy:
        copy.write(program.read())
    try:
        done = subprocess.run(["/lib64/ld-linux-x86-64.so.2", path], capture_output=True)
        return "the loader ran it" if done.returncode == 0 else None
    finally:
        os.unlink(path)


@attempt("run a program that it wrote into a file in memory")
def _():
    with open("/usr/bin/true", "rb") as program:
        file = os.memfd_create("hostile")
        os.write(file, program.read())
    path = f"/proc/self/fd/{file}"
    for command in ([path], ["/lib64/ld-linux-x86-64.so.2", path]):
        try:
            if subprocess.run(command, pass_fds=[file], capture_output=True).returncode == 0:
                return f"{command} ran it"
        except OSError:
            continue
    return "there are files in memory"


@attempt("leave a device where a file was")
def _():
    for place in ("tmp", "out", "shm"):
        path = PLACES[place] + "/hostile-renamed"
        with open(path, "w"):
            pass
        try:
            raw(316, -100, path.encode(), -100, path.encode() + b"-now", 4)
            return f"{path} is of mode {os.lstat(path).st_mode:o}"
        except OSError:
            continue
        finally:
            for one in (path, path + "-now"):
                if os.path.lexists(one):
                    os.unlink(one)


@attempt("make a set-user-id file and run it")
def _():
    path = PLACES["tmp"] + "/hostile-suid"
    with open("/usr/bin/id", "rb") as program, open(path, "wb") as copy:
        copy.write(program.read())
    try:
        os.chmod(path, 0o4755)
        done = subprocess.run([path, "-u"], capture_output=True)
        return f"ran as {done.stdout}" if done.returncode == 0 else None
    finally:
        os.unlink(path)


def link(place):
    path = PLACES[place] + "/hostile-link"
    os.symlink("/etc", path)
    os.unlink(path)
    return f"made a symbolic link in {PLACES[place]}"


@attempt("make a symbolic link where it may write")
def _():
    return link("tmp")


@attempt("make a symbolic link in its output")
def _():
    return link("out")


@attempt("follow a symbolic link where it may write")
def _():
    target, path = PLACES["tmp"] + "/hostile-target", PLACES["tmp"] + "/hostile-follow"
    with open(target, "w"):
        os.symlink(target, path)
    try:
        with open(path):
            return "followed it"
    finally:
        os.unlink(path)
        os.unlink(target)


@attempt("make a pipe with a name in its output")
def _():
    path = PLACES["out"] + "/hostile-pipe"
    os.mkfifo(path)
    os.unlink(path)
    return "made a FIFO"


@attempt("open a file by its handle, past all paths")
def _():
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128), 136)
    mount = ctypes.c_int()
    return reach(303, -100, b"/", handle, ctypes.byref(mount), 0) or reach(304, -1, handle, 0)


@attempt("change its sealed input")
def _():
    with open("/proc/self/fd/0", "r+b") as file:
        file.write(b"x")
        return "wrote into descriptor 0"


@attempt("hold a descriptor beyond its four")
def _():
    standing = []
    for number in range(4, 1024):
        try:
            os.fstat(number)
            standing.append(number)
        except OSError:
            continue
    if "control" in ARGUMENTS:
        standing.append(os.open("/", os.O_RDONLY))
    return f"descriptors {standing}" if standing else None


main()
