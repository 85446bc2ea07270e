# /// script
# [tool.strongroom]
# description = "Tries to get out of its sandbox, and tells how far it came."
# ///
"""Tries to get out of its sandbox, and tells how far it came.

Harmless: each attempt only asks whether a door is open.
"""

import ctypes
import os
import socket


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        s.connect(address)


def syscall(number, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


ATTEMPTS = {
    "call home": lambda: connect(socket.AF_INET, ("192.0.2.1", 443)),
    "reach a service on the host": lambda: connect(socket.AF_INET, ("127.0.0.1", 22)),
    "reach the hypervisor": lambda: connect(socket.AF_VSOCK, (2, 1)),
    "read the host's passwords": lambda: open("/etc/shadow").read(),
    "list the host's home folders": lambda: os.listdir("/home"),
    "read its keeper's environment": lambda: open("/proc/1/environ").read(),
    "change the data": lambda: open("/data/penguins.csv", "a").write("x"),
    "change the function": lambda: open("/function/nosy.py", "a").write("x"),
    "plant a link in the output": lambda: os.symlink("/etc/shadow", "/out/result.csv"),
    "make a device": lambda: os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(8, 0)),
    "become root": lambda: os.setuid(0),
    "mount something": lambda: syscall(165, b"none", b"/tmp", b"tmpfs", 0, None),
    "make a user namespace": lambda: syscall(272, 0x10000000),
    "open io_uring": lambda: syscall(425, 8, None),
    "load a BPF program": lambda: syscall(321, 0, None, 0),
    "trace its keeper": lambda: syscall(101, 16, 1, 0, 0),
    "signal its keeper": lambda: os.kill(1, 9) or open("/proc/1/status").close(),
}

got_out = 0
for what, attempt in ATTEMPTS.items():
    try:
        attempt()
        got_out += 1
        print(f"OPEN     {what}")
    except OSError as error:
        print(f"blocked  {what}: {os.strerror(error.errno) if error.errno else error}")
print(f"{len(ATTEMPTS) - got_out} of {len(ATTEMPTS)} attempts were blocked; uid {os.getuid()}")
