"""Network: tries every way to talk to anything that is not itself."""

import socket

KINDS = {"stream": 1, "datagram": 2, "raw": 3, "seqpacket": 5}
NAMES = {value: name for name, value in vars(socket).items() if name.startswith("AF_") and isinstance(value, int)}


def opened(families):
    found = []
    for family in families:
        for kind, number in KINDS.items():
            for protocol in (0, 1, 17, 255):
                try:
                    os.close(raw(41, family, number, protocol))
                    found.append(f"{NAMES.get(family, family)} {kind}")
                    break
                except OSError:
                    continue
    return f"opened {found[:6]}" if found else None


@attempt("open an internet socket")
def _():
    return opened([2, 10])


@attempt("open a local socket that is no pair")
def _():
    return opened([1])


@attempt("open a socket to the kernel by netlink")
def _():
    return opened([16])


@attempt("open a packet socket")
def _():
    return opened([17])


@attempt("open a socket to the hypervisor")
def _():
    if "control" in ARGUMENTS and not opened([40]):
        raise Skipped("this kernel has no vsock")
    return opened([40])


@attempt("open the kernel's cipher socket")
def _():
    if "control" in ARGUMENTS and not opened([38]):
        raise Skipped("this kernel has no AF_ALG")
    return opened([38])


@attempt("open a socket of any other family, listed or not")
def _():
    found = opened([one for one in range(64) if one not in (1, 2, 10, 16, 17, 38, 40)])
    if found is None and "control" in ARGUMENTS:
        raise Skipped("this kernel has no other family")
    return found


@attempt("open a socket with bits that a filter may not look at")
def _():
    return reach(41, 1 << 32 | 2, 1, 0, walls=("EAFNOSUPPORT", "EPERM", "ENOSYS"))


@attempt("make a pair of a family with addresses")
def _():
    found = [family for family in range(64) if family != 1 and pair(family)]
    if found:
        return f"families {found}"
    if "control" in ARGUMENTS:
        return reach(53, 2, 1, 0, ctypes.create_string_buffer(8), walls=("EAFNOSUPPORT",))


def pair(family):
    box = ctypes.create_string_buffer(8)
    kinds = KINDS.values()
    return any(reach(53, family, kind, 0, box, walls=("EAFNOSUPPORT", "EPERM")) for kind in kinds)


@attempt("reach a service on the host's loopback")
def _():
    with socket.create_connection(("127.0.0.1", planted("port")), timeout=2):
        return "connected"


@attempt("reach a service by its abstract name")
def _():
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\0" + planted("abstract"))
        return "connected"


@attempt("reach a service by its socket file")
def _():
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(planted("socket"))
        return "connected"


@attempt("ask the metadata service of a cloud")
def _():
    with socket.socket() as one:
        one.settimeout(1)
        try:
            one.connect(("169.254.169.254", 80))
        except TimeoutError:
            return "packets were sent"
        except OSError as error:
            if "control" in ARGUMENTS:
                return f"the socket was there: {error}"
            raise
        return "connected"


@attempt("carry data out in a question for a name")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        address = ("127.0.0.1", planted("port"))
        one.sendto(b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x06secret\x03com\0\0\x01\0\x01", address)
        return "the question was sent"


@attempt("wait for visitors on a port")
def _():
    with socket.socket() as one:
        one.bind(("0.0.0.0", 0))
        one.listen()
        return "listening"


@attempt("give an address to its pair or send to one by name")
def _():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        for number, size in ((49, 12), (42, 12)):
            address = struct.pack("H", 1) + b"\0hostile-pair"
            found = reach(number, one.fileno(), address, size)
            if found:
                return f"call {number}: {found}"


@attempt("send a datagram from its pair to a service by name")
def _():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        try:
            one.sendto(b"secret", "\0" + planted("datagram"))
        except ConnectionRefusedError:
            return None
        return "sent"


@attempt("send a datagram from its pair to a service by its socket file")
def _():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"secret", planted("datagrams"))
        return "sent"


@attempt("send with an address on the pairs that it may have")
def _():
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        with one, other:
            for place in (planted("datagrams"), "\0" + planted("datagram")):
                try:
                    one.sendto(b"secret", place)
                except OSError:
                    continue
                other.settimeout(1)
                if other.recv(16) != b"secret":
                    return f"the message went to {place}"
    if "control" in ARGUMENTS:
        raise Skipped("no kernel sends from these by address")


@attempt("give the kernel a program that filters a socket")
def _():
    one, other = socket.socketpair()
    with one, other:
        program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        head = struct.pack("H6xQ", 1, ctypes.addressof(program))
        one.setsockopt(socket.SOL_SOCKET, 26, head)
        return "attached a filter"


@attempt("see the interfaces of the host")
def _():
    found = [name for _, name in socket.if_nameindex() if name != "lo"] or ["lo"]
    return f"interfaces {found}"


main()
