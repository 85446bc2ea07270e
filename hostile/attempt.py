"""What every family shares: how an attempt is declared, tried and judged.

The runner puts `ARGUMENTS` before this file. An attempt that returns a text
has got out, and the text says with what. One that returns nothing, or that
the system refuses, was contained. Any other error means that the program
itself is broken, which is not a verdict that anybody may count on.
"""

import ctypes
import errno
import json
import os
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
LIMITS = ARGUMENTS.get("limits", {})
# Where nothing can be mounted, a sandbox says where its folders really are.
ROOT = os.environ.get("STRONGROOM_ROOT", "")
PLACES = {name: f"{ROOT}/{name}" for name in ("tmp", "out", "function", "data")}
PLACES["shm"] = "/dev/shm"
PLACES.update(ARGUMENTS.get("places", {}))
# Parts what one siege of the host plants from what another does.
MARK = ARGUMENTS.get("mark", 0)
ATTEMPTS = {}
MIB = 1 << 20


class Skipped(Exception):
    """Nothing was planted that this attempt could find."""


def attempt(name, ends=(), part="solo"):
    """Declares an attempt. `ends`: reasons by which a run may end instead of
    a verdict, upon which it runs alone. `part`: solo, plant or look."""

    def declare(function):
        ATTEMPTS[(part, name)] = (function, list(ends))
        return function

    return declare


def planted(what):
    """Something that the runner has put on the host for us to find."""
    try:
        return ARGUMENTS["canaries"][what]
    except KeyError:
        raise Skipped(f"no {what} was planted") from None


def raw(number, *arguments):
    """Makes a system call; raises OSError where it fails."""
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    ctypes.set_errno(0)
    got = LIBC.syscall(ctypes.c_long(number), *words)
    if got < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return got


def reach(number, *arguments, walls=("EPERM", "ENOSYS", "EACCES")):
    """Whether a call reaches the kernel: any errno but those of the walls shows
    that its own code has looked at the arguments."""
    try:
        return f"the kernel answered {raw(number, *arguments)}"
    except OSError as error:
        name = errno.errorcode.get(error.errno, str(error.errno))
        if name in walls:
            return None
        return f"the kernel answered {name}"


def limit(what, value):
    """Sets a resource limit of this process, hard and soft."""
    import resource

    try:
        resource.setrlimit(getattr(resource, "RLIMIT_" + what), (value, value))
    except ValueError as error:
        raise PermissionError(errno.EPERM, str(error)) from None


def say(name, verdict, detail=""):
    print(json.dumps({"attempt": name, "verdict": verdict, "detail": str(detail)[:300]}), flush=True)


def try_one(name, function):
    try:
        detail = function()
    except Skipped as why:
        return say(name, "skipped", why)
    except (OSError, MemoryError) as error:
        return say(name, "contained", f"{type(error).__name__}: {error}")
    except Exception as error:
        return say(name, "broken", f"{type(error).__name__}: {error}")
    if detail is None:
        return say(name, "contained", "nothing was there")
    return say(name, "got out", detail)


def main():
    if ARGUMENTS.get("list"):
        for (part, name), (_, ends) in ATTEMPTS.items():
            print(json.dumps({"attempt": name, "part": part, "ends": ends}))
        return
    part = ARGUMENTS.get("part", "solo")
    only = ARGUMENTS.get("only")
    for (belongs, name), (function, ends) in ATTEMPTS.items():
        if belongs != part or (name not in only if only else ends):
            continue
        if ends:
            say(name, "trying")
        try_one(name, function)
    if ARGUMENTS.get("stay"):
        print(json.dumps({"planted": True}), flush=True)
        while True:
            time.sleep(3600)
