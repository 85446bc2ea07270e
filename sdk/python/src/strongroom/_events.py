"""A run while it happens, read from the station's server-sent events.

A broken connection is taken up again after the last line that was seen, so
that no line is missed and none is told twice.
"""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from typing import Iterator, List, Optional, Tuple

from ._errors import BadAnswer, Unreachable
from ._records import Ended, Event, LogLine, Run, StateChange
from ._wire import ANSWER_BYTES_MAX, Aborted, Answer, Call, Wire, _abort, path_of

#: How often a lost station is looked for before we give up.
ATTEMPTS_MAX = 12
#: How much longer each time, in seconds.
PAUSE = 0.25
#: The longest silence, in seconds; a station says every 15 s that it is alive.
SILENCE_MAX = 60.0


def follow(wire: Wire, run: str, after: int, deadline: Optional[float]) -> Iterator[Event]:
    """All that happens to a run, to its end or to `deadline` of the monotonic clock."""
    seen, attempts = after, 0
    while True:
        try:
            answer = _opened(wire, run, seen, deadline)
            for event in _events(answer):
                attempts = 0
                if isinstance(event, LogLine):
                    if event.seq <= seen:
                        continue
                    seen = event.seq
                yield event
                if isinstance(event, Ended):
                    return
                if deadline is not None and deadline <= time.monotonic():
                    return
            lost = Unreachable(f"the connection to {wire.url} broke")
        except Unreachable as error:
            lost = error
        if _abort().fired.is_set():
            raise Aborted
        if deadline is not None and deadline <= time.monotonic():
            return
        attempts += 1
        if attempts == ATTEMPTS_MAX:
            raise lost
        _abort().fired.wait(PAUSE * attempts)


def _opened(wire: Wire, run: str, seen: int, deadline: Optional[float]) -> Answer:
    silence = SILENCE_MAX
    if deadline is not None:
        silence = min(silence, max(deadline - time.monotonic(), 0.1))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(seen)}
    path = path_of("v1", "runs", run, "events")
    return wire.ask(Call("GET", path, {}, headers, None, 0, silence))


def _events(answer: Answer) -> Iterator[Event]:
    """Those of one connection that we know."""
    try:
        name = ""
        data: List[str] = []
        while True:
            line = answer.line()
            if not line.endswith(b"\n"):
                return
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if not text:
                event = read(name, "\n".join(data))
                if event is not None:
                    yield event
                name, data = "", []
                continue
            field, value = _field(text)
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
                if ANSWER_BYTES_MAX < sum(map(len, data)):
                    raise BadAnswer("an event is longer than any station sends")
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(f"the connection to the station broke: {error}") from error
    finally:
        answer.connection.close()


def _field(line: str) -> Tuple[str, str]:
    field, _, value = line.partition(":")
    return field, value[1:] if value.startswith(" ") else value


def read(name: str, data: str) -> Optional[Event]:
    """One event; None for one that we do not know."""
    try:
        if name == "log":
            return LogLine.of(json.loads(data))
        if name == "state":
            return StateChange.of(json.loads(data))
        if name == "end":
            return Ended(Run.of(json.loads(data)))
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the event {name} is no JSON: {error}") from None
    return None
