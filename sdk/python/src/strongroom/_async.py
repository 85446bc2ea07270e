"""The same station for asyncio.

The standard library has no asynchronous HTTP, and this package depends on
nothing else; so each call is made by a thread of a small pool, with the code
that everybody else uses, TLS and retries included. A call that is cancelled
has its connection shut, so that its thread is free at once.
"""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import (
    Any,
    AsyncIterator,
    Callable,
    Iterator,
    List,
    Mapping,
    Optional,
    Type,
    TypeVar,
    Union,
)

from ._files import Files, Path
from ._records import (
    Dataset,
    DatasetVersion,
    Event,
    Function,
    FunctionVersion,
    Json,
    LogLine,
    Request,
    Run,
)
from ._runs import Limits, On, tell_pending
from ._station import Station
from ._wire import Abort, abortable

T = TypeVar("T")
#: Calls at once; more wait for one to end.
THREADS_MAX = 32
_END = object()


class _Threads:
    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor = ThreadPoolExecutor(THREADS_MAX, "strongroom")

    async def do(self, call: Callable[[], T]) -> T:
        abort = Abort()

        def within() -> T:
            with abortable(abort):
                return call()

        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, within)
        except asyncio.CancelledError:
            abort.fire()
            raise

    async def each(self, items: Iterator[T]) -> AsyncIterator[T]:
        while True:
            item: Any = await self.do(lambda: next(items, _END))
            if item is _END:
                return
            yield item


class AsyncStation:
    """A station and who asks it; see `Station`, whose methods these are.

    Callbacks are called in the thread of a call and not in the event loop.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        token: Optional[str] = None,
        *,
        timeout: float = 90.0,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._station = Station(url, token, timeout=timeout, context=context)
        self._threads = _Threads()
        self.datasets: AsyncDatasets = AsyncDatasets(self._station, self._threads)
        self.functions: AsyncFunctions = AsyncFunctions(self._station, self._threads)
        self.runs: AsyncRuns = AsyncRuns(self._station, self._threads)
        self.requests: AsyncRequests = AsyncRequests(self._station, self._threads)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return self._station.url

    async def __aenter__(self) -> AsyncStation:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Lets its connections and threads go."""
        self._station.close()
        self._threads.pool.shutdown(wait=False)

    async def me(self) -> str:
        """`Station.me`."""
        return await self._threads.do(self._station.me)

    async def health(self) -> Json:
        """`Station.health`."""
        return await self._threads.do(self._station.health)

    async def run(
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
        """`Station.run`."""
        return await self._threads.do(
            lambda: self._station.run(
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
        )

    async def call(
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
        """`Station.call`."""
        ran = await self.run(
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


class _Part:
    def __init__(self, station: Station, threads: _Threads) -> None:
        self._station = station
        self._threads = threads


class AsyncRuns(_Part):
    """`AsyncStation.runs`: the methods of `Station.runs`."""

    async def ask(
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
        """`Station.runs.ask`."""
        runs = self._station.runs
        return await self._threads.do(
            lambda: runs.ask(
                function, on, args, limits=limits, purpose=purpose, expose=expose, key=key
            )
        )

    async def get(self, id: str, wait: float = 0.0) -> Run:
        """`Station.runs.get`."""
        return await self._threads.do(lambda: self._station.runs.get(id, wait))

    def list(self, state: Optional[str] = None, most: int = 1000) -> AsyncIterator[Run]:
        """`Station.runs.list`."""
        return self._threads.each(self._station.runs.list(state, most))

    async def wait(
        self,
        id: str,
        *,
        timeout: Optional[float] = None,
        on_pending: Optional[Callable[[Run], None]] = None,
        on_log: Optional[Callable[[LogLine], None]] = None,
        check: bool = False,
    ) -> Run:
        """`Station.runs.wait`."""
        runs = self._station.runs
        return await self._threads.do(
            lambda: runs.wait(
                id, timeout=timeout, on_pending=on_pending, on_log=on_log, check=check
            )
        )

    def events(
        self, id: str, *, after: int = 0, timeout: Optional[float] = None
    ) -> AsyncIterator[Event]:
        """`Station.runs.events`."""
        return self._threads.each(self._station.runs.events(id, after=after, timeout=timeout))

    def log(self, id: str, after: int = 0) -> AsyncIterator[LogLine]:
        """`Station.runs.log`."""
        return self._threads.each(self._station.runs.log(id, after))

    async def cancel(self, id: str) -> Run:
        """`Station.runs.cancel`."""
        return await self._threads.do(lambda: self._station.runs.cancel(id))

    async def read(self, run: Union[Run, str], path: str) -> bytes:
        """`Station.runs.read`."""
        return await self._threads.do(lambda: self._station.runs.read(run, path))

    async def download(
        self, run: Union[Run, str], folder: Path, *, replace: bool = False
    ) -> List[str]:
        """`Station.runs.download`."""
        return await self._threads.do(
            lambda: self._station.runs.download(run, folder, replace=replace)
        )


class AsyncRequests(_Part):
    """`AsyncStation.requests`: the methods of `Station.requests`."""

    def list(
        self, role: str = "owner", state: Optional[str] = None, most: int = 1000
    ) -> AsyncIterator[Request]:
        """`Station.requests.list`."""
        return self._threads.each(self._station.requests.list(role, state, most))

    async def get(self, id: str) -> Request:
        """`Station.requests.get`."""
        return await self._threads.do(lambda: self._station.requests.get(id))

    async def approve(
        self,
        id: str,
        *,
        args_schema: Optional[Any] = None,
        uses: Optional[int] = None,
        until_ms: Optional[int] = None,
        limits: Optional[Limits] = None,
    ) -> Request:
        """`Station.requests.approve`."""
        requests = self._station.requests
        return await self._threads.do(
            lambda: requests.approve(
                id, args_schema=args_schema, uses=uses, until_ms=until_ms, limits=limits
            )
        )

    async def reject(self, id: str, reason: str = "") -> Request:
        """`Station.requests.reject`."""
        return await self._threads.do(lambda: self._station.requests.reject(id, reason))

    async def revoke(self, id: str) -> Request:
        """`Station.requests.revoke`."""
        return await self._threads.do(lambda: self._station.requests.revoke(id))


class AsyncDatasets(_Part):
    """`AsyncStation.datasets`: the methods of `Station.datasets`."""

    def list(self, most: int = 1000) -> AsyncIterator[Dataset]:
        """`Station.datasets.list`."""
        return self._threads.each(self._station.datasets.list(most))

    async def get(self, name: str) -> Dataset:
        """`Station.datasets.get`."""
        return await self._threads.do(lambda: self._station.datasets.get(name))

    def versions(self, name: str, most: int = 1000) -> AsyncIterator[DatasetVersion]:
        """`Station.datasets.versions`."""
        return self._threads.each(self._station.datasets.versions(name, most))

    async def version(self, reference: str) -> DatasetVersion:
        """`Station.datasets.version`."""
        return await self._threads.do(lambda: self._station.datasets.version(reference))

    async def push(self, name: str, files: Files, message: str = "") -> DatasetVersion:
        """`Station.datasets.push`."""
        return await self._threads.do(lambda: self._station.datasets.push(name, files, message))

    async def read(self, reference: str, path: str) -> bytes:
        """`Station.datasets.read`."""
        return await self._threads.do(lambda: self._station.datasets.read(reference, path))

    async def download(self, reference: str, folder: Path, *, replace: bool = False) -> List[str]:
        """`Station.datasets.download`."""
        return await self._threads.do(
            lambda: self._station.datasets.download(reference, folder, replace=replace)
        )


class AsyncFunctions(_Part):
    """`AsyncStation.functions`: the methods of `Station.functions`."""

    def list(self, most: int = 1000) -> AsyncIterator[Function]:
        """`Station.functions.list`."""
        return self._threads.each(self._station.functions.list(most))

    async def get(self, name: str) -> Function:
        """`Station.functions.get`."""
        return await self._threads.do(lambda: self._station.functions.get(name))

    def versions(self, name: str, most: int = 1000) -> AsyncIterator[FunctionVersion]:
        """`Station.functions.versions`."""
        return self._threads.each(self._station.functions.versions(name, most))

    async def version(self, reference: str) -> FunctionVersion:
        """`Station.functions.version`."""
        return await self._threads.do(lambda: self._station.functions.version(reference))

    async def push(self, name: str, files: Files, message: str = "") -> FunctionVersion:
        """`Station.functions.push`."""
        return await self._threads.do(lambda: self._station.functions.push(name, files, message))
