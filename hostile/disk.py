"""Disk: tries to write more bytes, files and folders than it may.

Where no file system bounds them, whoever counts them must end the run; so
each attempt holds what it got for a while.
"""

ENDED = ["signal 9", "disk_full", "output_too_large"]
WHILE_S = 0 if "control" in ARGUMENTS else 2


def over(place, most):
    path = PLACES[place] + "/hostile-large"
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while written < most:
                part = file.write(bytes(65536))
                if part < 65536:
                    raise OSError(28, "short write")
                written += part
            time.sleep(WHILE_S)
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return f"wrote {written} bytes to {PLACES[place]}"


def many(place, most):
    folder = PLACES[place] + "/hostile-many"
    os.mkdir(folder)
    made = 0
    try:
        while made < most:
            os.close(os.open(f"{folder}/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
        time.sleep(WHILE_S)
    finally:
        for number in range(made):
            os.unlink(f"{folder}/{number}")
        os.rmdir(folder)
    return f"made {made} files in {PLACES[place]}"


@attempt("fill the place for temporary files", ends=ENDED)
def _():
    return over("tmp", 2 * LIMITS.get("tmp_bytes", 64 * MIB))


@attempt("fill shared memory beside it", ends=ENDED)
def _():
    return over("shm", 2 * LIMITS.get("tmp_bytes", 64 * MIB))


@attempt("fill its output", ends=ENDED)
def _():
    return over("out", 2 * LIMITS.get("out_bytes", 64 * MIB))


@attempt("make too many files in its output", ends=ENDED)
def _():
    return many("out", LIMITS.get("out_files", 1000) + 8)


@attempt("make too many temporary files", ends=ENDED)
def _():
    return many("tmp", LIMITS.get("tmp_bytes", 64 * MIB) // 4096 + 64)


@attempt("make a file larger than any disk", ends=ENDED)
def _():
    path = PLACES["tmp"] + "/hostile-sparse"
    try:
        with open(path, "wb") as file:
            file.truncate(1 << 42)
            time.sleep(WHILE_S)
        return "made a sparse file of 4 TiB"
    finally:
        if os.path.exists(path):
            os.unlink(path)


@attempt("make a tree deeper than its files allow", ends=ENDED)
def _():
    home = os.open(".", os.O_RDONLY)
    depth, most = 0, LIMITS.get("tmp_bytes", 64 * MIB) // 4096 + 64
    os.chdir(PLACES["tmp"])
    try:
        while depth < most:
            os.mkdir("d")
            os.chdir("d")
            depth += 1
        time.sleep(WHILE_S)
    finally:
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")
        os.fchdir(home)
    return f"made a tree {depth} deep"


main()
