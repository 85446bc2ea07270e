"""What can go wrong for a caller, each kind its own class.

Three families below `StrongroomError`: a `Problem` is a station's no to one
call, by its stable `code`; a `RunError` is how a run ended, by its reason;
`NotEnded` is a run that goes on. All of them can be caught by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence, Tuple, Type

from ._text import shown

if TYPE_CHECKING:
    from ._records import LogLine, Reason, Run


class StrongroomError(Exception):
    """Anything that this package raises for a caller."""


class NotLoggedIn(StrongroomError):
    """No station or no token was given, stored or in the environment."""


class Unreachable(StrongroomError):
    """The station did not answer, after as many attempts as make sense."""


class BadAnswer(StrongroomError):
    """What answered does not answer as a station does."""


class FileChanged(StrongroomError):
    """A file is not what its digest says: it changed, or came damaged."""


class Problem(StrongroomError):
    """The station's no to a call. `code` is stable, `detail` is for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{shown(detail, 2000)} ({shown(code, 80)})")
        self.status = status
        self.code = code
        self.detail = detail


class Unauthorized(Problem):
    """The token is none, was revoked or has run out."""


class NotFound(Problem):
    """It is not there, or it is not yours to know of."""


class Conflict(Problem):
    """It does not go with how things stand, such as an answer given already."""


class Invalid(Problem):
    """What was asked for breaks a law: bad arguments, inputs, names, files."""


class TooLarge(Problem):
    """A body is over the station's bound."""


class TooMany(Problem):
    """There is a bound on how many; some have to end first."""


class StationTrouble(Problem):
    """The station is at fault, or its host lacks something."""


_BY_STATUS: Dict[int, Type[Problem]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    400: Invalid,
    422: Invalid,
    413: TooLarge,
    429: TooMany,
}


def problem(status: int, code: str, detail: str) -> Problem:
    """The problem's own class."""
    kind = StationTrouble if 500 <= status else _BY_STATUS.get(status, Problem)
    return kind(status, code, detail)


class NotEnded(StrongroomError):
    """The time given was over before the run was. It goes on."""

    def __init__(self, run: Run, message: str) -> None:
        super().__init__(message)
        self.run = run


class PendingApproval(NotEnded):
    """Not every owner has answered; once they have, it starts by itself."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, pending_message(run))
        self.waits_for: Tuple[str, ...] = run.waits_for
        self.request: str = run.request


class StillRunning(NotEnded):
    """It was let in and has not ended."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, f"{shown(run.id, 80)} has not ended; it is {shown(run.state, 80)}")


def pending_message(run: Run) -> str:
    """Whom a run waits for, and what happens then."""
    owners = " and ".join(shown(owner, 80) for owner in run.waits_for) or "its owners"
    run_id, request = shown(run.id, 80), shown(run.request, 80)
    return f"{run_id} waits for {owners} ({request}); once approved it starts by itself"


class RunError(StrongroomError):
    """A run ended, and not well.

    `remote_traceback` is what the function's interpreter said at its end, and
    `log_tail` are the last lines of its log, oldest first. Both are text of
    whoever wrote the function; in the message of this error it is made harmless.
    """

    def __init__(self, run: Run, log_tail: Sequence[LogLine] = ()) -> None:
        self.run = run
        self.reason: Reason = run.reason  # type: ignore[assignment]
        self.log_tail: Tuple[LogLine, ...] = tuple(log_tail)
        self.remote_traceback: Optional[str] = remote_traceback(log_tail)
        function = shown(run.function or "the script", 200)
        message = f"{function}: {self.reason} ({shown(run.id, 80)})"
        if self.remote_traceback is not None:
            lines = [shown(line) for line in self.remote_traceback.split("\n")]
            message += "\n\nRemote traceback:\n  " + "\n  ".join(lines)
        super().__init__(message)


class Failed(RunError):
    """The function ended by itself, and not well: `exit_code` or `signal`."""

    @property
    def exit_code(self) -> Optional[int]:
        """What it exited with, 0 to 255; None when a signal ended it."""
        return _whole(self.reason.details.get("exit_code"))

    @property
    def signal(self) -> Optional[int]:
        """The number of the signal that ended it; None when it exited."""
        return _whole(self.reason.details.get("signal"))


def _whole(found: Any) -> Optional[int]:
    return found if isinstance(found, int) else None


class TimedOut(RunError):
    """It ran for longer than its limit `time`."""


class OutOfMemory(RunError):
    """It needed more than its limit `memory`."""


class TooManyProcesses(RunError):
    """It needed more than its limit `processes`."""


class DiskFull(RunError):
    """It needed more of `/tmp` than its limit `tmp`."""


class OutputTooLarge(RunError):
    """It wrote more to `/out`, or returned more, than its limit `out`."""


class OutputRefused(RunError):
    """Something in `/out` is no regular file, or has no lawful name."""


class LogLimit(RunError):
    """It wrote more to its log than its limit `log`."""


class Cancelled(RunError):
    """Somebody cancelled it."""


class Refused(RunError):
    """It was not allowed to run: an owner said no, or a wall is missing."""


class BuildFailed(RunError):
    """What it needs could not be built."""


class HostError(RunError):
    """The station is at fault, not the function."""


_BY_REASON: Dict[str, Type[RunError]] = {
    "failed": Failed,
    "timed_out": TimedOut,
    "out_of_memory": OutOfMemory,
    "too_many_processes": TooManyProcesses,
    "disk_full": DiskFull,
    "output_too_large": OutputTooLarge,
    "output_refused": OutputRefused,
    "log_limit": LogLimit,
    "cancelled": Cancelled,
    "refused": Refused,
    "build_failed": BuildFailed,
    "host_error": HostError,
}


def run_error(run: Run, log_tail: Sequence[LogLine] = ()) -> RunError:
    """The error's own class; a reason that is new is a plain `RunError`."""
    code = run.reason.code if run.reason else ""
    return _BY_REASON.get(code, RunError)(run, log_tail)


_TRACEBACK = "Traceback (most recent call last):"


def remote_traceback(lines: Sequence[LogLine]) -> Optional[str]:
    """The last traceback on stderr, to its end; None when there is none."""
    stderr = [line.text for line in lines if line.stream == "stderr"]
    starts = [index for index, text in enumerate(stderr) if text.endswith(_TRACEBACK)]
    if not starts:
        return None
    return "\n".join(stderr[starts[-1] :]).rstrip()
