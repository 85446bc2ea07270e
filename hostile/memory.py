"""Memory: tries to hold twice what it may, in every kind of memory."""

import mmap
import threading

LIMIT = LIMITS.get("memory_bytes", 256 * MIB)
PAGE = 4096
NO_RESERVE = 0x4000
OWN = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
DEATHS = ["out_of_memory", "signal 9", "failed"]


def fill(size):
    """Memory of that size with every page touched."""
    memory = mmap.mmap(-1, size, flags=OWN)
    for at in range(0, size, PAGE):
        memory[at] = 1
    return memory


@attempt("hold twice its memory", ends=DEATHS)
def _():
    memory = fill(2 * LIMIT)
    return f"held {len(memory)} bytes"


@attempt("hold twice its memory in many processes", ends=DEATHS)
def _():
    return together(4, lambda: fill(2 * LIMIT // 4))


def together(count, hold):
    """What `count` processes hold at the same time."""
    ready, children = os.pipe(), []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            held = hold()
            os.write(ready[1], b"x")
            time.sleep(60)
            os._exit(len(held) % 2)
        children.append(pid)
    held = sum(len(os.read(ready[0], 1)) for _ in range(count))
    for pid in children:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return f"{held} processes held it"


@attempt("hold twice its memory in files without names", ends=DEATHS)
def _():
    file = os.memfd_create("hostile")
    for _ in range(0, 2 * LIMIT, MIB):
        os.write(file, bytes(MIB))
    return f"held {os.fstat(file).st_size} bytes"


@attempt("hold twice its memory in pipes and socket buffers", ends=DEATHS)
def _():
    import socket

    def pairs():
        kept = []
        for _ in range(100):
            one, other = socket.socketpair()
            pipe = os.pipe()
            for file in (pipe[1], one.fileno()):
                os.set_blocking(file, False)
                try:
                    while os.write(file, bytes(65536)):
                        pass
                except BlockingIOError:
                    pass
            kept.append((one, other, pipe))
            if 2 * LIMIT // 8 <= len(kept) * 2 * 65536:
                break
        return kept

    return together(8, pairs)


@attempt("hold twice its memory in page tables", ends=DEATHS)
def _():
    # One touched page in each two megabytes costs a page and a table for it.
    count = 2 * LIMIT // (2 * PAGE)
    memory = mmap.mmap(-1, count * 2 * MIB, flags=OWN | NO_RESERVE)
    LIBC.madvise(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory))), ctypes.c_size_t(len(memory)), 15)
    for at in range(0, len(memory), 2 * MIB):
        memory[at] = 1
    return f"touched {count} tables"


@attempt("hold twice its memory on stacks", ends=DEATHS)
def _():
    kept = []
    size = 8 * MIB
    threading.stack_size(size)
    gate = threading.Event()

    def deep():
        array = (ctypes.c_char * MIB)()
        ctypes.memset(array, 1, MIB)
        kept.append(array)
        gate.wait(60)

    count = 2 * LIMIT // MIB
    threads = []
    for _ in range(min(count, 8)):
        threads.append(threading.Thread(target=deep, daemon=True))
        threads[-1].start()
    for _ in range(count - 8):
        array = (ctypes.c_char * MIB)()
        ctypes.memset(array, 1, MIB)
        kept.append(array)
    return f"held {len(kept)} MiB"


@attempt("lock more memory than 64 KiB")
def _():
    memory = mmap.mmap(-1, MIB, flags=OWN)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    raw(149, address, MIB)
    return "locked 1 MiB"


@attempt("make a stack of a gigabyte")
def _():
    limit("STACK", 1 << 30)
    return "the limit on stacks is a gigabyte"


main()
