"""The inputs of a run: what lies below `/data`, read in whichever way suits it.

Nothing is read before it is asked for, and libraries for data frames are
imported only by those who want a frame.
"""

import json
import os

from ._guest import here, said, stage
from ._names import below, inside, listed, suffix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO, Any, Dict, Iterator, List, Optional


class Source:
    """One input file, read in whichever way suits it.

    Nothing is read before it is asked for, and nothing is kept: each call
    reads the file anew. Text is UTF-8, with or without a byte order mark.
    """

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self._place = place

    def __fspath__(self) -> str:
        return self._place

    def __repr__(self) -> str:
        return f"<Source {self.name}>"

    @property
    def path(self) -> "Path":
        """Where it lies, as a `pathlib.Path`."""
        from pathlib import Path

        return Path(self._place)

    @property
    def size_bytes(self) -> int:
        """How many bytes it has, without reading them."""
        return os.path.getsize(self._place)

    def open(self, mode: str = "r") -> "IO[Any]":
        """Opens it for reading, as text in UTF-8 or, with `"rb"`, as bytes."""
        if mode not in ("r", "rb"):
            raise ValueError(f"inputs are for reading, with mode 'r' or 'rb', not {mode!r}")
        if mode == "rb":
            return open(self._place, mode)
        return open(self._place, mode, encoding="utf-8-sig", newline="")

    def bytes(self) -> bytes:
        """All of it; memory is bounded by the run's limit."""
        with open(self._place, "rb") as file:
            return file.read()

    def text(self) -> str:
        """All of it as text. Raises `UnicodeDecodeError` when it is no UTF-8."""
        with open(self._place, encoding="utf-8-sig") as file:
            return file.read()

    def json(self) -> "Any":
        """The JSON document that it is. Raises `ValueError` when it is none."""
        return json.loads(self.bytes())

    def rows(self) -> "Iterator[Any]":
        """The rows one by one, so that a large file needs little memory.

        `.csv` and `.tsv`: a dict of texts each, by the names in the first
        line. `.jsonl`: whatever each line holds. `.json`: the items of the
        list in it. `.parquet`, `.feather` and `.arrow`: a dict each, with
        pyarrow in the runtime. Any other name is read as CSV.

        Raises `ValueError` for a file that holds something else, with the
        number of the line where that is known.
        """
        ending = suffix(self.name)
        if ending in ("jsonl", "ndjson"):
            yield from self._lines()
        elif ending == "json":
            found = self.json()
            if not isinstance(found, list):
                raise ValueError(f"{self.name} holds no list, so it has no rows")
            yield from found
        elif ending in ("parquet", "feather", "arrow", "ipc"):
            yield from self.arrow().to_pylist()
        else:
            import csv

            with self.open() as file:
                yield from csv.DictReader(file, delimiter="\t" if ending == "tsv" else ",")

    def _lines(self) -> "Iterator[Any]":
        with self.open() as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        value = json.loads(line)
                    except ValueError as error:
                        raise ValueError(f"{self.name}, line {number}: {error}") from None
                    yield value

    def pandas(self, **options: "Any") -> "Any":
        """A `pandas.DataFrame`, by the file's suffix; `options` go to pandas' reader.

        A row for each record, a column for each field. Raises `ImportError`
        when the runtime has no pandas, and `ValueError` for other suffixes than
        `.csv`, `.tsv`, `.json`, `.jsonl`, `.parquet`, `.feather` and `.arrow`.
        """
        from . import _frames

        return _frames.read_pandas(self._place, suffix(self.name), options)

    def polars(self, **options: "Any") -> "Any":
        """A `polars.DataFrame`, by the file's suffix; `options` go to polars' reader.

        Shape and errors are those of `pandas`.
        """
        from . import _frames

        return _frames.read_polars(self._place, suffix(self.name), options)

    def arrow(self, **options: "Any") -> "Any":
        """A `pyarrow.Table`, by the file's suffix; `options` go to pyarrow's reader.

        Shape and errors are those of `pandas`.
        """
        from . import _frames

        return _frames.read_arrow(self._place, suffix(self.name), options)


def read(name: "Optional[str]" = None) -> Source:
    """One file of the inputs.

    `name` is its path below `/data`: `"penguins.csv"` for a lone input,
    `"birds/penguins.csv"` for an input named `birds`. It may be left out, or
    name a folder, where that leaves one file only.

    Raises `FileNotFoundError` with the names that there are, and `ValueError`
    when more than one file could be meant.
    """
    root = here().data
    if not os.path.isdir(root):
        raise FileNotFoundError(f"this run has no data (stage {stage()})")
    path = "" if name is None else inside(name)
    place = os.path.join(root, path) if path else root
    if os.path.isdir(place):
        return _only(root, path)
    if not os.path.isfile(place):
        raise FileNotFoundError(f"there is no input {name!r}; there are: {listed(below(root))}")
    return Source(path, place)


def _only(root: str, path: str) -> Source:
    names = [os.path.join(path, name) for name in below(os.path.join(root, path))]
    if len(names) != 1:
        raise ValueError(f"say which file is meant; there are {len(names)}: {listed(names)}")
    return Source(names[0], os.path.join(root, names[0]))


class Data:
    """The inputs, as `transform` and `expose` get them: the files in `/data`."""

    def __init__(self, root: "Optional[str]") -> None:
        self._root = root

    @property
    def path(self) -> "Optional[Path]":
        """The folder, or None when there are no inputs."""
        if self._root is None:
            return None
        from pathlib import Path

        return Path(self._root)

    @property
    def meta(self) -> "Dict[str, Any]":
        """The title, description and so on of this version; {} where it has none."""
        return dict(self._said().get("meta") or {})

    @property
    def structure(self) -> "Dict[str, Any]":
        """How its body is written, as it was given; {} where nothing was."""
        return dict(self._said().get("structure") or {})

    @property
    def readme(self) -> str:
        """Its readme in Markdown; "" where it has none."""
        return str(self._said().get("readme") or "")

    def _said(self) -> "Dict[str, Any]":
        return {} if self._root is None else said(self._root, here().stages)

    def names(self) -> "List[str]":
        """The paths of all files below the folder, sorted."""
        return [] if self._root is None else below(self._root)

    def open(self, name: "Optional[str]" = None, mode: str = "r") -> "IO[Any]":
        """Opens one file; the name may be left out when there is only one.

        Raises `FileNotFoundError` when it is not there, and `ValueError` when
        more than one could be meant.
        """
        path = os.path.join(self._root or here().data, self._only() if name is None else name)
        if "b" in mode:
            return open(path, mode)
        return open(path, mode, encoding="utf-8", newline="")

    def text(self, name: "Optional[str]" = None) -> str:
        """The whole text of one file, in UTF-8; errors as those of `open`."""
        with self.open(name) as file:
            return str(file.read())

    def rows(self, name: "Optional[str]" = None) -> "Iterator[Dict[str, str]]":
        """The rows of one CSV file, one by one, each a dict of texts by the names
        in its first line; errors as those of `open`."""
        import csv

        with self.open(name) as file:
            yield from csv.DictReader(file)

    def __getitem__(self, name: str) -> "Data":
        """One named input. Raises `KeyError` when there is none of this name."""
        root = os.path.join(self._root or here().data, name)
        if self._root is None or not os.path.isdir(root):
            raise KeyError(name)
        return Data(root)

    def _only(self) -> str:
        names = self.names()
        if len(names) != 1:
            raise ValueError(f"say which file is meant; there are {len(names)}: {listed(names)}")
        return names[0]
