"""What a station answers, as values.

Each record keeps the whole answer in `raw`, so that a station that says more
than this package knows loses nothing. Times are in milliseconds since 1970,
sizes in bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from ._text import shown

Json = Dict[str, Any]
_PROGRESS = re.compile(r"progress (-?[\d.e+-]+)(?:/(-?[\d.e+-]+))?(?: (.*))?")


@dataclass(frozen=True)
class Reason:
    """Why a run ended. `code` is stable; `details` go with it, such as `limit_ms`."""

    code: str
    details: Mapping[str, Any]

    def __str__(self) -> str:
        known = self.details
        if "exit_code" in known:
            return f"{self.code}(exit {known['exit_code']})"
        if "signal" in known:
            return f"{self.code}(signal {known['signal']})"
        if "limit_ms" in known:
            return f"{self.code}({known['limit_ms'] / 1000:g} s)"
        if "limit_bytes" in known:
            return f"{self.code}({_size(known['limit_bytes'])})"
        words = [shown(str(value), 500) for value in known.values()]
        return f"{self.code}({': '.join(words)})" if words else self.code


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size <= count:
            return f"{count / size:.4g} {unit}"
    return f"{count} B"


@dataclass(frozen=True)
class Usage:
    """What a run used, counted by the station."""

    wall_ms: int = 0
    cpu_ms: int = 0
    memory_peak_bytes: int = 0
    out_bytes: int = 0


@dataclass(frozen=True)
class OutputFile:
    """One file that a run wrote to `/out`."""

    path: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Run:
    """One execution; `value` and `files` are there for its caller, once it succeeded."""

    id: str
    request: str
    caller: str
    #: `waiting`, `queued`, `starting`, `running` or `ended`.
    state: str
    function: Optional[str]
    #: Whose answer it waits for.
    waits_for: Tuple[str, ...]
    reason: Optional[Reason]
    value: Any
    files: Tuple[OutputFile, ...]
    usage: Optional[Usage]
    raw: Json = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.state == "ended"

    @property
    def succeeded(self) -> bool:
        return self.reason is not None and self.reason.code == "succeeded"

    @classmethod
    def of(cls, raw: Json) -> Run:
        reason = dict(raw["reason"]) if raw.get("reason") else None
        usage = raw.get("usage") or {}
        return cls(
            id=raw["id"],
            request=raw["request"],
            caller=raw["caller"],
            state=raw["state"],
            function=raw.get("function"),
            waits_for=tuple(raw.get("waits_for", ())),
            reason=Reason(reason.pop("code"), reason) if reason else None,
            value=raw.get("value"),
            files=tuple(
                OutputFile(each["path"], each["digest"], each["size_bytes"])
                for each in raw.get("files", ())
            ),
            usage=Usage(**{key: usage[key] for key in Usage.__annotations__ if key in usage})
            if usage
            else None,
            raw=raw,
        )


@dataclass(frozen=True)
class Progress:
    """How far a run says it is, in units of its own."""

    done: float
    total: Optional[float]
    what: str


@dataclass(frozen=True)
class LogLine:
    """One line that a guest wrote: a stranger's text, as it came."""

    #: From 1, without gaps.
    seq: int
    at_ms: int
    #: `stdout` or `stderr`.
    stream: str
    text: str

    @property
    def progress(self) -> Optional[Progress]:
        """What `strongroom.progress` told, if this line is such a one."""
        found = _PROGRESS.fullmatch(self.text)
        try:
            if found is None:
                return None
            done, total, what = found.groups()
            return Progress(float(done), None if total is None else float(total), what or "")
        except ValueError:
            return None

    @classmethod
    def of(cls, raw: Json) -> LogLine:
        return cls(raw["seq"], raw["at_ms"], raw["stream"], raw["text"])


@dataclass(frozen=True)
class StateChange:
    """A run came into another state."""

    state: str
    waits_for: Tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """A run ended; the last event of all."""

    run: Run


Event = Union[StateChange, LogLine, Ended]


@dataclass(frozen=True)
class Request:
    """May this plan run? As its owners and its caller see it."""

    id: str
    #: `pending`, `approved`, `rejected`, `revoked`, `expired` or `withdrawn`.
    state: str
    caller: str
    run: str
    function: str
    function_version: str
    plan_digest: str
    purpose: str
    #: Each owner's answer, by name.
    verdicts: Mapping[str, Json]
    #: Source, diff, plan and manifest, for its owners; None in lists.
    detail: Optional[Json]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def of(cls, raw: Json) -> Request:
        names = ("id", "state", "caller", "run", "function", "function_version", "plan_digest")
        return cls(
            **{name: raw[name] for name in names},
            purpose=raw.get("purpose", ""),
            verdicts=raw.get("verdicts", {}),
            detail=raw.get("detail"),
            raw=raw,
        )


@dataclass(frozen=True)
class DatasetVersion:
    """One immutable version of a dataset."""

    dataset: str
    #: `sha256:` and 64 hex digits.
    version: str
    message: str
    at_ms: int
    file_count: int
    size_bytes: int
    #: The push changed nothing, and this is the version that was there.
    unchanged: bool
    #: By path; None in lists.
    files: Optional[Mapping[str, OutputFile]]
    raw: Json = field(repr=False, compare=False)

    @property
    def reference(self) -> str:
        return f"{self.dataset}@{self.version}"

    @classmethod
    def of(cls, raw: Json) -> DatasetVersion:
        files = raw.get("files")
        return cls(
            dataset=raw["dataset"],
            version=raw["version"],
            message=raw.get("message", ""),
            at_ms=raw["at_ms"],
            file_count=raw["file_count"],
            size_bytes=raw["size_bytes"],
            unchanged=raw.get("unchanged", False),
            files=None
            if files is None
            else {
                path: OutputFile(path, each["digest"], each["size_bytes"])
                for path, each in files.items()
            },
            raw=raw,
        )


@dataclass(frozen=True)
class Dataset:
    name: str
    newest: DatasetVersion
    version_count: int

    @classmethod
    def of(cls, raw: Json) -> Dataset:
        return cls(raw["name"], DatasetVersion.of(raw["newest"]), raw["version_count"])


@dataclass(frozen=True)
class FunctionVersion:
    """One immutable version of a function."""

    function: str
    version: str
    #: What it says of itself: `runtime`, `entry`, `description`, `inputs`, `args`, `limits`.
    manifest: Json
    message: str
    at_ms: int
    unchanged: bool
    raw: Json = field(repr=False, compare=False)

    @property
    def reference(self) -> str:
        return f"{self.function}@{self.version}"

    @classmethod
    def of(cls, raw: Json) -> FunctionVersion:
        return cls(
            function=raw["function"],
            version=raw["version"],
            manifest=raw["manifest"],
            message=raw.get("message", ""),
            at_ms=raw["at_ms"],
            unchanged=raw.get("unchanged", False),
            raw=raw,
        )


@dataclass(frozen=True)
class Function:
    name: str
    newest: FunctionVersion
    version_count: int

    @classmethod
    def of(cls, raw: Json) -> Function:
        return cls(raw["name"], FunctionVersion.of(raw["newest"]), raw["version_count"])
