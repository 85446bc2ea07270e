"""Data frames of pandas, polars and pyarrow, read and written by suffix.

Each library is imported only when it is asked for. Which ones there are is up
to the runtime.
"""

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

READABLE = "csv, tsv, json, jsonl, parquet and feather"


def _library(name: str) -> "Any":
    try:
        return __import__(name, fromlist=["*"])
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise ImportError(
            f"{error.name} is not in this runtime; name one that has it, as `runtime = …`",
            name=error.name,
        ) from None


def _kind(suffix: str) -> str:
    kind = {"ndjson": "jsonl", "arrow": "feather", "ipc": "feather"}.get(suffix, suffix)
    if kind not in ("csv", "tsv", "json", "jsonl", "parquet", "feather"):
        raise ValueError(f"a data frame has a name that ends in {READABLE}, not in {suffix!r}")
    return kind


def read_pandas(place: str, suffix: str, options: "Dict[str, Any]") -> "Any":
    kind = _kind(suffix)
    pandas = _library("pandas")
    if kind == "tsv":
        options = {"sep": "\t", **options}
    if kind == "jsonl":
        options = {"lines": True, **options}
    names = {"tsv": "csv", "jsonl": "json"}
    return getattr(pandas, "read_" + names.get(kind, kind))(place, **options)


def read_polars(place: str, suffix: str, options: "Dict[str, Any]") -> "Any":
    kind = _kind(suffix)
    polars = _library("polars")
    if kind == "tsv":
        options = {"separator": "\t", **options}
    names = {"tsv": "csv", "jsonl": "ndjson", "feather": "ipc"}
    return getattr(polars, "read_" + names.get(kind, kind))(place, **options)


def read_arrow(place: str, suffix: str, options: "Dict[str, Any]") -> "Any":
    kind = _kind(suffix)
    if kind in ("csv", "tsv"):
        csv = _library("pyarrow.csv")
        if kind == "tsv":
            options = {"parse_options": csv.ParseOptions(delimiter="\t"), **options}
        return csv.read_csv(place, **options)
    if kind == "jsonl":
        return _library("pyarrow.json").read_json(place, **options)
    if kind == "json":
        with open(place, "rb") as file:
            return _library("pyarrow").Table.from_pylist(json.loads(file.read()), **options)
    return _library("pyarrow." + kind).read_table(place, **options)


def write(place: str, suffix: str, value: "Any", library: str, options: "Dict[str, Any]") -> None:
    """Writes a frame of `library`, whichever of the three that is."""
    kind = _kind(suffix)
    if library == "pandas":
        _write_pandas(place, kind, value, options)
    elif library == "polars":
        _write_polars(place, kind, value, options)
    else:
        _write_arrow(place, kind, value, options)
    if not os.path.isfile(place):
        raise TypeError(f"{type(value).__name__} of {library} is no data frame")


def _write_pandas(place: str, kind: str, value: "Any", options: "Dict[str, Any]") -> None:
    frame = value.to_frame() if hasattr(value, "to_frame") else value
    if kind in ("csv", "tsv"):
        frame.to_csv(place, **{"index": False, "sep": "\t" if kind == "tsv" else ",", **options})
    elif kind in ("json", "jsonl"):
        frame.to_json(place, **{"orient": "records", "lines": kind == "jsonl", **options})
    else:
        getattr(frame, "to_" + kind)(place, **options)


def _write_polars(place: str, kind: str, value: "Any", options: "Dict[str, Any]") -> None:
    frame = value.to_frame() if hasattr(value, "to_frame") else value
    if kind == "tsv":
        options = {"separator": "\t", **options}
    names = {"tsv": "csv", "jsonl": "ndjson", "feather": "ipc"}
    getattr(frame, "write_" + names.get(kind, kind))(place, **options)


def _write_arrow(place: str, kind: str, value: "Any", options: "Dict[str, Any]") -> None:
    if kind in ("csv", "tsv"):
        csv = _library("pyarrow.csv")
        if kind == "tsv":
            options = {"write_options": csv.WriteOptions(delimiter="\t"), **options}
        csv.write_csv(value, place, **options)
    elif kind in ("json", "jsonl"):
        rows = value.to_pylist()
        lines = [json.dumps(row, allow_nan=False, default=str) for row in rows]
        text = "\n".join(lines) + "\n" if kind == "jsonl" else f"[{', '.join(lines)}]\n"
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)
    elif kind == "parquet":
        _library("pyarrow.parquet").write_table(value, place, **options)
    else:
        _library("pyarrow.feather").write_feather(value, place, **options)
