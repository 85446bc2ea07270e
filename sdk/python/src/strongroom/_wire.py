"""One station over HTTP.

A token goes to the station that it is for and nowhere else: redirects are not
followed and no proxy is asked. Every answer has a bound and every silence an
end. What may be sent twice is sent again when a connection breaks, a few
times; nothing else is.
"""

from __future__ import annotations

import json
import random
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import IO, Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union
from urllib.parse import quote, urlencode, urlsplit

from ._errors import BadAnswer, Problem, StationTrouble, TooMany, Unreachable, problem
from ._text import shown

#: The longest answer that is held in memory, in bytes.
ANSWER_BYTES_MAX = 512 << 20
PROBLEM_BYTES_MAX = 1 << 20
#: Attempts at a call that may be repeated.
ATTEMPTS_MAX = 4
#: The pause before the second attempt, in seconds; each one after is twice as long.
PAUSE = 0.2
PAUSE_MAX = 10.0
#: Connections that are kept for later.
IDLE_MAX = 8
CHUNK_BYTES = 1 << 18

Body = Union[None, bytes, Callable[[], IO[bytes]]]


class Aborted(Exception):
    """Whoever asked has gone; nobody sees this."""


class Abort:
    """Ends what one thread is waiting for, from another."""

    def __init__(self) -> None:
        self.fired = threading.Event()
        self._lock = threading.Lock()
        self._connection: Optional[HTTPConnection] = None

    def hold(self, connection: Optional[HTTPConnection]) -> None:
        with self._lock:
            self._connection = connection
        if self.fired.is_set() and connection is not None:
            raise Aborted

    def fire(self) -> None:
        self.fired.set()
        with self._lock:
            socket = self._connection.sock if self._connection else None
        if socket is not None:
            try:
                socket.shutdown(2)
            except OSError:
                pass


_local = threading.local()


@contextmanager
def abortable(abort: Abort) -> Iterator[None]:
    """Whatever this thread sends within can be ended by `abort`."""
    _local.abort = abort
    try:
        yield
    finally:
        abort.hold(None) if not abort.fired.is_set() else None
        _local.abort = None


def _abort() -> Abort:
    found: Optional[Abort] = getattr(_local, "abort", None)
    return found or Abort()


def path_of(*parts: str) -> str:
    """A path whose parts cannot leave their places."""
    for part in parts:
        # Something on the way to the station would take them for steps.
        if part in ("", ".", ".."):
            raise ValueError(f"{part!r} names nothing on a station")
    return "".join("/" + quote(part, safe=":@~") for part in parts)


@dataclass
class Answer:
    """A yes of the station, whose body has still to be read."""

    wire: Wire
    connection: HTTPConnection
    response: HTTPResponse

    def json(self) -> Any:
        with self.reading():
            raw = self._all(ANSWER_BYTES_MAX)
            self.whole(raw)
        if ANSWER_BYTES_MAX < len(raw):
            self.connection.close()
            raise BadAnswer(f"{self.wire.url} answered more than {ANSWER_BYTES_MAX} bytes")
        try:
            return json.loads(raw) if raw else None
        except (ValueError, RecursionError) as error:
            raise BadAnswer(f"{self.wire.url} answered what is no JSON: {_why(error)}") from None

    def _all(self, most: int) -> bytes:
        """Up to one byte more than `most`; part by part, since some interpreters
        set aside at once whatever is asked for."""
        raw = bytearray()
        while len(raw) <= most:
            part = self.response.read(min(CHUNK_BYTES, most + 1 - len(raw)))
            if not part:
                break
            raw += part
        return bytes(raw)

    def chunks(self) -> Iterator[bytes]:
        with self.reading():
            while True:
                chunk = self.response.read(CHUNK_BYTES)
                if not chunk:
                    self.whole(chunk)
                    return
                yield chunk

    def whole(self, last: bytes) -> None:
        """Raises when the body ended before its announced length."""
        if self.response.length and len(last) <= ANSWER_BYTES_MAX:
            raise HTTPException("the answer was cut off")

    def line(self) -> bytes:
        """The next line with its end; empty at the end of the body."""
        _abort().hold(self.connection)
        return self.response.readline(ANSWER_BYTES_MAX)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Gives the connection back when the body was read to its end."""
        try:
            yield
            if self.response.isclosed():
                self.wire.keep(self.connection)
            else:
                self.connection.close()
        except (OSError, HTTPException) as error:
            self.connection.close()
            raise Unreachable(f"the connection to {self.wire.url} broke: {_why(error)}") from error
        except BaseException:
            self.connection.close()
            raise


class Wire:
    """A station's address, a token, and connections that wait to be used again."""

    def __init__(
        self, url: str, token: str, timeout: float, context: Optional[ssl.SSLContext]
    ) -> None:
        self.url = url
        self.timeout = timeout
        self._token = token
        place = urlsplit(url)
        self._prefix = place.path
        self._host, self._port = place.hostname or "", place.port
        self._context = context
        if place.scheme == "https" and context is None:
            self._context = ssl.create_default_context()
        self._tls = place.scheme == "https"
        self._idle: List[HTTPConnection] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Wire {self.url}>"

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < IDLE_MAX and connection.sock is not None:
                self._idle.append(connection)
                return
        connection.close()

    def json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Optional[Mapping[str, Any]] = None,
        headers: Optional[Mapping[str, str]] = None,
        again: bool,
        timeout: Optional[float] = None,
    ) -> Any:
        """Sends a JSON document, and reads one. `again` says that sending it twice is harmless."""
        raw = None
        sent = dict(headers or {})
        if body is not None:
            raw = json.dumps(body, allow_nan=False, ensure_ascii=False).encode("utf-8")
            sent["Content-Type"] = "application/json"
        call = Call(method, path, query or {}, sent, raw, len(raw or b""), timeout or self.timeout)
        return self.repeated(lambda: self.ask(call).json(), again)

    def repeated(self, attempt: Callable[[], Any], again: bool) -> Any:
        """Does it, and does it again where that may help and does no harm."""
        for number in range(1, ATTEMPTS_MAX + 1):
            try:
                return attempt()
            except (Unreachable, TooMany, StationTrouble) as error:
                passing = not isinstance(error, Problem) or error.status in (429, 502, 503, 504)
                if _abort().fired.is_set():
                    raise Aborted from None
                if not again or not passing or number == ATTEMPTS_MAX:
                    raise
            pause = min(PAUSE * 2 ** (number - 1), PAUSE_MAX)
            # Not all who were sent away come back at one time.
            _abort().fired.wait(pause * (0.75 + random.random() / 2))
        raise AssertionError("the last attempt returns or raises")

    def ask(self, call: Call) -> Answer:
        """Sends one call once; on a connection that had died, at once again."""
        connection, used = self._take(call.timeout)
        try:
            response = self._exchange(connection, call)
        except (OSError, HTTPException) as error:
            connection.close()
            if not used or _abort().fired.is_set():
                raise Unreachable(f"could not reach {self.url}: {_why(error)}") from error
            # The station hangs up on those who were long silent.
            connection = self._connected(call.timeout)
            try:
                response = self._exchange(connection, call)
            except (OSError, HTTPException) as error:
                connection.close()
                raise Unreachable(f"could not reach {self.url}: {_why(error)}") from error
        except BaseException:
            connection.close()
            raise
        answer = Answer(self, connection, response)
        if 200 <= response.status < 300:
            return answer
        raise self._refusal(answer)

    def _exchange(self, connection: HTTPConnection, call: Call) -> HTTPResponse:
        _abort().hold(connection)
        headers = {
            "Accept": "application/json",
            "User-Agent": "strongroom-python",
            **call.headers,
            "Authorization": f"Bearer {self._token}",
        }
        place = self._prefix + call.path
        if call.query:
            place += "?" + urlencode({k: v for k, v in call.query.items() if v is not None})
        body = call.body() if callable(call.body) else call.body
        if body is not None:
            headers["Content-Length"] = str(call.size_bytes)
        try:
            connection.request(call.method, place, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            # It may have said why before it hung up.
            if connection.sock is None:
                raise
        finally:
            if callable(call.body) and body is not None:
                body.close()  # type: ignore[union-attr]
        return connection.getresponse()

    def _take(self, timeout: float) -> Tuple[HTTPConnection, bool]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            return self._connected(timeout), False
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection, True

    def _connected(self, timeout: float) -> HTTPConnection:
        if self._tls:
            return HTTPSConnection(
                self._host,
                self._port,
                timeout=timeout,
                context=self._context,
                blocksize=CHUNK_BYTES,
            )
        return HTTPConnection(self._host, self._port, timeout=timeout, blocksize=CHUNK_BYTES)

    def _refusal(self, answer: Answer) -> Exception:
        status = answer.response.status
        try:
            with answer.reading():
                raw = answer._all(PROBLEM_BYTES_MAX)
            found = json.loads(raw)
            return problem(status, str(found["code"]), str(found["detail"]))
        except (ValueError, KeyError, TypeError, RecursionError, Unreachable):
            said = f"{self.url} answered {status}, which is not how a station answers"
            return BadAnswer(shown(said))


@dataclass(frozen=True)
class Call:
    """What is sent. A body that is read from a file is opened for each attempt."""

    method: str
    path: str
    query: Mapping[str, Any]
    headers: Dict[str, str]
    body: Body
    size_bytes: int
    #: The longest silence, in seconds.
    timeout: float


def _why(error: BaseException) -> str:
    return shown(str(error) or type(error).__name__, 300)
