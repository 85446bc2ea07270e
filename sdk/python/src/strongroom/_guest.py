"""What a function knows of its run, and what it says: arguments, settings, log.

It works the same on a station, in `strongroom run ./f.py`, in a container, and
inside `run_through`. What is written here is loaded in every run that uses it,
so it imports nothing beside what the main program has loaded already.
Absent on purpose: any way to reach the station.
"""

import json
import os
import sys
import time

from ._names import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Dict, List, Optional

# At most one line of progress in this time, in seconds, since a log is bounded.
PROGRESS_EVERY = 1.0
# The longest name of a step, in characters; a station takes none that is longer.
WORD_CHARS_MAX = 1000


class NotInside(RuntimeError):
    """There is no run here: neither a sandbox nor `run_through`."""


class Place:
    """Where a function runs: the sandbox, or what `run_through` made in its stead."""

    def __init__(self, root: str, environ: "Any", arguments: "Optional[bytes]" = None) -> None:
        self.data = root + "/data"
        self.out = root + "/out"
        self.stages = root + "/stage"
        self.environ = environ
        self._arguments = arguments

    def arguments(self) -> bytes:
        """The bytes of the arguments, whatever the function has read of them."""
        if self._arguments is None:
            self._arguments = _standard_input()
        return self._arguments


# What `run_through` puts here stands in for the sandbox.
_stand_in: "List[Place]" = []
_sandbox: "List[Place]" = []


def here() -> Place:
    """Where this function runs.

    Raises `NotInside` when it runs nowhere.
    """
    if _stand_in:
        return _stand_in[-1]
    if not _sandbox:
        if "STRONGROOM_RUN_ID" not in os.environ:
            raise NotInside(
                "there is no run here; try `strongroom run ./function.py`, "
                "or `strongroom.run_through` in a test"
            )
        _sandbox.append(Place(os.environ.get("STRONGROOM_ROOT", ""), os.environ))
    return _sandbox[0]


def _standard_input() -> bytes:
    import stat

    found = os.fstat(0)
    if not stat.S_ISREG(found.st_mode):
        return sys.stdin.buffer.read()
    raw = b""
    while len(raw) < found.st_size:
        part = os.pread(0, found.st_size - len(raw), len(raw))
        if not part:
            break
        raw += part
    return raw


def args() -> "Any":
    """The arguments of this run: any JSON, a dict in practice; at most 1 MiB.

    They are the same however often they are asked for, and whatever was read
    of standard input. No arguments are an empty dict.
    """
    raw = here().arguments()
    value = json.loads(raw) if raw.strip() else None
    return {} if value is None else value


def stage() -> str:
    """`transform`, `download` or `expose`: which part of the function this is."""
    return str(here().environ.get("STRONGROOM_STAGE") or "transform")


def run_id() -> str:
    """The name of this run, such as `run-01m7…`."""
    return str(here().environ.get("STRONGROOM_RUN_ID", ""))


def earlier(stage: str) -> "Any":
    """What an earlier stage returned: any JSON, or None when there is nothing.

    `earlier("expose")` is for `download`, `earlier("download")` for `transform`.
    """
    if stage not in ("expose", "download"):
        raise ValueError(f"there is no earlier stage {stage!r}; there are expose and download")
    try:
        with open(f"{here().stages}/{stage}.json", "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None


def _named_values(variable: str) -> "Dict[str, Any]":
    raw = here().environ.get(variable)
    found = json.loads(raw) if raw else {}
    return found if isinstance(found, dict) else {}


def secret(name: str) -> str:
    """A secret that the plan gives to this stage.

    Raises `KeyError` with the names that there are. Keep it out of the log.
    """
    found = _named_values("STRONGROOM_SECRETS")
    if name not in found:
        raise KeyError(f"there is no secret {name!r} in this stage; there are: {listed(found)}")
    return str(found[name])


def config(name: str, default: "Any" = None) -> "Any":
    """A plain setting that the plan gives to this stage, or `default`."""
    return _named_values("STRONGROOM_CONFIG").get(name, default)


def log(*values: object, **fields: object) -> None:
    """Writes one line to the log: `values` as `print` does, then `key=value` each.

    All lines of a run together are bounded by its limit `log` (1 MiB unless
    the plan says otherwise), at which the run ends.
    """
    words = [str(value) for value in values]
    for key, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        plain = text and not any(c.isspace() or c in '"=' for c in text)
        words.append(f"{key}={text if plain or not isinstance(value, str) else json.dumps(text)}")
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


class step:
    """One step of a function, told to those who follow the run: `with step("clean"):`.

    They see when it begins and how it ends, also when it raises, which it does
    on. It is shown by `strongroom run --events` and `strongroom logs --events`;
    where nobody asked for events it tells nothing. Names are cut at 1,000
    characters, and each event is part of the log and of its bound.
    """

    def __init__(self, name: str, category: str = "") -> None:
        self.name: str = str(name)[:WORD_CHARS_MAX]
        self.category: str = str(category or stage())[:WORD_CHARS_MAX]

    def __enter__(self) -> "step":
        self._tell("step_start")
        return self

    def __exit__(self, kind: "Any", error: "Any", trace: "Any") -> None:
        self._tell("step_stop", status="succeeded" if kind is None else "failed")

    def _tell(self, event: str, **more: str) -> None:
        if here().environ.get("STRONGROOM_EVENTS") != "stderr":
            return
        told = {"event": event, "name": self.name, "category": self.category, **more}
        # What was said before comes before, and the event is a line of its own.
        sys.stdout.flush()
        sys.stderr.flush()
        line = (json.dumps(told) + "\n").encode("ascii")
        while line:
            line = line[os.write(2, line) :]


_progress_told = [float("-inf")]


def progress(done: float, total: "Optional[float]" = None, what: str = "") -> None:
    """Tells the caller how far this run has come, in units of your own.

    It is a line `progress DONE/TOTAL WHAT` in the log, at most one a second;
    the last one, where `done` has reached `total`, is always told. `LogLine`
    reads it back as `progress`.
    """
    now = time.monotonic()
    finished = total is not None and total <= done
    if not finished and now < _progress_told[0] + PROGRESS_EVERY:
        return
    _progress_told[0] = float("-inf") if finished else now
    of = "" if total is None else f"/{total:g}"
    words = " ".join(what.split())
    log(f"progress {done:g}{of}" + (f" {words}" if words else ""))


def said(root: str, stages: str) -> "Dict[str, Any]":
    """What the input in this folder of `/data` says of itself: meta, structure, readme."""
    try:
        with open(f"{stages}/inputs.json", "rb") as file:
            told = json.loads(file.read())
    except FileNotFoundError:
        return {}
    name = os.path.relpath(root, here().data)
    return dict(told.get("" if name == "." else name) or {})


class Context:
    """What a stage knows of its run."""

    def __init__(self) -> None:
        self.args: "Any" = args()
        self.run_id: str = run_id()
        self.stage: str = stage()

    @property
    def download(self) -> "Any":
        """What `download` returned; only `transform` has it."""
        return self._value("download")

    @property
    def expose(self) -> "Any":
        """What `expose` returned; only `download` has it."""
        return self._value("expose")

    @property
    def config(self) -> "Dict[str, Any]":
        """The settings of this stage, by name."""
        return _named_values("STRONGROOM_CONFIG")

    @property
    def secrets(self) -> "Dict[str, Any]":
        """The secrets of this stage, by name."""
        return _named_values("STRONGROOM_SECRETS")

    def _value(self, name: str) -> "Any":
        if not os.path.exists(f"{here().stages}/{name}.json"):
            raise AttributeError(f"the stage {self.stage} is given no value of the stage {name}")
        return earlier(name)

    @property
    def out(self) -> "Path":
        """The folder whose files become the outputs."""
        from pathlib import Path

        return Path(here().out)
