"""The main program of the runtime python3: runs one file for one run.

The file is run as `__main__`. If it then defines `transform(data, ctx)` or
`handle(event, context)`, that is called, and what it returns goes as one JSON
document to descriptor 3. A run of several stages is this program several times,
each in a sandbox of its own: it calls `expose(data, ctx)`, `download(ctx)` or
`transform(data, ctx)`, as the stage says. Everything here runs inside the sandbox and can be
altered by the function: the station trusts none of it. What is not needed by
every run is imported late, since starting fast is a feature.
"""

import _sitebuiltins
import atexit
import gc
import os
import sys
from _io import BufferedRandom, BufferedRWPair, BufferedWriter, TextIOWrapper

# Where the sandbox's paths begin, if it has no root of its own.
ROOT = os.environ.get("STRONGROOM_ROOT", "")
FUNCTION = ROOT + "/function"
DATA = ROOT + "/data"
OUT = ROOT + "/out"
STAGE = ROOT + "/stage"
PACKAGES = ROOT + "/packages"
# The packages that the function brings.
DEPENDENCIES = ROOT + "/deps"
# The folder with the package `strongroom`.
KIT = ROOT + "/kit"
RESULT = 3
BUFFERS = (BufferedRandom, BufferedRWPair, BufferedWriter, TextIOWrapper)
# Of an interpreter that is to be copied.
STEERING = 4
PRELOAD = "STRONGROOM_PRELOAD"

class Data:
    """The inputs: the files in `/data`, or those in one named input."""

    def __init__(self, root):
        self._root = root

    @property
    def path(self):
        """The folder as a `pathlib.Path`, or None when there are no inputs."""
        if self._root is None:
            return None
        from pathlib import Path

        return Path(self._root)

    @property
    def meta(self):
        """The title, description and so on of this version; {} where it has none."""
        return self._said().get("meta") or {}

    @property
    def structure(self):
        """How its body is written, as it was given; {} where nothing was."""
        return self._said().get("structure") or {}

    @property
    def readme(self):
        """Its readme in Markdown; "" where it has none."""
        return self._said().get("readme") or ""

    def _said(self):
        import json

        try:
            with open(f"{STAGE}/inputs.json", encoding="utf-8") as file:
                told = json.load(file)
        except FileNotFoundError:
            return {}
        return told.get((self._root or DATA)[len(DATA) + 1 :]) or {}

    def names(self):
        """The paths of all files below the folder, sorted."""
        if self._root is None:
            return []
        found = []
        for folder, _, files in os.walk(self._root):
            found.extend(os.path.relpath(os.path.join(folder, file), self._root) for file in files)
        return sorted(found)

    def open(self, name=None, mode="r"):
        """Opens one file; the name may be left out when there is only one."""
        path = os.path.join(self._root or DATA, self._only() if name is None else name)
        if "b" in mode:
            return open(path, mode)
        return open(path, mode, encoding="utf-8", newline="")

    def text(self, name=None):
        """The whole text of one file."""
        with self.open(name) as file:
            return file.read()

    def rows(self, name=None):
        """The rows of one CSV file, each a dict by the names in its first line."""
        import csv

        with self.open(name) as file:
            yield from csv.DictReader(file)

    def __getitem__(self, name):
        """One named input."""
        root = os.path.join(self._root or DATA, name)
        if self._root is None or not os.path.isdir(root):
            raise KeyError(name)
        return Data(root)

    def _only(self):
        names = self.names()
        if len(names) != 1:
            raise ValueError(f"say which file is meant; there are {len(names)}: {', '.join(names[:10])}")
        return names[0]


class Context:
    """What a stage knows of its run."""

    def __init__(self, args):
        self.args = args
        self.run_id = os.environ.get("STRONGROOM_RUN_ID", "")
        self.stage = os.environ.get("STRONGROOM_STAGE", "")
        self._values = {}

    @property
    def download(self):
        """What `download` returned; only `transform` has it."""
        return self._value("download")

    @property
    def expose(self):
        """What `expose` returned; only `download` has it."""
        return self._value("expose")

    @property
    def config(self):
        """The settings of this stage, by name."""
        return self._variable("STRONGROOM_CONFIG")

    @property
    def secrets(self):
        """The secrets of this stage, by name."""
        return self._variable("STRONGROOM_SECRETS")

    def _value(self, stage):
        if stage not in self._values:
            import json

            try:
                with open(f"{STAGE}/{stage}.json", encoding="utf-8") as file:
                    self._values[stage] = json.load(file)
            except FileNotFoundError:
                who = f"the stage {self.stage}" if self.stage else "this run"
                raise AttributeError(f"{who} is given no value of the stage {stage}") from None
        return self._values[stage]

    def _variable(self, name):
        import json

        return json.loads(os.environ.get(name) or "{}")

    @property
    def out(self):
        """The folder whose files become the outputs, as a `pathlib.Path`."""
        from pathlib import Path

        return Path(OUT)


class Event:
    """What a handler is asked: a POST of the arguments."""

    def __init__(self, body):
        self.body = body
        self.headers = {"Content-Type": "application/json"}
        self.method = "POST"
        self.query = {}
        self.path = "/"


class HandlerContext:
    """What a handler knows of where it runs."""

    def __init__(self):
        self.hostname = os.uname().nodename


def arguments():
    """The bytes of the arguments, whatever the function has read of them."""
    size = os.fstat(0).st_size
    raw = b""
    while len(raw) < size:
        part = os.pread(0, size - len(raw), len(raw))
        if not part:
            break
        raw += part
    return raw


def send(value, who):
    """Sends the returned value as strict JSON."""
    import json

    try:
        raw = json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{who} returned what JSON cannot carry: {error}") from None
    with open(RESULT, "wb") as pipe:
        pipe.write(raw)


def stage(name, function):
    """Calls the function of one stage, with what that stage has."""
    import json

    args = json.loads(arguments())
    context = Context({} if args is None else args)
    if name == "download":
        return send(function(context), name)
    root = DATA if os.path.isdir(DATA) else None
    send(function(Data(root), context), name)


def handle(function):
    answer = answered(function(Event(arguments()), HandlerContext()))
    send(answer, "handle")
    if 400 <= answer["statusCode"]:
        print(f"strongroom: handle answered {answer['statusCode']}", file=sys.stderr)
        sys.exit(1)


def answered(raw):
    """A handler's answer with every part there."""
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise TypeError(f"handle returns None or a dict, not {type(raw).__name__}")
    status = raw.get("statusCode", 200)
    if type(status) is not int or not 100 <= status <= 599:
        raise TypeError(f"statusCode is a number from 100 to 599, not {status!r}")
    body = raw.get("body", "")
    if body is None:
        body = ""
    elif isinstance(body, bytes):
        body = body.decode("utf-8")
    elif not isinstance(body, (dict, list, str)):
        body = str(body)
    headers = raw.get("headers") or {}
    pairs = headers.items() if isinstance(headers, dict) else headers
    return {"statusCode": status, "body": body, "headers": {str(k): str(v) for k, v in pairs}}


def entry_of(names):
    """What to call after the file itself has run, or None for a plain script."""
    now = os.environ.get("STRONGROOM_STAGE")
    if now in ("expose", "download"):
        if not callable(names.get(now)):
            raise TypeError(f"the run has the stage {now}, and the file defines no function of that name")
        return now
    given = [name for name in ("transform", "handle") if callable(names.get(name))]
    if not given and str(names.get("__file__")).endswith("/handler.py"):
        raise TypeError("handler.py defines no function handle(event, context)")
    if len(given) == 2:
        raise TypeError("the file defines both transform and handle; keep one of them")
    return given[0] if given else None


def add_packages():
    """Lets packages be found: the function's, the runtime's, and `strongroom`.

    Behind the standard library, so that no package takes its place. This runs
    nothing of them: no .pth file, no sitecustomize.
    """
    for folder in (DEPENDENCIES, PACKAGES):
        if folder not in sys.path and os.path.isdir(folder):
            sys.path.append(folder)
    if KIT not in sys.path:
        sys.path.append(KIT)


def run(path):
    import builtins

    # Scripts use these two, and `-S` leaves them out.
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    sys.argv = [path]
    sys.path.insert(0, FUNCTION)
    add_packages()
    module = type(sys)("__main__")
    module.__file__ = path
    sys.modules["__main__"] = module
    with open(path, "rb") as file:
        source = file.read()
    exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    entry = entry_of(module.__dict__)
    if entry == "handle":
        handle(module.handle)
    elif entry is not None:
        stage(entry, module.__dict__[entry])


def foreign(trace):
    """The traceback without the frames of this file."""
    first = last = None
    while trace is not None:
        if trace.tb_frame.f_globals is not globals():
            if last is None:
                first = trace
            else:
                last.tb_next = trace
            last = trace
        trace = trace.tb_next
    if last is not None:
        last.tb_next = None
    return first


def leaves_plainly(code, own):
    """Whether the end is an ordinary one, without machine code of the function's to tidy up.

    Looks only into dictionaries, so that nothing of the function is called.
    """
    if not (code is None or type(code) in (int, bool) and 0 <= code <= 255):
        return False
    library = os.path.dirname(os.__file__) + "/lib-dynload/"
    for name, module in list(sys.modules.items()):
        if module is None or name in own:
            continue
        file = object.__getattribute__(module, "__dict__").get("__file__")
        if type(file) is str and file.endswith(".so"):
            if not file.startswith(library) or "ctypes" in file:
                return False
    return True


def flush():
    """Writes what open files hold, while nothing has been taken apart yet.

    The collector would close a file before the buffer that lies over it.
    """
    for thing in gc.get_objects():
        if type(thing) in BUFFERS and not thing.closed:
            thing.flush()
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        stream.flush()


def let_go(own):
    """Lets the objects of the function go, in the order of the interpreter."""
    names = [name for name in sys.modules if name not in own]
    modules = [sys.modules["__main__"], *(sys.modules[name] for name in reversed(names))]
    for name in ("__main__", *names):
        sys.modules[name] = None
    for module in modules:
        if module is not None:
            clear(object.__getattribute__(module, "__dict__"))
    del modules, module
    gc.collect()


def clear(names):
    """Empties a module: first what it calls private, then all but its builtins."""
    private = [name for name in names if name[:1] == "_" and name[1:2] != "_"]
    for name in private:
        names[name] = None
    for name in [name for name in names if name != "__builtins__"]:
        names[name] = None


def leave(code, own):
    """Ends as the interpreter does, but does not take the interpreter itself apart.

    Threads are waited for, exit functions are called, and what the function
    made is let go. Where anything is out of the ordinary the interpreter ends
    in its own way, which takes a millisecond or two.
    """
    try:
        if leaves_plainly(code, own):
            threading = sys.modules.get("threading")
            if threading is not None:
                threading._shutdown()
            if len(sys._current_frames()) == 1:
                atexit._run_exitfuncs()
                flush()
                let_go(own)
                flush()
                os._exit(code or 0)
    except BaseException:
        pass
    sys.exit(code)


def standard_input():
    """What `sys.stdin` is when the interpreter starts with a file as descriptor 0."""
    import io

    raw = io.open(0, "rb", closefd=False)
    raw.raw.name = "<stdin>"
    old = sys.stdin
    sys.stdin = io.TextIOWrapper(raw, encoding=old.encoding, errors=old.errors, newline="\n")
    sys.stdin.mode = "r"
    sys.__stdin__ = sys.stdin


def stand_still(preload):
    """Loads what runs will need, and stands still; returns in each copy.

    The station makes the copies out of this very `fork`, and the process itself
    never returns from it. See `Jail::zygote` of the jail for the two bytes.
    """
    add_packages()
    for name in filter(None, preload.split(",")):
        __import__(name)
    practise()
    generators = generators_loaded()
    gc.collect()
    gc.freeze()
    os.write(STEERING, b"!")
    os.read(STEERING, 1)
    if os.fork():
        os._exit(1)
    reseed(generators)


def generators_loaded():
    """Every generator of random numbers that some module has made while it loaded."""
    random, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    kinds = [random.Random] if random is not None else []
    if numpy is not None:
        kinds += [numpy.RandomState, numpy.BitGenerator]
    found = [one for one in gc.get_objects() if issubclass(type(one), tuple(kinds))]
    # What these draw from, they seed themselves, and faster.
    owned = [getattr(one, "_bit_generator", None) for one in found]
    owned = {id(one) for one in owned if type(one).__name__ == "MT19937"}
    return [one for one in found if id(one) not in owned]


def reseed(generators):
    """Gives a copy randomness of its own, where the kernel does not.

    The hash seed and the address layout stay those that were copied.
    """
    for generator in generators:
        if hasattr(generator, "seed_seq"):
            # Of numpy: its state, and what it would seed its own children with.
            generator.__setstate__(type(generator)().__getstate__())
            continue
        try:
            generator.seed()
        except TypeError:
            # What it draws from is of another kind, and in this list itself.
            continue
    ssl = sys.modules.get("_ssl")
    if ssl is not None:
        # It looks at the process number, which may be the one that was copied.
        ssl.RAND_add(os.urandom(32), 32.0)
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid._node = None
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None


def rehearse():
    """Runs an empty file as a run would, since the first time is slow."""
    import json

    work = {"entry": "", "environment": [*os.environ.items(), ["STRONGROOM_RUN_ID", ""]]}
    set_environment(json.loads(json.dumps(work))["environment"])
    os.listdir("/")
    sys.stdout.reconfigure(line_buffering=True)
    main_module, path, argv = sys.modules["__main__"], sys.path[:], sys.argv
    own = set(sys.modules)
    try:
        run("/dev/null")
        exec(compile("def transform(): pass", "", "exec", dont_inherit=True), {})
        leaves_plainly(0, own)
        sys._current_frames()
        flush()
        let_go(set(sys.modules))
    finally:
        sys.modules["__main__"], sys.path[:], sys.argv = main_module, path, argv


def set_environment(pairs):
    """Makes the environment this, and leaves alone what is so already."""
    wanted = dict(pairs)
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def practise():
    """Uses what was loaded ahead as most functions will, for the same reason.

    Nothing more: each run pays for it in processor time, if not in waiting.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return
    import io

    try:
        pandas.read_csv(io.StringIO("id,name,mass\n1,a,1.5\n2,b,\n"))["mass"].sum()
    except Exception:
        # Something of that name that is not what it is known for.
        pass


def wait():
    """Waits for the work, ahead of which this was launched; answers its entry.

    It comes as one frame: the entry and the environment, and a descriptor that
    becomes descriptor 0. What is loaded here, every run needs. A function that
    brings a module of one of these names gets its own, and so all of them anew.
    """
    start = set(sys.modules)
    import _socket
    import csv
    import json
    import pathlib

    rehearse()
    gc.collect()
    preload = os.environ.get(PRELOAD)
    if preload is not None:
        stand_still(preload)
        # Whatever a copy writes to first, the kernel has to copy then.
        rehearse()
        practise()
    loaded = [name for name in sys.modules if name not in start]
    roots = {name.partition(".")[0] for name in loaded}
    door = _socket.socket(fileno=os.dup(0))
    # A file in the place of the one to come, so that all is made for it.
    place = os.open("/dev/null", os.O_RDONLY)
    os.dup2(place, 0)
    os.close(place)
    standard_input()
    os.write(RESULT, b"!")
    work, rights, _, _ = door.recvmsg(1 << 17, _socket.CMSG_SPACE(4))
    if len(rights) != 1:
        os._exit(1)
    door.close()
    arguments = int.from_bytes(rights[0][2], sys.byteorder)
    os.dup2(arguments, 0)
    os.close(arguments)
    work = json.loads(work)
    set_environment(work["environment"])
    os.chdir(FUNCTION)
    if not roots.isdisjoint(name.partition(".")[0] for name in os.listdir(FUNCTION)):
        for name in loaded:
            del sys.modules[name]
    sys.orig_argv.append(work["entry"])
    return work["entry"]


def main():
    entry = sys.argv[1] if 1 < len(sys.argv) else wait()
    # A process that the function starts has no use for the result's descriptor.
    os.set_inheritable(RESULT, False)
    sys.stdout.reconfigure(line_buffering=True)
    # What is here already is never let go, so nobody needs to look at it again.
    gc.freeze()
    own = set(sys.modules)
    code = 0
    try:
        run(FUNCTION + "/" + entry)
    except SystemExit as error:
        code = error.code
    except Exception as error:
        # The writer of the function sees a traceback of their own frames.
        trace = foreign(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        del trace
        code = 1
    leave(code, own)


main()
