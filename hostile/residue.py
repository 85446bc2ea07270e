"""Residue: leaves something behind in one run and looks for it in the next."""

NAME = f"residue-{MARK}"
KEY = 0x5EED0000 + MARK % 65536


def leaves(name, plant, look):
    attempt(name, part="plant")(plant)
    attempt(name, part="look")(look)


def file_in(name, folder):
    path = f"{folder}/{NAME}"

    def plant():
        with open(path, "w") as file:
            file.write("left")
        return f"wrote {path}"

    def look():
        with open(path) as file:
            found = file.read()
        if "control" in ARGUMENTS:
            os.unlink(path)
        return found

    leaves(f"a file in {name}", plant, look)


for name in ("tmp", "out", "shm", "function"):
    file_in(name, PLACES[name])
file_in("var/tmp", "/var/tmp")


def plant_compiled():
    folder = os.path.dirname(os.__file__) + "/__pycache__"
    with open(f"{folder}/{NAME}", "w") as file:
        file.write("left")
    return folder


def look_compiled():
    path = os.path.dirname(os.__file__) + f"/__pycache__/{NAME}"
    os.stat(path)
    if "control" in ARGUMENTS:
        os.unlink(path)
    return path


leaves("a compiled module", plant_compiled, look_compiled)


def plant_shared():
    number = raw(29, KEY, 4096, 0o1666)
    return f"segment {number}"


def look_shared():
    number = raw(29, KEY, 0, 0)
    if "control" in ARGUMENTS:
        raw(31, number, 0, 0)
    return f"segment {number}"


leaves("shared memory by a number", plant_shared, look_shared)


def plant_semaphore():
    return f"set {raw(64, KEY, 1, 0o1666)}"


def look_semaphore():
    number = raw(64, KEY, 0, 0)
    if "control" in ARGUMENTS:
        raw(66, number, 0, 0, 0)
    return f"set {number}"


leaves("semaphores by a number", plant_semaphore, look_semaphore)


def plant_message():
    return f"queue {raw(68, KEY, 0o1666)}"


def look_message():
    number = raw(68, KEY, 0)
    if "control" in ARGUMENTS:
        raw(71, number, 0, 0)
    return f"queue {number}"


leaves("messages by a number", plant_message, look_message)


def plant_queue():
    return f"queue {raw(240, NAME.encode(), 0o102, 0o666, 0)}"


def look_queue():
    number = raw(240, NAME.encode(), 0, 0, 0)
    if "control" in ARGUMENTS:
        raw(241, NAME.encode())
    return f"queue {number}"


leaves("a queue by a name", plant_queue, look_queue)


def plant_key():
    return f"key {raw(248, b'user', NAME.encode(), b'left', 4, -4)}"


def look_key():
    number = raw(250, 10, -4, b"user", NAME.encode(), 0)
    if "control" in ARGUMENTS:
        raw(250, 21, number)
    return f"key {number}"


leaves("a key in the keyring of its user", plant_key, look_key)


def plant_process():
    # Out of its group and session, as a daemon does, and deaf to hang-ups.
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            import signal

            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for number in range(3):
                os.close(number)
            LIBC.prctl(15, NAME.encode(), 0, 0, 0)
            time.sleep(30)
        os._exit(0)
    os.waitpid(pid, 0)
    return "left a process"


def look_process():
    for one in os.listdir("/proc"):
        try:
            with open(f"/proc/{one}/comm") as file:
                if file.read().strip() == NAME[:15]:
                    if "control" in ARGUMENTS:
                        os.kill(int(one), 9)
                    return f"process {one}"
        except (OSError, ValueError):
            continue


leaves("a process that goes on", plant_process, look_process)

main()
