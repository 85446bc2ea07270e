"""The pool: tries to stay, to multiply, or to meddle with what keeps it.

Most of these end the run. What must hold is that the run ends, in time and
with its reason, and that nothing of it is left.
"""

import signal
import threading

PROCESSES = LIMITS.get("processes", 64)
LATE = ["timed_out"]
MANY = ["signal 9", "too_many_processes"]
CONTROL = "control" in ARGUMENTS


@attempt("multiply by forking", ends=MANY)
def _():
    born, pipe = [], os.pipe()
    try:
        while len(born) < PROCESSES + 32:
            pid = os.fork()
            if pid == 0:
                os.read(pipe[0], 1)
                os._exit(0)
            born.append(pid)
        time.sleep(0 if CONTROL else 2)
        return f"{len(born)} processes at one time"
    finally:
        for pid in born:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


@attempt("multiply by threads", ends=MANY)
def _():
    gate, born = threading.Event(), []
    threading.stack_size(256 * 1024)
    try:
        while len(born) < PROCESSES + 32:
            one = threading.Thread(target=gate.wait, daemon=True)
            try:
                one.start()
            except RuntimeError as error:
                raise OSError(11, str(error)) from None
            born.append(one)
        time.sleep(0 if CONTROL else 2)
        return f"{len(born)} threads at one time"
    finally:
        gate.set()


@attempt("use more of the processor than it may", ends=["timed_out", "signal 24"])
def _():
    share = LIMITS.get("cpu_milli", 1000) / 1000
    if 0.5 < share:
        raise Skipped("a whole processor is allowed")
    began, children = time.monotonic(), []
    # Many, so that they get their share on a busy host as well.
    for _ in range(8):
        children.append(os.fork())
        if children[-1] == 0:
            while time.monotonic() < began + 2:
                pass
            os._exit(0)
    for pid in children:
        os.waitpid(pid, 0)
    spent = os.times()
    got = (spent.children_user + spent.children_system) / (time.monotonic() - began)
    return f"{got:.2f} of a processor" if 2 * share < got else None


@attempt("go on when its time is over", ends=LATE)
def _():
    time.sleep(10)
    return "went on"


@attempt("sleep for ever, deaf to signals", ends=LATE)
def _():
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(0.1 if CONTROL else 60)
    return "nobody ended it"


@attempt("stop itself", ends=LATE)
def _():
    if not CONTROL:
        os.kill(os.getpid(), signal.SIGSTOP)
    return "nobody ends what has stopped"


@attempt("stop all of its processes, in a chain", ends=LATE)
def _():
    for _ in range(0 if CONTROL else 4):
        if os.fork() == 0:
            os.setsid()
            os.kill(os.getpid(), signal.SIGSTOP)
    if not CONTROL:
        os.kill(os.getpid(), signal.SIGSTOP)
    return "nobody ends what has stopped"


@attempt("spin for ever in many processes", ends=LATE)
def _():
    for _ in range(0 if CONTROL else 3):
        if os.fork() == 0:
            while True:
                pass
    began = time.monotonic()
    while time.monotonic() < began + (0.1 if CONTROL else 60):
        pass
    return "nobody ended it"


@attempt("end its first process, so that all of its walls fall")
def _():
    if CONTROL:
        return "a process of the host can be ended by its number"
    if os.getppid() != 1:
        raise Skipped("its parent is not the first process that it sees")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV):
        try:
            os.kill(1, number)
        except OSError:
            continue
    os.kill(1, 0)
    if os.getppid() != 1:
        return "its first process is gone"
    return None


@attempt("speak to its keeper on an inherited descriptor")
def _():
    import stat

    found = []
    for number in range(4, 1024):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, b"\x05\x00")
                found.append(number)
        except OSError:
            continue
    if CONTROL:
        import socket

        one, other = socket.socketpair()
        found.append(one.fileno())
    return f"wrote to {found}" if found else None


@attempt("leave a process that outlives its first", ends=["succeeded"])
def _():
    if CONTROL:
        return "a process of the host may stay"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            LIBC.prctl(15, f"outlive-{MARK}".encode(), 0, 0, 0)
            os.closerange(0, 4)
            time.sleep(20)
        os._exit(0)
    os._exit(0)


@attempt("fork at its exit", ends=["succeeded"])
def _():
    import atexit

    def again():
        if os.fork() == 0:
            os.setsid()
            LIBC.prctl(15, f"outlive-{MARK}".encode(), 0, 0, 0)
            os.closerange(0, 4)
            time.sleep(20)

    if CONTROL:
        return "a process of the host may stay"
    atexit.register(again)
    raise SystemExit(0)


main()
