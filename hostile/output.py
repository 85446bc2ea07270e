"""Output: tries to fill, deceive or break whoever reads what comes out.

These are judged from outside: the station must answer, within bounds, with a
reason, without a byte of the host, and serve the next run.
"""

import threading


def sends(name):
    return attempt(name, part="output")


def result(data):
    """Forges what only the main program should write."""
    with open(3, "wb", closefd=False) as pipe:
        pipe.write(data)


@sends("flood its log with lines")
def _():
    while True:
        os.write(1, b"flood\n" * 10000)


@sends("flood its log without a line's end, on both voices")
def _():
    for _ in range(512):
        os.write(1, b"x" * 65536)
        os.write(2, b"y" * 65536)


@sends("write escapes and other bytes that deceive terminals")
def _():
    os.write(1, b"\x1b]0;owned\x07\x1b[2J\x9b31m\xe2\x80\xaegnp.exe\r\n\x00\xff\xfe\n")


@sends("plant links, pipes and devices among its files")
def _():
    for make in (
        lambda: os.symlink("/etc/shadow", PLACES["out"] + "/shadow"),
        lambda: os.symlink(planted("file"), PLACES["out"] + "/secret"),
        lambda: os.link(PLACES["function"] + "/main.py", PLACES["out"] + "/hard"),
        lambda: os.mkfifo(PLACES["out"] + "/pipe"),
        lambda: os.mknod(PLACES["out"] + "/node", 0o20666, os.makedev(1, 3)),
        lambda: os.symlink("..", PLACES["out"] + "/up"),
    ):
        try:
            make()
        except (OSError, Skipped):
            continue


@sends("give its files names that nobody can bear")
def _():
    for name in (b"a" * 255, b"line\nbreak", b"\x1b[31mred", b"\xff\xfe", b"-rf", b"..x", b"con\x00"[:3], "\u202etxt.exe".encode()):
        with open(bPLACES["out"] + "/" + name, "wb") as file:
            file.write(b"x")


@sends("make a file that is larger than its bytes")
def _():
    with open(PLACES["out"] + "/sparse", "wb") as file:
        file.truncate(1 << 40)


@sends("make a tree that is deeper than a path may be")
def _():
    os.chdir(PLACES["out"])
    for _ in range(900):
        os.mkdir("d" * 50)
        os.chdir("d" * 50)


@sends("exchange its files while they are collected")
def _():
    os.makedirs(PLACES["out"] + "/a", exist_ok=True)
    with open(PLACES["out"] + "/a/file", "w") as file:
        file.write("x")
    if os.fork() == 0:
        os.setsid()
        while True:
            for one, other in ((PLACES["out"] + "/a", PLACES["out"] + "/b"), (PLACES["out"] + "/b", PLACES["out"] + "/a")):
                try:
                    os.rename(one, other)
                except OSError:
                    continue


@sends("return a value that is nested a million deep")
def _():
    result(b"[" * 1000000)


@sends("return a value of fifty megabytes")
def _():
    for _ in range(800):
        result(b"[1, " + b"1, " * 20000)


@sends("return numbers that no reader can hold")
def _():
    result(b"[" + b"9" * 100000 + b", 1e999999, NaN, Infinity, -0]")


@sends("return half of a character and keys that repeat")
def _():
    result(b'{"a": "\\ud800", "a": 1, "\\u0000": 2}')


@sends("return bytes that are no text")
def _():
    result(b"\x00\xff\xfe\x80")


@sends("return two values")
def _():
    result(b'{"first": 1}{"second": 2}')


@sends("forge the frames that its keepers speak in")
def _():
    for number in range(0, 64):
        for frame in (b"\x05\x00\x00", b"\x02", b"\x00" * 64, b'{"Ended":{"wait_status":0}}'):
            try:
                os.write(number, frame)
            except OSError:
                continue


@sends("write on after it has returned")
def _():
    if os.fork() == 0:
        os.setsid()
        while True:
            for number in (1, 2, 3):
                try:
                    os.write(number, b"later\n")
                except OSError:
                    continue
            time.sleep(0.001)


@sends("end in the middle of a value")
def _():
    result(b'{"value": [1, 2')
    os._exit(0)


@sends("close everything and crash")
def _():
    os.closerange(0, 256)
    os.kill(os.getpid(), 11)


@sends("write from many threads at its end")
def _():
    def write():
        while True:
            os.write(1, b"thread\n")

    for _ in range(8):
        threading.Thread(target=write, daemon=True).start()


main()
