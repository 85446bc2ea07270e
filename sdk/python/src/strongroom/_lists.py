"""Places on a station, and what is read from them page by page."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Iterator, Mapping, Optional

from ._records import items
from ._wire import Call, Wire, path_of

#: Rows of one page.
PAGE_ROWS = 200


def pages(wire: Wire, path: str, query: Mapping[str, Any], most: int) -> Iterator[Any]:
    """The rows of a list, page by page; each page has at least one."""
    cursor: Optional[str] = None
    while 0 < most:
        asked = {**query, "after": cursor, "limit": min(most, PAGE_ROWS)}
        rows, cursor = items(wire.json("GET", path, query=asked, again=True))
        yield from rows[:most]
        most -= len(rows)
        if cursor is None:
            return


def download(wire: Wire, path: str) -> Iterator[bytes]:
    call = Call("GET", path, {}, {"Accept": "application/octet-stream"}, None, 0, wire.timeout)
    with closing(wire.ask(call).chunks()) as chunks:  # type: ignore[type-var]
        yield from chunks


def place_of(kind: str, name: str) -> str:
    owner, slash, own = name.partition("/")
    if not slash or not owner or not own or "/" in own:
        raise ValueError(f"{name!r} is not of the form owner/name")
    return path_of("v1", kind, owner, own)


def version_of(kind: str, reference: str) -> str:
    for mark in ("@", "~"):
        name, found, version = reference.partition(mark)
        if found:
            return place_of(kind, name) + path_of(
                "versions", version if mark == "@" else f"~{version}"
            )
    return place_of(kind, reference) + "/versions/latest"
