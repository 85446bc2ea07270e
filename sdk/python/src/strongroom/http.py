"""HTTP in the stage `download`, through the station's gateway.

A request goes to the gateway as it is, and the gateway performs it, TLS
included, records it, and refuses every host that the plan does not name. So
nothing here speaks TLS, and no answer comes past the gateway. In a stage
without a network each call raises `NoNetwork`.
"""

import json as _json

from ._guest import here, stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

    Query = Union[Mapping[str, Any], Sequence[Tuple[str, Any]]]

# The longest answer, in bytes, unless a call says otherwise.
BYTES_MAX = 64 << 20
# How much is read at once.
CHUNK_BYTES = 1 << 20
# The longest silence, in seconds, unless a call says otherwise.
TIMEOUT = 30.0
# The most redirects of one call.
REDIRECTS_MAX = 10


class HttpError(OSError):
    """A call that had no good end."""


class NoNetwork(HttpError):
    """This stage has no network."""


class Refused(HttpError):
    """The gateway did not let it through; `reason` is its code for why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"the gateway refused ({reason}): {detail}")
        self.reason = reason
        self.detail = detail


class Unanswered(HttpError):
    """The gateway did not answer, or stopped in the middle."""


class AnswerTooLarge(HttpError):
    """The answer is longer than `bytes_max`."""


class BadStatus(HttpError):
    """`Response.check` found a status of 400 or more."""

    def __init__(self, response: "Response") -> None:
        super().__init__(f"{response.method} {response.url} was answered {response.status}")
        self.response = response


class Response:
    """An answer, read whole."""

    def __init__(
        self, method: str, url: str, status: int, headers: "Dict[str, str]", content: bytes
    ) -> None:
        self.method: str = method
        #: Where it came from, after redirects.
        self.url: str = url
        self.status: int = status
        #: By name, in lower case; a header that came twice is joined by commas.
        self.headers: "Dict[str, str]" = headers
        #: The bytes of the body, at most `bytes_max` (64 MiB) of them.
        self.content: bytes = content

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.url}>"

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def text(self) -> str:
        """In the charset that the answer names, or UTF-8; what cannot be read is replaced."""
        charset = "utf-8"
        for part in self.headers.get("content-type", "").split(";")[1:]:
            key, _, value = part.strip().partition("=")
            if key.lower() == "charset":
                charset = value.strip("\"' ")
        try:
            return self.content.decode(charset, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> "Any":
        """What it holds as JSON. Raises `ValueError` when it is none."""
        return _json.loads(self.content)

    def check(self) -> "Response":
        """Itself, unless the status is 400 or more: then `BadStatus`."""
        if not self.ok:
            raise BadStatus(self)
        return self


def get(url: str, **options: "Any") -> Response:
    """`request("GET", url, …)`, with its options and errors."""
    return request("GET", url, **options)


def post(url: str, **options: "Any") -> Response:
    """`request("POST", url, …)`, with its options and errors."""
    return request("POST", url, **options)


def request(
    method: str,
    url: str,
    *,
    params: "Optional[Query]" = None,
    headers: "Optional[Mapping[str, str]]" = None,
    body: "Union[bytes, str, None]" = None,
    json: "Any" = None,
    timeout: float = TIMEOUT,
    bytes_max: int = BYTES_MAX,
    redirects: int = REDIRECTS_MAX,
) -> Response:
    """Performs one call, and follows its redirects.

    `params` are laid after the `?`; `json` is sent as a JSON document, and
    `body` as it is. `timeout` is the longest silence in seconds, `bytes_max`
    the longest answer in bytes, `redirects` how many are followed. The status
    of the answer is not judged; `Response.check` does.

    Raises `NoNetwork`, `Refused`, `Unanswered` or `AnswerTooLarge`, all of
    them `OSError`, and `ValueError` for an address that is none.
    """
    sent = {"user-agent": "strongroom", "accept": "*/*"}
    sent.update({name.lower(): value for name, value in (headers or {}).items()})
    if json is not None:
        if body is not None:
            raise TypeError("a call has a `body` or `json`, not both")
        body = _json.dumps(json, allow_nan=False).encode()
        sent.setdefault("content-type", "application/json")
    raw = body.encode("utf-8") if isinstance(body, str) else body
    place = _place(url, params)
    for _ in range(redirects + 1):
        answer = _call(method, place, sent, raw, timeout, bytes_max)
        target = answer.headers.get("location")
        if answer.status not in (301, 302, 303, 307, 308) or not target or not redirects:
            return answer
        method, place, raw = _redirected(method, place, target, raw, answer.status, sent)
    raise Unanswered(f"{url} was redirected more than {redirects} times")


def _place(url: str, params: "Optional[Query]") -> str:
    from urllib.parse import urlencode, urlsplit

    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ValueError(f"{url!r} is no address that begins with http:// or https://")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise ValueError(f"{url!r} has a space or a control character in it")
    if not url.isascii():
        raise ValueError(f"{url!r} has a letter that an address needs written as %XX")
    place = place._replace(fragment="")
    if params:
        pairs = params if isinstance(params, (list, tuple)) else dict(params)
        query = urlencode(pairs, doseq=True)
        place = place._replace(query=f"{place.query}&{query}" if place.query else query)
    return place.geturl()


def _redirected(
    method: str,
    place: str,
    target: str,
    raw: "Optional[bytes]",
    status: int,
    sent: "Dict[str, str]",
) -> "Tuple[str, str, Optional[bytes]]":
    from urllib.parse import urljoin, urlsplit

    new = _place(urljoin(place, target), None)
    if urlsplit(place)[:2] != urlsplit(new)[:2]:
        # What was meant for one host is not shown to another.
        for name in ("authorization", "cookie", "proxy-authorization"):
            sent.pop(name, None)
    if status == 303 or (status in (301, 302) and method == "POST"):
        sent.pop("content-type", None)
        return ("HEAD" if method == "HEAD" else "GET"), new, None
    return method, new, raw


def _call(
    method: str,
    place: str,
    headers: "Dict[str, str]",
    raw: "Optional[bytes]",
    timeout: float,
    bytes_max: int,
) -> Response:
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    host, port = _gateway()
    connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(
            method, place, raw, {**headers, "host": urlsplit(place).netloc.rpartition("@")[2]}
        )
        answer = connection.getresponse()
        # Some interpreters set aside at once whatever is asked for.
        held = bytearray()
        while len(held) <= bytes_max:
            part = answer.read(min(CHUNK_BYTES, bytes_max + 1 - len(held)))
            if not part:
                break
            held += part
        content = bytes(held)
        if len(content) <= bytes_max and answer.length:
            raise HTTPException("the answer was cut off")
    except (OSError, HTTPException) as error:
        raise Unanswered(f"{method} {place}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    found: "Dict[str, str]" = {}
    for name, value in answer.getheaders():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    refused = found.get("strongroom-refused")
    if refused is not None:
        raise Refused(refused, content[:2000].decode("utf-8", "replace").strip())
    if bytes_max < len(content):
        raise AnswerTooLarge(f"{place} answered more than {bytes_max} bytes")
    return Response(method, place, answer.status, found, content)


def _gateway() -> "Tuple[str, int]":
    from urllib.parse import urlsplit

    proxy = here().environ.get("HTTP_PROXY") or here().environ.get("http_proxy")
    if not proxy:
        raise NoNetwork(
            f"the stage {stage()} has no network; only `download` has, and only to the hosts of the plan"
        )
    place = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return place.hostname or "127.0.0.1", place.port or 3128
