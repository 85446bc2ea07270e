"""Neighbours: tries to tell something to a run that lives at the same time."""

import fcntl
import socket
import threading

NAME = f"nearby-{MARK}"
KEY = 0x5EEE0000 + MARK % 65536
PORT = 20000 + MARK % 10000
SHARED = os.__file__
# Not the same file, since closing any copy of a file drops its record locks.
LOCKED = json.__file__
KEPT = []


def tells(name, plant, look):
    attempt(name, part="plant")(plant)
    attempt(name, part="look")(look)


def lock(path):
    def plant():
        file = open(path, "rb")
        KEPT.append(file)
        fcntl.lockf(file, fcntl.LOCK_SH, 1, 7)
        return f"holds a read lock on {path}"

    def look():
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 7, 1, 0)
        with open(path, "rb") as file:
            found = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))
        return f"sees a lock of {found[4]}" if found[0] != fcntl.F_UNLCK else None

    return plant, look


tells("a record lock on a file of the runtime", *lock(LOCKED))
def whose_nodes_are_own(plant, look):
    def own():
        if ARGUMENTS.get("ordinary_user"):
            raise Skipped("an ordinary user makes no device nodes; its guests share the host's")
        return look()

    return plant, own


tells("a record lock on a device", *whose_nodes_are_own(*lock("/dev/null")))
tells("a record lock on the data", *lock(PLACES["data"] + "/rows.csv"))


def plant_owned():
    file = open(SHARED, "rb")
    KEPT.append(file)
    fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 9, 1, 0))
    return "holds an open file lock"


def look_owned():
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 9, 1, 0)
    with open(SHARED, "rb") as file:
        found = struct.unpack("hhqqi4x", fcntl.fcntl(file, 36, asked))
    return "sees it" if found[0] != fcntl.F_UNLCK else None


tells("a lock of an open file", plant_owned, look_owned)


def plant_flock():
    file = open(SHARED, "rb")
    KEPT.append(file)
    fcntl.flock(file, fcntl.LOCK_SH)
    return "holds a flock"


def look_flock():
    with open(SHARED, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "sees it"


tells("a lock on a whole file", plant_flock, look_flock)


def plant_reader():
    def read():
        while True:
            with open(SHARED, "rb") as file:
                file.read(1)
            time.sleep(0.02)

    threading.Thread(target=read, daemon=True).start()
    return "reads a file of the runtime again and again"


def look_reader():
    import select

    watch = raw(294, 0o4000)
    try:
        raw(254, watch, SHARED.encode(), 0x21)
        return "sees it read" if select.select([watch], [], [], 2)[0] else None
    finally:
        os.close(watch)


tells("a read of a file of the runtime", plant_reader, look_reader)


def look_lease():
    with open(SHARED, "rb") as file:
        try:
            fcntl.fcntl(file, 1024, fcntl.F_WRLCK)
        except BlockingIOError:
            return "told that another has it open"


def plant_open():
    KEPT.append(open(SHARED, "rb"))
    return "has it open"


tells("a file that is open, by a lease", plant_open, look_lease)


def plant_abstract():
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0" + NAME)
    server.listen()
    KEPT.append(server)
    return "listens"


def look_abstract():
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\0" + NAME)
        return "connected"


tells("a socket by an abstract name", plant_abstract, look_abstract)


def plant_port():
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", PORT))
    server.listen()
    KEPT.append(server)
    return "listens"


def look_port():
    with socket.create_connection(("127.0.0.1", PORT), timeout=2):
        return "connected"


tells("a port of the loopback", plant_port, look_port)


def plant_memory():
    number = raw(29, KEY, 4096, 0o1666)
    return f"segment {number}"


def look_memory():
    number = raw(29, KEY, 0, 0)
    if "control" in ARGUMENTS:
        raw(31, number, 0, 0)
    return f"segment {number}"


tells("shared memory by a number", plant_memory, look_memory)


def plant_file():
    for place in ("tmp", "shm", "out"):
        with open(f"{PLACES[place]}/{NAME}", "w") as file:
            file.write("x")
    return "wrote files"


def look_file():
    for place in ("tmp", "shm", "out"):
        path = f"{PLACES[place]}/{NAME}"
        if os.path.exists(path):
            if "control" in ARGUMENTS:
                os.unlink(path)
            return f"sees {path}"


tells("a file where it may write", plant_file, look_file)


def plant_name():
    LIBC.prctl(15, NAME.encode(), 0, 0, 0)
    return "has a name that tells"


def look_name():
    for one in os.listdir("/proc"):
        try:
            with open(f"/proc/{one}/comm") as file:
                if file.read().strip() == NAME[:15] and int(one) != os.getpid():
                    return f"sees process {one}"
        except (OSError, ValueError):
            continue


tells("the name of a process", plant_name, look_name)


def plant_key():
    return f"key {raw(248, b'user', NAME.encode(), b'left', 4, -4)}"


def look_key():
    number = raw(250, 10, -4, b"user", NAME.encode(), 0)
    if "control" in ARGUMENTS:
        raw(250, 21, number)
    return f"key {number}"


tells("a key in the keyring of its user", plant_key, look_key)

main()
