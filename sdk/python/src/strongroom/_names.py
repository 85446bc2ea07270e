"""Paths below the folders of a run, and lists of them for people."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Union

# The most names that an error lists.
_NAMES_SHOWN = 10


def below(root: str) -> "List[str]":
    found: "List[str]" = []
    for folder, _, files in os.walk(root, followlinks=True):
        found.extend(os.path.relpath(os.path.join(folder, file), root) for file in files)
    return sorted(found)


def listed(names: "Iterable[str]") -> str:
    names = list(names)
    shown = ", ".join(names[:_NAMES_SHOWN]) or "none"
    rest = len(names) - _NAMES_SHOWN
    return f"{shown} and {rest} more" if 0 < rest else shown


def inside(name: "Union[str, os.PathLike[str]]") -> str:
    """A path that stays below its folder, in its plainest form."""
    text = os.fspath(name)
    parts = text.split("/")
    if not text or "\\" in text or "\0" in text or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{text!r} is no path below a folder, such as 'a.csv' or 'a/b.csv'")
    return text


def suffix(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()
