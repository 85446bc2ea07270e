"""What was asked for and what came of it: `station.runs` and `station.requests`."""

from __future__ import annotations

import sys
import time
import uuid
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping, Optional, Sequence, Union

from . import _events, _files
from ._errors import BadAnswer, PendingApproval, StillRunning, pending_message, run_error
from ._lists import download, pages
from ._records import Ended, Event, LogLine, OutputFile, Request, Run, items
from ._wire import Wire, path_of

#: What a run is on: one dataset, several as `input=owner/name`, or a dict by input.
On = Union[None, str, Sequence[str], Mapping[str, str]]
#: Bounds as people write them: `{"memory": "256 MiB", "time": "30s", "cpu": 0.5}`.
Limits = Mapping[str, Union[str, int, float]]

#: The longest that one call waits for a run, in seconds; a station answers within 60.
WAIT_MAX = 50.0
#: Lines of one page of a log.
LINES_OF_PAGE = 1000
#: The last lines of a log that go with a `RunError`.
TAIL_LINES_MAX = 200


def tell_pending(run: Run) -> None:
    """Says on stderr whom a run waits for."""
    print(pending_message(run), file=sys.stderr, flush=True)


class Runs:
    """`station.runs`: what was asked for, and what came of it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def ask(
        self,
        function: str,
        on: On = None,
        args: Optional[Mapping[str, Any]] = None,
        *,
        limits: Optional[Limits] = None,
        purpose: str = "",
        expose: Optional[str] = None,
        key: Optional[str] = None,
    ) -> Run:
        """Asks, and does not wait; what can be said is told at `Station.run`.

        Asking twice with the same `key` is asking once. Raises `Invalid` for
        arguments that the function does not take, and `NotFound` for a
        function or a dataset that is not there or not yours to see.
        """
        body: Dict[str, Any] = {
            "function": function,
            "on": inputs(on),
            "args": dict(args) if args is not None else {},
            "limits": dict(limits or {}),
            "purpose": purpose,
        }
        if expose is not None:
            body["expose"] = expose
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return Run.of(self._wire.json("POST", "/v1/runs", body, headers=headers, again=True))

    def get(self, id: str, wait: float = 0.0) -> Run:
        """A run as it stands; with `wait`, once it has ended or after so many seconds (at most 50)."""
        query = {"wait": f"{int(min(wait, WAIT_MAX) * 1000)}ms"} if 0 < wait else {}
        timeout = max(self._wire.timeout, wait + 30)
        path = path_of("v1", "runs", id)
        return Run.of(self._wire.json("GET", path, query=query, again=True, timeout=timeout))

    def list(self, state: Optional[str] = None, most: int = 1000) -> Iterator[Run]:
        """Your runs, newest first, at most `most`."""
        for row in pages(self._wire, "/v1/runs", {"state": state}, most):
            yield Run.of(row)

    def wait(
        self,
        id: str,
        *,
        timeout: Optional[float] = None,
        on_pending: Optional[Callable[[Run], None]] = None,
        on_log: Optional[Callable[[LogLine], None]] = None,
        check: bool = False,
    ) -> Run:
        """Waits until a run has ended, at most `timeout` seconds; returns it.

        With `check`, a run that did not succeed is raised as its `RunError`.
        Raises `PendingApproval` or `StillRunning` when the time is over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        run = self.get(id)
        if run.state == "waiting" and on_pending is not None:
            on_pending(run)
        if not run.ended:
            run = self._ended(id, deadline, on_log) if on_log else self._waited(run, deadline)
        elif on_log:
            for line in self.log(id):
                on_log(line)
        if not run.ended:
            raise PendingApproval(run) if run.state == "waiting" else StillRunning(run)
        return self.check(run) if check else run

    def _waited(self, run: Run, deadline: Optional[float]) -> Run:
        while not run.ended:
            left = WAIT_MAX if deadline is None else min(WAIT_MAX, deadline - time.monotonic())
            if left <= 0:
                return run
            run = self.get(run.id, wait=max(left, 0.001))
        return run

    def _ended(self, id: str, deadline: Optional[float], on_log: Callable[[LogLine], None]) -> Run:
        for event in _events.follow(self._wire, id, 0, deadline):
            if isinstance(event, LogLine):
                on_log(event)
            elif isinstance(event, Ended):
                return event.run
        return self.get(id)

    def check(self, run: Run) -> Run:
        """The run itself if it succeeded; else its `RunError`, with the end of its log."""
        if run.succeeded:
            return run
        if not run.ended:
            raise StillRunning(run)
        tail: Deque[LogLine] = deque(maxlen=TAIL_LINES_MAX)
        if run.raw.get("started_ms") is not None:
            tail.extend(self.log(run.id))
        raise run_error(run, list(tail))

    def events(
        self, id: str, *, after: int = 0, timeout: Optional[float] = None
    ) -> Iterator[Event]:
        """All that happens to a run: `LogLine`, `StateChange`, and `Ended` at last.

        It goes on by itself after the last line seen when the connection
        breaks. `after` is the `seq` of a line that was seen already; after
        `timeout` seconds it ends, whatever has happened.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return _events.follow(self._wire, id, after, deadline)

    def log(self, id: str, after: int = 0) -> Iterator[LogLine]:
        """The lines that there are by now, from the one after the `seq` `after`."""
        path = path_of("v1", "runs", id, "log")
        cursor: Optional[str] = str(after)
        while cursor is not None:
            query = {"after": cursor, "limit": LINES_OF_PAGE}
            rows, cursor = items(self._wire.json("GET", path, query=query, again=True))
            for row in rows:
                line = LogLine.of(row)
                if line.seq <= after:
                    raise BadAnswer("the station answered lines of a log that do not go on")
                after = line.seq
                yield line

    def cancel(self, id: str) -> Run:
        """Cancels a run, whatever its state; one that has ended stays as it is.

        It returns the run as it stands then, which may still be ending.
        """
        return Run.of(self._wire.json("POST", path_of("v1", "runs", id, "cancel"), {}, again=True))

    def read(self, run: Union[Run, str], path: str) -> bytes:
        """One output file, whole, checked against its digest.

        Raises `FileNotFoundError` when there is none of this path, and
        `FileChanged` when other bytes came.
        """
        run = self.get(run) if isinstance(run, str) else run
        file = next((file for file in run.files if file.path == path), None)
        if file is None:
            raise FileNotFoundError(f"{run.id} has no output {path!r}")
        return b"".join(_files.checked(self._chunks(run, file), file))

    def download(
        self, run: Union[Run, str], folder: _files.Path, *, replace: bool = False
    ) -> List[str]:
        """Writes all output files below `folder`; returns their paths.

        Each is written whole or not at all. Raises `FileExistsError` for one
        that is there, unless `replace`, and `FileChanged` when other bytes came.
        """
        run = self.get(run) if isinstance(run, str) else run
        return [_files.keep(folder, file, self._chunks(run, file), replace) for file in run.files]

    def _chunks(self, run: Run, file: OutputFile) -> Iterator[bytes]:
        path = path_of("v1", "runs", run.id, "files", *file.path.split("/"))
        yield from download(self._wire, path)


class Requests:
    """`station.requests`: what owners are asked, and what they answer."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(
        self, role: str = "owner", state: Optional[str] = None, most: int = 1000
    ) -> Iterator[Request]:
        """Requests to you (`owner`) or by you (`caller`), newest first."""
        for row in pages(self._wire, "/v1/requests", {"role": role, "state": state}, most):
            yield Request.of(row)

    def get(self, id: str) -> Request:
        """One request; for its owners with source, diff, plan and manifest in `detail`."""
        return Request.of(self._wire.json("GET", path_of("v1", "requests", id), again=True))

    def approve(
        self,
        id: str,
        *,
        args_schema: Optional[Any] = None,
        uses: Optional[int] = None,
        until_ms: Optional[int] = None,
        limits: Optional[Limits] = None,
    ) -> Request:
        """Says yes, for your data.

        Without more: to exactly this plan, as often as it is asked for.
        `args_schema`: to this function on these inputs, with any arguments
        that satisfy it. `uses`: so many runs, this one included. `until_ms`:
        until then, in milliseconds since 1970. `limits`: within these. Sent
        once, never repeated. Raises `Conflict` when it was answered already.
        """
        body: Dict[str, Any] = {"uses": uses, "until_ms": until_ms, "limits": dict(limits or {})}
        if args_schema is not None:
            body["args_schema"] = args_schema
        path = path_of("v1", "requests", id, "approve")
        return Request.of(self._wire.json("POST", path, body, again=False))

    def reject(self, id: str, reason: str = "") -> Request:
        """Says no; the caller is told `reason` (at most 2,000 characters)."""
        path = path_of("v1", "requests", id, "reject")
        return Request.of(self._wire.json("POST", path, {"reason": reason}, again=False))

    def revoke(self, id: str) -> Request:
        """Takes a yes back: what waits under it ends, what runs under it is killed."""
        path = path_of("v1", "requests", id, "revoke")
        return Request.of(self._wire.json("POST", path, {}, again=False))


def inputs(on: On) -> List[str]:
    """What a run is on, as the station takes it."""
    if on is None:
        return []
    if isinstance(on, str):
        return [on]
    if isinstance(on, Mapping):
        return [f"{name}={dataset}" for name, dataset in on.items()]
    return list(on)
