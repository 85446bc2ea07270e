"""Gateway: has one way out, and tries to go any other, or to take more along."""

import socket

NEAR = "127.0.0.1"
# Where a guest finds its gateway.
GATEWAY = 3128
ABI = ARGUMENTS.get("landlock_abi", 0)
ABI_WITH_PORTS = 4


def connected(host, port, seconds=2):
    """What the network says; a wall before it raises PermissionError."""
    with socket.socket() as one:
        one.settimeout(seconds)
        try:
            one.connect((host, port))
        except PermissionError:
            raise
        except OSError as error:
            return f"the network answered: {error}"
        return "connected"


@attempt("open a socket that is not TCP of version 4")
def _():
    found = []
    for family in range(64):
        for kind in (1, 2, 3, 4, 5, 6, 10):
            for protocol in (0, 6, 17, 132, 255, 262):
                if (family, kind) == (2, 1) and protocol in (0, 6):
                    continue
                try:
                    os.close(raw(41, family, kind, protocol))
                    found.append((family, kind, protocol))
                except OSError:
                    continue
    return f"opened {found[:6]}" if found else None


@attempt("wait for visitors beside its gateway")
def _():
    with socket.socket() as one:
        one.bind(("0.0.0.0", 0))
        one.listen()
        return "listening"


@attempt("reach a service on the host's loopback by TCP")
def _():
    return "connected" if connected(NEAR, planted("port")) == "connected" else None


@attempt("ask the network which other ports answer")
def _():
    if "control" not in ARGUMENTS and ABI < ABI_WITH_PORTS:
        raise Skipped("this kernel's Landlock knows no ports")
    return connected(NEAR, GATEWAY + 1)


@attempt("open a connection by sending into it")
def _():
    with socket.socket() as one:
        for port in (GATEWAY + 1, GATEWAY):
            try:
                one.sendto(b"x", 0x20000000, (NEAR, port))
            except OSError as error:
                if error.errno in (errno.EOPNOTSUPP, errno.EPERM):
                    continue
                return f"the network answered: {error}"
            return "connected"


@attempt("learn of the host's sockets from one of its own")
def _():
    with socket.socket() as one:
        for level, option in ((1, 57), (1, 71), (6, 11), (6, 35)):
            try:
                return f"option {option} says {one.getsockopt(level, option, 64).hex()}"
            except OSError as error:
                if error.errno != errno.ENOPROTOOPT:
                    return f"option {option}: {error}"


@attempt("send packets past the gateway")
def _():
    # Nobody has this address, by the rules of the net.
    said = connected("192.0.2.1", 80, seconds=1)
    return said if "control" in ARGUMENTS or "timed out" in said or said == "connected" else None


@attempt("change what is nobody's business of a connection")
def _():
    TCP, SOCKET = 6, 1
    with socket.socket() as one:
        for level, option, value in ((TCP, 13, b"reno"), (TCP, 19, 1), (TCP, 31, b"tls"), (SOCKET, 36, 7)):
            try:
                one.setsockopt(level, option, value)
            except OSError as error:
                if error.errno == errno.ENOPROTOOPT:
                    continue
                return f"the kernel answered {error}"
            return f"option {option} was set"


@attempt("change an interface, or add one")
def _():
    with socket.socket() as one:
        for request in (0x8914, 0x8916, 0x890B, 0x89A0):
            found = reach(16, one.fileno(), request, ctypes.create_string_buffer(64), walls=("ENOTTY", "EPERM"))
            if found:
                return found


@attempt("hold somebody's data beside a network")
def _():
    with socket.socket(), open(f"{PLACES['data']}/rows.csv") as rows:
        return f"read {len(rows.read())} bytes"


main()
