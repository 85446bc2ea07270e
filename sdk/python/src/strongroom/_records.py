"""What a station answers, as values.

Each record keeps the whole answer in `raw`, so that a station that says more
than this package knows loses nothing. What is known is read strictly: a field
that is missing or of another kind is a `BadAnswer`, which names it. Times are
in milliseconds since 1970, sizes in bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from ._errors import BadAnswer
from ._text import shown

Json = Dict[str, Any]
_PROGRESS = re.compile(r"progress (-?[\d.e+-]+)(?:/(-?[\d.e+-]+))?(?: (.*))?")


class _Row:
    """An object of an answer, whose fields are taken as what they have to be."""

    def __init__(self, what: str, raw: Any) -> None:
        self.what = what
        if not isinstance(raw, dict):
            raise BadAnswer(f"the station answered {what} that is no object")
        self.raw: Json = raw

    def _found(self, name: str, kinds: Any, spare: Any) -> Any:
        found = self.raw.get(name)
        if found is None and spare is not _NEEDED:
            return spare
        if not isinstance(found, kinds) or (kinds is int and isinstance(found, bool)):
            raise BadAnswer(f"the station answered {self.what} with no {name} that makes sense")
        return found

    def text(self, name: str, spare: Any = None) -> str:
        text: str = self._found(name, str, _NEEDED if spare is None else spare)
        return text

    def count(self, name: str) -> int:
        """A whole number from 0."""
        count: int = self._found(name, int, _NEEDED)
        if not 0 <= count < 1 << 63:
            raise BadAnswer(f"the station answered {self.what} with no {name} that makes sense")
        return count

    def flag(self, name: str) -> bool:
        return bool(self._found(name, bool, False))

    def object(self, name: str, spare: Any = None) -> Json:
        found: Json = self._found(name, dict, _NEEDED if spare is None else spare)
        return found

    def texts(self, name: str) -> Tuple[str, ...]:
        found: List[Any] = self._found(name, list, [])
        if not all(isinstance(each, str) for each in found):
            raise BadAnswer(f"the station answered {self.what} with no {name} that makes sense")
        return tuple(found)

    def rows(self, name: str) -> List[Any]:
        found: List[Any] = self._found(name, list, [])
        return found


_NEEDED: Any = object()


def items(page: Any) -> Tuple[List[Any], Optional[str]]:
    """The rows of one page of a list, and where the next one begins."""
    row = _Row("a page", page)
    found: List[Any] = row._found("items", list, _NEEDED)
    after = row.text("next", "") or None
    if after is not None and not found:
        raise BadAnswer("the station answered a page of nothing, and that more would come")
    return found, after


@dataclass(frozen=True)
class Reason:
    """Why a run ended. `code` is stable; `details` go with it, such as `limit_ms`."""

    code: str
    details: Mapping[str, Any]

    def __str__(self) -> str:
        code, known = shown(self.code, 80), self.details
        for name, written in (
            ("exit_code", "exit {:g}"),
            ("signal", "signal {:g}"),
            ("limit_ms", "{:g} s"),
            ("limit_bytes", ""),
        ):
            number = known.get(name)
            if isinstance(number, (int, float)) and abs(number) < 1e18:
                number = number / 1000 if name == "limit_ms" else number
                return f"{code}({written.format(number) or _size(int(number))})"
        words = [shown(str(value), 500) for value in known.values()]
        return f"{code}({': '.join(words)})" if words else code


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
    #: `sha256:` and 64 hex digits.
    digest: str
    size_bytes: int

    @classmethod
    def of(cls, raw: Any, path: Optional[str] = None) -> OutputFile:
        """As a station says it; in a mapping its path is the key."""
        row = _Row("a file", raw)
        path = row.text("path") if path is None else path
        return cls(path, row.text("digest"), row.count("size_bytes"))


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
        """Whether it is over; `reason` says how it went."""
        return self.state == "ended"

    @property
    def succeeded(self) -> bool:
        """Whether it is over and went well, so that `value` and `files` are there."""
        return self.reason is not None and self.reason.code == "succeeded"

    @classmethod
    def of(cls, raw: Any) -> Run:
        """As a station says it."""
        row = _Row("a run", raw)
        reason = row.object("reason", {})
        usage = _Row("a usage", row.object("usage", {}))
        code = _Row("a reason", reason).text("code") if reason else ""
        details = {name: value for name, value in reason.items() if name != "code"}
        counts = {name: usage.count(name) for name in Usage.__annotations__ if name in usage.raw}
        return cls(
            id=row.text("id"),
            request=row.text("request"),
            caller=row.text("caller"),
            state=row.text("state"),
            function=row.text("function", "") or None,
            waits_for=row.texts("waits_for"),
            reason=Reason(code, details) if reason else None,
            value=row.raw.get("value"),
            files=tuple(OutputFile.of(each) for each in row.rows("files")),
            usage=Usage(**counts) if usage.raw else None,
            raw=row.raw,
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
    def of(cls, raw: Any) -> LogLine:
        """As a station says it."""
        row = _Row("a line", raw)
        return cls(row.count("seq"), row.count("at_ms"), row.text("stream"), row.text("text"))


@dataclass(frozen=True)
class StateChange:
    """A run came into another state."""

    #: As `Run.state`.
    state: str
    #: Whose answer it waits for; empty when it waits for none.
    waits_for: Tuple[str, ...]

    @classmethod
    def of(cls, raw: Any) -> StateChange:
        """As a station says it."""
        row = _Row("a state", raw)
        return cls(row.text("state"), row.texts("waits_for"))


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
    def of(cls, raw: Any) -> Request:
        """As a station says it."""
        row = _Row("a request", raw)
        return cls(
            id=row.text("id"),
            state=row.text("state"),
            caller=row.text("caller"),
            run=row.text("run"),
            function=row.text("function"),
            function_version=row.text("function_version"),
            plan_digest=row.text("plan_digest"),
            purpose=row.text("purpose", ""),
            verdicts=row.object("verdicts", {}),
            detail=row.object("detail", {}) or None,
            raw=row.raw,
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
        """`owner/name@sha256:…`, which names this version for ever."""
        return f"{self.dataset}@{self.version}"

    @classmethod
    def of(cls, raw: Any) -> DatasetVersion:
        """As a station says it."""
        row = _Row("a version of a dataset", raw)
        files = None if row.raw.get("files") is None else row.object("files")
        return cls(
            dataset=row.text("dataset"),
            version=row.text("version"),
            message=row.text("message", ""),
            at_ms=row.count("at_ms"),
            file_count=row.count("file_count"),
            size_bytes=row.count("size_bytes"),
            unchanged=row.flag("unchanged"),
            files=None
            if files is None
            else {path: OutputFile.of(each, path) for path, each in files.items()},
            raw=row.raw,
        )


@dataclass(frozen=True)
class Dataset:
    """A dataset by its name, with its newest version."""

    #: `owner/name`.
    name: str
    newest: DatasetVersion
    version_count: int

    @classmethod
    def of(cls, raw: Any) -> Dataset:
        """As a station says it."""
        row = _Row("a dataset", raw)
        newest = DatasetVersion.of(row.raw.get("newest"))
        return cls(row.text("name"), newest, row.count("version_count"))


@dataclass(frozen=True)
class FunctionVersion:
    """One immutable version of a function."""

    #: `owner/name`.
    function: str
    #: `sha256:` and 64 hex digits.
    version: str
    #: What it says of itself: `runtime`, `entry`, `description`, `inputs`, `args`, `limits`.
    manifest: Json
    message: str
    at_ms: int
    unchanged: bool
    raw: Json = field(repr=False, compare=False)

    @property
    def reference(self) -> str:
        """`owner/name@sha256:…`, which names this version for ever."""
        return f"{self.function}@{self.version}"

    @classmethod
    def of(cls, raw: Any) -> FunctionVersion:
        """As a station says it."""
        row = _Row("a version of a function", raw)
        return cls(
            function=row.text("function"),
            version=row.text("version"),
            manifest=row.object("manifest"),
            message=row.text("message", ""),
            at_ms=row.count("at_ms"),
            unchanged=row.flag("unchanged"),
            raw=row.raw,
        )


@dataclass(frozen=True)
class Function:
    """A function by its name, with its newest version."""

    #: `owner/name`.
    name: str
    newest: FunctionVersion
    version_count: int

    @classmethod
    def of(cls, raw: Any) -> Function:
        """As a station says it."""
        row = _Row("a function", raw)
        newest = FunctionVersion.of(row.raw.get("newest"))
        return cls(row.text("name"), newest, row.count("version_count"))
