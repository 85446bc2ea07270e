"""A station, as its callers, developers and owners use it.

Each method is one thing that a person can ask of a station. What is asked is
sent once, or again under the same key where a connection breaks, so that
nothing happens twice. `AsyncStation` has the same methods for asyncio.
"""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Callable, Mapping, Optional, Type

from . import _login
from ._records import Json, LogLine, Run
from ._runs import Limits, On, Requests, Runs, tell_pending
from ._shelves import Datasets, Functions
from ._wire import Wire


class Station:
    """A station and who asks it.

    Without `url` and `token`, those of STRONGROOM_URL and STRONGROOM_TOKEN, or
    what `strongroom login` stored. `timeout` is the longest silence of a call,
    in seconds. Safe to use from several threads. `close` it, or use it in a
    `with`.

    Every method raises `Unreachable` when the station does not answer, and a
    `Problem` when it says no: `NotFound` for what is not there or not yours to
    see, `Invalid` for what breaks a law, `Conflict`, `TooMany`, `Unauthorized`.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        token: Optional[str] = None,
        *,
        timeout: float = 90.0,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        url, token = _login.found(url, token)
        self._wire = Wire(url, token, timeout, context)
        self.datasets: Datasets = Datasets(self._wire)
        self.functions: Functions = Functions(self._wire)
        self.runs: Runs = Runs(self._wire)
        self.requests: Requests = Requests(self._wire)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return self._wire.url

    def __repr__(self) -> str:
        return f"<Station {self.url}>"

    def __enter__(self) -> Station:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets its connections go; the station can still be used."""
        self._wire.close()

    def me(self) -> str:
        """The name of the user whose token this is."""
        return str(self._wire.json("GET", "/v1/me", again=True)["user"])

    def health(self) -> Json:
        """`status` (`ok` or `degraded`), `version` and `tier`."""
        return dict(self._wire.json("GET", "/healthz", again=True))

    def run(
        self,
        function: str,
        on: On = None,
        args: Optional[Mapping[str, Any]] = None,
        *,
        limits: Optional[Limits] = None,
        purpose: str = "",
        expose: Optional[str] = None,
        key: Optional[str] = None,
        timeout: Optional[float] = None,
        on_pending: Optional[Callable[[Run], None]] = tell_pending,
        on_log: Optional[Callable[[LogLine], None]] = None,
    ) -> Run:
        """Asks for a run, waits for it, and returns it once it has succeeded.

        `function` is `owner/name`, `owner/name@sha256:…` or `owner/name~1`;
        `on` is one dataset as `owner/name`, several as `input=owner/name`, or a
        dict by input; `args`, at most 1 MiB of JSON, must satisfy its schema.
        `limits` are bounds as people write them, such as `{"memory": "256 MiB",
        "time": "30s", "cpu": 0.5}`, each at most what the station grants.
        `purpose` is told to the owners. `expose` says what is wanted of a
        function that hands something on to its stage with a network: `off`,
        `ask_owners` or `all_datasets`. Asking twice with the same `key` is
        asking once. Nothing runs before every owner has agreed: `on_pending` is
        told, once, whom it waits for. `on_log` gets each line as it comes.

        Raises a `RunError` when it ended otherwise (`Failed` has the remote
        traceback), and after `timeout` seconds `PendingApproval` or
        `StillRunning`: then it goes on, and `runs.wait` takes it up again.
        """
        run = self.runs.ask(
            function, on, args, limits=limits, purpose=purpose, expose=expose, key=key
        )
        return self.runs.wait(
            run.id, timeout=timeout, on_pending=on_pending, on_log=on_log, check=True
        )

    def call(
        self,
        function: str,
        on: On = None,
        args: Optional[Mapping[str, Any]] = None,
        *,
        limits: Optional[Limits] = None,
        purpose: str = "",
        expose: Optional[str] = None,
        key: Optional[str] = None,
        timeout: Optional[float] = None,
        on_pending: Optional[Callable[[Run], None]] = tell_pending,
        on_log: Optional[Callable[[LogLine], None]] = None,
    ) -> Any:
        """What `run` with the same arguments returned: any JSON.

        It raises what `run` raises.
        """
        ran = self.run(
            function,
            on,
            args,
            limits=limits,
            purpose=purpose,
            expose=expose,
            key=key,
            timeout=timeout,
            on_pending=on_pending,
            on_log=on_log,
        )
        return ran.value
