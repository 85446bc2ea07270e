"""Kernel interfaces: asks, with harmless arguments, whether each can be reached.

Any answer but that of a wall means that the kernel's own code has looked.
"""

BAD = -1


WALLS = ("EPERM", "ENOSYS", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOLCK")


def asks(name, *calls):
    @attempt(name)
    def _():
        for number, *arguments in calls:
            found = reach(number, *arguments, walls=WALLS)
            if found:
                return f"call {number}: {found}"
        if "control" in ARGUMENTS and all(lacking(*call) for call in calls):
            raise Skipped("this kernel has none of them")


def lacking(number, *arguments):
    return reach(number, *arguments, walls=("ENOSYS",)) is None


asks("leave its namespaces", (272, 0x200), (308, BAD, 0))
asks("mount by the old calls", (165, 0, 0, 0, 0, 0), (166, 0, 0), (155, 0, 0))
asks("mount by the new calls", (428, BAD, 0, 0), (429, BAD, 0, BAD, 0, 0), (430, 0, 0), (431, BAD, 0, 0, 0, 0),
     (432, BAD, 0, 0), (433, BAD, 0, 0), (442, BAD, 0, 0, 0, 0))
asks("open io_uring", (425, 8, 0), (426, BAD, 0, 0, 0, 0, 0), (427, BAD, 0, 0, 0))
asks("load a program into the kernel", (321, 0, 0, 0))
asks("count events of the processor", (298, 0, 0, 0, 0, 0))
asks("handle its own page faults", (323, BAD))
asks("keep a key in the kernel", (248, 0, 0, 0, 0, 0), (249, 0, 0, 0, 0), (250, 0, -3, 0, 0, 0))
asks("load or remove a module", (175, 0, 0, 0), (313, BAD, 0, 0), (176, 0, 0))
asks("start another kernel or reboot", (246, 0, 99, 0, BAD), (320, BAD, BAD, 0, 0, 0), (169, 0, 0, 0, 0))
asks("change swap, quotas or accounting", (167, 0, 0), (168, 0), (179, 0, 0, 0, 0), (443, BAD, 0, 0, 0))
asks("read the kernel's log", (103, 10, 0, 0))
asks("set the clock", (164, 0, 0), (227, 0, 0), (305, 0, 0), (159, 0))
asks("flush the host's disks", (306, BAD), (277, BAD, 0, 0, 0), (162,))
asks("splice pages between pipes", (275, BAD, 0, BAD, 0, 0, 0), (276, BAD, BAD, 0, 0), (278, BAD, 0, 0, 0))
asks("rearrange pages of a file", (216, 0, 0, 0, 0, 0))
asks("watch files by fanotify or inotify", (300, 0, 0), (301, BAD, 0, 0, BAD, 0), (294, 0), (253,), (254, BAD, 0, 0), (255, BAD, 0))
asks("ask which pages are in memory", (27, 0, 0, 0), (221, BAD, 0, 0, 0), (187, BAD, 0, 0), (451, BAD, 0, 0, 0))
asks("read only if it is in memory", (327, BAD, 0, 0, 0, 0, 0), (328, BAD, 0, 0, 0, 0, 0))
asks("open with rules of its own", (437, BAD, 0, 0, 0))
asks("learn how full the host's disk is", (137, b"/usr", ctypes.create_string_buffer(256)), (138, BAD, 0))
asks("change identities, even to its own", (105, os.getuid()), (106, os.getgid()), (117, -1, -1, -1), (122, -1))
asks("keep attributes of files in kernel memory", (188, 0, 0, 0, 0, 0), (190, BAD, 0, 0, 0, 0), (197, 0, 0))
asks("read attributes of a file of the host", (191, b"/usr", b"user.hostile", 0, 0), (192, b"/usr", b"user.hostile", 0, 0),
     (193, BAD, b"user.hostile", 0, 0), (194, b"/usr", 0, 0), (195, b"/usr", 0, 0), (196, BAD, 0, 0))
asks("share memory by a number", (29, 0, 0, 0o1600), (30, BAD, 0, 0), (31, BAD, 0, 0))
asks("share semaphores by a number", (64, 0, BAD, 0o1600), (65, BAD, 0, 0), (66, BAD, 0, 0, 0))
asks("share messages by a number", (68, 0x7FFFFFFF, 0), (69, BAD, 0, 0, 0), (71, BAD, 0, 0))
asks("share a queue by a name", (240, b"hostile", 0, 0, 0), (241, b"hostile"), (245, BAD, 0, 0))
asks("place memory on nodes or processors", (237, 0, 0, 0, 0, 0, 0), (239, 0, 0, 0, 0, 0), (238, 99, 0, 0), (279, 0, 0, 0, 0, 0, 0))
asks("change how it is scheduled", (142, 0, 0), (314, 0, 0, 0), (315, 0, 0, 0, 0), (141, 99, 0, 0), (251, 99, 0, 0))
asks("lock all of its memory", (151, 99))
asks("hide memory from the kernel", (447, 99))
asks("put a filter or rules of its own over the walls", (317, 99, 0, 0), (444, 0, 0, 1), (446, BAD, 0))
asks("run a program by its descriptor", (322, BAD, 0, 0, 0, 0))
asks("use the older spellings", (133, 0, 0o100600, 0), (92, 0, 0, 0), (139, 1, 0), (136, 0, 0))
asks("use ports and segments of the processor", (172, 0), (173, 0, 0, 0), (154, 0, 0, 0))
asks("make a process by the call whose flags are hidden", (435, 0, 0))
asks("call by a number of the other 64-bit world", (0x40000000 | 39,), (0x40000200,))
asks("hold a lock that lends its priority", (202, ctypes.create_string_buffer(8), 6 | 128, 0, 0, 0, 0),
     (202, ctypes.create_string_buffer(8), 8 | 1 << 32, 0, 0, 0, 0))


@attempt("make a pipe for the kernel's notices")
def _():
    return reach(293, ctypes.create_string_buffer(8), 0x80, walls=("EINVAL", "EPERM"))


@attempt("put a descriptor on its way and leave it there")
def _():
    import socket

    one, other = socket.socketpair()
    with one, other:
        socket.send_fds(one, [b"x"], [0])
        return "it is counted for its user, and by no limit of the run"


@attempt("send a byte out of line")
def _():
    import socket

    one, other = socket.socketpair()
    with one, other:
        return f"sent {one.send(b'x', socket.MSG_OOB)}"


@attempt("ask a socket for its number on the host, or for a handle on a process")
def _():
    import socket

    one, other = socket.socketpair()
    with one, other:
        for option in (57, 71, 77):
            try:
                return f"option {option} says {one.getsockopt(1, option, 8).hex()}"
            except OSError as error:
                if error.errno != errno.ENOPROTOOPT:
                    return f"option {option}: {error}"


asks("talk by addresses", (49, BAD, 0, 0), (50, BAD, 0), (43, BAD, 0, 0), (288, BAD, 0, 0, 0), (42, BAD, 0, 0))


@attempt("make a namespace while making a process")
def _():
    for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000):
        pid = LIBC.syscall(56, ctypes.c_long(flag | 17), 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        if 0 < pid:
            os.waitpid(pid, 0)
            return f"flag {flag:#x}"


@attempt("take a lease on a file, or be told of its changes")
def _():
    with open(PLACES["tmp"] + "/hostile-lease", "w") as file:
        os.unlink(file.name)
        for command, value in ((1024, 1), (1026, 0), (1024 | 1 << 32, 1)):
            found = reach(72, file.fileno(), command, value)
            if found:
                return f"fcntl({command}): {found}"


@attempt("lock a whole file")
def _():
    import fcntl

    with open(PLACES["tmp"] + "/hostile-flock", "w") as file:
        os.unlink(file.name)
        fcntl.flock(file, fcntl.LOCK_EX)
        return "locked"


@attempt("map huge pages")
def _():
    # Of the second size there are none, which only the kernel knows.
    for flags in (0x40022, 0x40022 | 63 << 26):
        found = reach(9, 0, 2 << 20, 3, flags, -1, 0, walls=("ENOMEM",))
        if found:
            return found


@attempt("give its pages for merging, or push others out of memory")
def _():
    import mmap

    memory = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for advice in (12, 20, 21, 25):
        found = reach(28, address, 4096, advice, walls=("EINVAL", "EPERM"))
        if found:
            return f"advice {advice}: {found}"


@attempt("hold a shadow stack or another base by arch_prctl")
def _():
    for code in (0x5001, 0x1011, 0x1012, 0x1022):
        found = reach(158, code, 0, walls=("EINVAL",))
        if found:
            return f"code {code:#x}: {found}"


@attempt("set another process's limits by its number")
def _():
    # A parent outside of what it sees has no number, and 0 means itself.
    return reach(302, os.getppid() or 1, 7, 0, 0, walls=("EPERM", "ENOSYS", "ESRCH"))


@attempt("enter by the 32-bit door", ends=["signal 31", "failed"])
def _():
    import mmap

    page = mmap.mmap(-1, 4096, prot=7)
    page.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))
    got = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return f"getpid said {got}"


main()
