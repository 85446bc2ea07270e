"""What a station keeps: `station.datasets` and `station.functions`."""

from __future__ import annotations

from typing import Iterator, List, Tuple

from . import _files
from ._lists import download, pages, place_of, version_of
from ._records import Dataset, DatasetVersion, Function, FunctionVersion, OutputFile
from ._wire import Wire, path_of


class Datasets:
    """`station.datasets`: data that others may compute on but not read."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self, most: int = 1000) -> Iterator[Dataset]:
        """Yours, by name, at most `most`."""
        for row in pages(self._wire, "/v1/datasets", {}, most):
            yield Dataset.of(row)

    def get(self, name: str) -> Dataset:
        """One, with its newest version."""
        return Dataset.of(self._wire.json("GET", place_of("datasets", name), again=True))

    def versions(self, name: str, most: int = 1000) -> Iterator[DatasetVersion]:
        """Its versions, newest first, at most `most`, without their files."""
        for row in pages(self._wire, place_of("datasets", name) + "/versions", {}, most):
            yield DatasetVersion.of(row)

    def version(self, reference: str) -> DatasetVersion:
        """One version with its files: `owner/name`, `owner/name~1` or `owner/name@sha256:…`."""
        return DatasetVersion.of(
            self._wire.json("GET", version_of("datasets", reference), again=True)
        )

    def push(self, name: str, files: _files.Files, message: str = "") -> DatasetVersion:
        """Pushes a version: a file, a folder, or files by path as bytes or text.

        Each file is hashed, and only what the station lacks is sent, so a push
        that was cut off goes on where it was. A tree has at most 100,000
        files. Raises `ValueError` for links and devices, `FileChanged` when a
        file changes meanwhile.
        """
        hashed = _files.hashed(_files.find(files))
        _files.send(self._wire, hashed)
        body = {"files": _files.tree(hashed), "message": message}
        path = place_of("datasets", name) + "/versions"
        return DatasetVersion.of(self._wire.json("POST", path, body, again=True))

    def read(self, reference: str, path: str) -> bytes:
        """One file of a version, whole, checked against its digest.

        Raises `FileNotFoundError` when the version has none of this path, and
        `FileChanged` when other bytes came.
        """
        version, file = self._file(reference, path)
        return b"".join(_files.checked(self._chunks(version, file), file))

    def download(self, reference: str, folder: _files.Path, *, replace: bool = False) -> List[str]:
        """Writes all files of a version below `folder`; returns their paths.

        Each is written whole or not at all. Raises `FileExistsError` for one
        that is there, unless `replace`, and `FileChanged` when other bytes came.
        """
        version = self.version(reference)
        files = (version.files or {}).values()
        return [_files.keep(folder, file, self._chunks(version, file), replace) for file in files]

    def _file(self, reference: str, path: str) -> Tuple[DatasetVersion, OutputFile]:
        version = self.version(reference)
        file = (version.files or {}).get(path)
        if file is None:
            raise FileNotFoundError(f"{version.reference} has no file {path!r}")
        return version, file

    def _chunks(self, version: DatasetVersion, file: OutputFile) -> Iterator[bytes]:
        path = version_of("datasets", version.reference) + path_of("files", *file.path.split("/"))
        yield from download(self._wire, path)


class Functions:
    """`station.functions`: code that others may run."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self, most: int = 1000) -> Iterator[Function]:
        """All of the station, by name, at most `most`."""
        for row in pages(self._wire, "/v1/functions", {}, most):
            yield Function.of(row)

    def get(self, name: str) -> Function:
        """One, with its newest version."""
        return Function.of(self._wire.json("GET", place_of("functions", name), again=True))

    def versions(self, name: str, most: int = 1000) -> Iterator[FunctionVersion]:
        """Its versions, newest first, at most `most`."""
        for row in pages(self._wire, place_of("functions", name) + "/versions", {}, most):
            yield FunctionVersion.of(row)

    def version(self, reference: str) -> FunctionVersion:
        """One version: what it takes, and for its developer its source in `raw["files"]`."""
        return FunctionVersion.of(
            self._wire.json("GET", version_of("functions", reference), again=True)
        )

    def push(self, name: str, files: _files.Files, message: str = "") -> FunctionVersion:
        """Pushes a version: a file, a folder, or files by path; at most 16 MiB in all.

        Raises `ValueError` for what is larger and for links and devices, and
        `Invalid` with what is wrong with the code or its manifest. Packages
        that it needs are installed first, which can take minutes.
        """
        body = {"files": _files.packed(_files.find(files)), "message": message}
        path = place_of("functions", name) + "/versions"
        return FunctionVersion.of(self._wire.json("POST", path, body, again=True))
