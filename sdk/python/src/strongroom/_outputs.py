"""The outputs of a run: files below `/out`, each written whole or not at all."""

import json
import os

from ._guest import here
from ._names import inside, suffix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Dict, Iterator, List, Optional


def write(name: str, value: "Any", **options: "Any") -> "Path":
    """Writes one output file below `/out`, whole or not at all; returns its path.

    What is written follows from `value` and the suffix of `name`:

    - bytes and text: as they are, whatever the suffix; text in UTF-8
    - `.json`: anything that JSON can carry; not-a-number is an error
    - `.jsonl`: an iterable, one JSON document a line
    - `.csv`, `.tsv`: an iterable of dicts, whose first gives the columns, or
      of sequences
    - a DataFrame of pandas or polars, or a `pyarrow.Table`: `.csv`, `.tsv`,
      `.json`, `.jsonl`, `.parquet`, `.feather`; `options` go to its writer

    Outputs are bounded by the run's limits `out` (64 MiB) and `out_files`
    (1,000), unless the plan says otherwise; beyond, `OSError` with ENOSPC.
    """
    path = inside(name)
    out = here().out
    place = os.path.join(out, path)
    folder = os.path.dirname(place)
    os.makedirs(folder, exist_ok=True)
    part = os.path.join(folder, f".{os.path.basename(place)}.part")
    try:
        _write(part, suffix(path), path, value, options)
        os.replace(part, place)
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        raise
    from pathlib import Path

    return Path(place)


def _write(place: str, ending: str, name: str, value: "Any", options: "Dict[str, Any]") -> None:
    library = type(value).__module__.partition(".")[0]
    if library in ("pandas", "polars", "pyarrow"):
        from . import _frames

        return _frames.write(place, ending, value, library, options)
    if options:
        raise TypeError(f"only data frames take options, not {type(value).__name__}")
    if isinstance(value, (bytes, bytearray, memoryview)):
        with open(place, "wb") as file:
            file.write(value)
        return None
    if isinstance(value, str):
        with open(place, "w", encoding="utf-8", newline="") as text:
            text.write(value)
        return None
    if ending == "json":
        raw = json.dumps(value, allow_nan=False, ensure_ascii=False)
        return _write(place, ending, name, raw + "\n", {})
    if ending in ("jsonl", "ndjson"):
        with open(place, "w", encoding="utf-8", newline="") as text:
            for row in _items(name, value):
                text.write(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n")
        return None
    if ending in ("csv", "tsv"):
        return _write_rows(place, "\t" if ending == "tsv" else ",", _items(name, value))
    raise TypeError(
        f"{name}: {type(value).__name__} is written to .json, .jsonl, .csv or .tsv; "
        "bytes and text go to any name"
    )


def _items(name: str, value: "Any") -> "Iterator[Any]":
    if isinstance(value, dict):
        raise TypeError(f"{name} takes rows, one after another, and not a dict")
    return iter(value)


def _write_rows(place: str, delimiter: str, rows: "Iterator[Any]") -> None:
    import csv

    with open(place, "w", encoding="utf-8", newline="") as text:
        columns: "Optional[List[str]]" = None
        table = csv.writer(text, delimiter=delimiter)
        for number, row in enumerate(rows, 1):
            if isinstance(row, dict):
                if columns is None:
                    columns = list(row)
                    table.writerow(columns)
                unknown = [key for key in row if key not in columns]
                if unknown:
                    raise ValueError(f"row {number} has {unknown[0]!r}, which the first has not")
                row = [row.get(column, "") for column in columns]
            elif isinstance(row, (str, bytes)):
                raise TypeError(f"row {number} is a dict or a sequence, not {type(row).__name__}")
            table.writerow(row)
