"""Running a function in a test, the way the station calls it.

It is the same call with the same values, in this process and without any wall:
for tests and for a debugger. `strongroom run ./function.py` is the same inside
the sandbox.
"""

import json
import os
import sys
import tempfile
from dataclasses import dataclass, field

from . import _guest
from ._inputs import Data
from ._names import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Mapping, Optional, Union

    Path = Union[str, os.PathLike[str]]


@dataclass(frozen=True)
class Through:
    """What came of it."""

    #: What the function returned, as JSON carries it.
    value: "Any"
    #: What it wrote to `/out`: the bytes by path.
    files: "Dict[str, bytes]" = field(default_factory=dict)

    def text(self, name: str) -> str:
        """One output as text in UTF-8. Raises `KeyError` when there is none."""
        return self.files[name].decode("utf-8")


def run_through(
    function: "Union[Callable[..., Any], Path]",
    data: "Union[Path, Mapping[str, Path], None]" = None,
    *,
    files: "Optional[Mapping[str, Union[str, bytes]]]" = None,
    arguments: "Optional[Mapping[str, Any]]" = None,
    stage: "Optional[str]" = None,
    earlier: "Optional[Mapping[str, Any]]" = None,
    about: "Optional[Mapping[str, Any]]" = None,
    secrets: "Optional[Mapping[str, str]]" = None,
    config: "Optional[Mapping[str, Any]]" = None,
    **args: "Any",
) -> Through:
    """Calls `function` as a station would, and returns what came of it.

    `function` is `transform(data, ctx)`, `expose(data, ctx)`, `download(ctx)`
    or `handle(event, context)`, or the path of a file that defines one of
    them. `data` is a file or a folder, or a dict of them for named inputs;
    `files` are inputs given as text or bytes, by their paths below `/data`.
    The arguments are `args` over `arguments`. `earlier` has the values of
    earlier stages, such as `{"download": …}`, and `about` what inputs say of
    themselves, by their names: `{"": {"meta": {"title": …}}}` for a lone one.

    Arguments and the returned value go through JSON, as they do on a station.
    Whatever the function raises is raised here. It raises `TypeError` when the
    returned value is none that JSON can carry, and `ValueError` when something
    in `/out` is no regular file.
    """
    whole = json.dumps({**(arguments or {}), **args}, allow_nan=False).encode()
    call = _loaded(function, stage) if isinstance(function, (str, os.PathLike)) else function
    name = getattr(call, "__name__", "transform")
    stage = stage or (name if name in ("download", "expose") else "transform")
    with tempfile.TemporaryDirectory(prefix="strongroom-through-") as root:
        environ = {"STRONGROOM_RUN_ID": "run-through", "STRONGROOM_STAGE": stage}
        for variable, values in (("SECRETS", secrets), ("CONFIG", config)):
            if values is not None:
                environ["STRONGROOM_" + variable] = json.dumps(dict(values))
        place = _guest.Place(root, environ, whole)
        os.mkdir(place.out)
        _lay_stages(place.stages, {**(earlier or {}), **({"inputs": about} if about else {})})
        if stage == "download" and (data is not None or files or about):
            raise ValueError("the stage download has a network, and so it has no data")
        _lay_data(place, data, files or {})
        _guest._stand_in.append(place)
        try:
            value = _called(call, name, place)
        finally:
            _guest._stand_in.pop()
        return Through(_as_json(name, value), _collected(place.out))


def _loaded(path: "Path", stage: "Optional[str]") -> "Callable[..., Any]":
    """The function in a file, found as the main program finds it."""
    import runpy

    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)
    try:
        names = runpy.run_path(os.fspath(path), run_name="__main__")
    finally:
        sys.path.remove(folder)
    wanted = (stage,) if stage in ("expose", "download") else ("transform", "handle")
    found = [names[name] for name in wanted if callable(names.get(name))]
    if len(found) != 1:
        raise TypeError(
            f"{os.fspath(path)} defines just one of {' and '.join(wanted)}, not {len(found)}"
        )
    only: "Callable[..., Any]" = found[0]
    return only


def _lay_stages(folder: str, earlier: "Mapping[str, Any]") -> None:
    if earlier:
        os.mkdir(folder)
    for stage, value in earlier.items():
        with open(os.path.join(folder, f"{inside(stage)}.json"), "w", encoding="utf-8") as file:
            json.dump(value, file, allow_nan=False)


def _lay_data(
    place: "_guest.Place",
    data: "Union[Path, Mapping[str, Path], None]",
    files: "Mapping[str, Union[str, bytes]]",
) -> None:
    if data is not None and not isinstance(data, (str, os.PathLike)):
        os.mkdir(place.data)
        for name, path in data.items():
            _show(path, os.path.join(place.data, inside(name)))
    elif data is not None:
        _show(data, place.data)
    for name, content in files.items():
        path = os.path.join(place.data, inside(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)


def _show(path: "Path", at: str) -> None:
    """Shows a folder's files, or a single file, below the new folder `at`."""
    real = os.path.realpath(path)
    os.stat(real)
    os.mkdir(at)
    entries = os.listdir(real) if os.path.isdir(real) else [""]
    for name in entries:
        shown = name or os.path.basename(os.path.abspath(os.fspath(path)))
        os.symlink(os.path.join(real, name) if name else real, os.path.join(at, shown))


class _Event:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.headers = {"Content-Type": "application/json"}
        self.method = "POST"
        self.query: "Dict[str, str]" = {}
        self.path = "/"


class _HandlerContext:
    def __init__(self) -> None:
        self.hostname = os.uname().nodename


def _called(call: "Callable[..., Any]", name: str, place: "_guest.Place") -> "Any":
    if name == "handle":
        return call(_Event(place.arguments()), _HandlerContext())
    context = _guest.Context()
    if context.stage == "download":
        return call(context)
    root = place.data if os.path.isdir(place.data) else None
    return call(Data(root), context)


def _as_json(name: str, value: "Any") -> "Any":
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{name} returned what JSON cannot carry: {error}") from None


def _collected(out: str) -> "Dict[str, bytes]":
    found = {}
    for folder, folders, files in os.walk(out):
        for name in folders + files:
            path = os.path.join(folder, name)
            name = os.path.relpath(path, out)
            if os.path.islink(path) or not (os.path.isdir(path) or os.path.isfile(path)):
                raise ValueError(
                    f"{name} in /out is no regular file, and a station would refuse it"
                )
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    found[name] = file.read()
    return found
