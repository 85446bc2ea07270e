"""Local files on their way to a station and back.

They follow the laws of every tree: regular files only, a link or a device is
refused by its name and never followed. What comes back is checked against its
digest before it is where it was wanted.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Dict, Iterable, Iterator, List, Mapping, Set, Union

from ._errors import FileChanged
from ._records import Json, OutputFile
from ._wire import CHUNK_BYTES, Call, Wire, path_of

#: Digests that are asked for at once.
DIGESTS_MAX = 10_000
#: Files that are sent at once; each waits for the station's disk.
SENDERS = 8
#: The largest function, in bytes of all its files.
FUNCTION_BYTES_MAX = 16 << 20
#: The longest silence after an upload, in seconds: its bytes have to reach a disk.
UPLOAD_SILENCE_MAX = 900.0

Path = Union[str, "os.PathLike[str]"]
#: A file or a folder, or files by path: each bytes, text, or the path of a file.
Files = Union[Path, Mapping[str, Union[bytes, str, "os.PathLike[str]"]]]


@dataclass(frozen=True)
class Local:
    """A file that can be read more than once."""

    path: str
    content: Union[bytes, str]

    def open(self) -> IO[bytes]:
        """Its bytes. Raises `ValueError` for what is no regular file."""
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        file = os.fdopen(os.open(self.content, flags), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise ValueError(f"{self.content} is no regular file")
        return file


@dataclass(frozen=True)
class Hashed:
    file: Local
    digest: str
    size_bytes: int


class _Exactly(io.RawIOBase):
    """As many bytes of a file as were announced, or an error."""

    def __init__(self, hashed: Hashed) -> None:
        self._hashed = hashed
        self._left = hashed.size_bytes
        self._file = hashed.file.open()

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        found = self._file.read(wanted)
        if wanted and not found:
            raise FileChanged(f"{self._hashed.file.path} became shorter while it was sent")
        self._left -= len(found)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


def find(files: Files) -> List[Local]:
    """All files, in the order of their paths. A folder itself may be a link; what is below may not."""
    if not isinstance(files, (str, os.PathLike)):
        found = []
        for path, content in sorted(files.items()):
            if isinstance(content, os.PathLike):
                found.append(Local(path, os.path.realpath(content)))
            else:
                found.append(Local(path, content.encode() if isinstance(content, str) else content))
        return found
    real = os.path.realpath(files)
    if not stat.S_ISDIR(os.stat(real).st_mode):
        return [Local(os.path.basename(os.path.abspath(os.fspath(files))), real)]
    return sorted(_below(real, ""), key=lambda file: file.path)


def _below(folder: str, prefix: str) -> Iterator[Local]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, path + "/")
            elif entry.is_file(follow_symlinks=False):
                yield Local(path, entry.path)
            else:
                kind = "a symbolic link" if entry.is_symlink() else "a special file"
                raise ValueError(
                    f"{entry.path} is {kind}; only regular files and folders are taken"
                )


def hashed(found: Iterable[Local]) -> List[Hashed]:
    """Takes the digest of each."""
    out = []
    for file in found:
        digest, size_bytes = hashlib.sha256(), 0
        with file.open() as reading:
            while True:
                chunk = reading.read(CHUNK_BYTES)
                if not chunk:
                    break
                digest.update(chunk)
                size_bytes += len(chunk)
        out.append(Hashed(file, f"sha256:{digest.hexdigest()}", size_bytes))
    return out


def send(wire: Wire, files: List[Hashed]) -> int:
    """Sends what the station lacks, each content once; returns how many that were."""
    by_digest = {each.digest: each for each in files}
    missing = _missing(wire, sorted(by_digest))
    with ThreadPoolExecutor(SENDERS, "strongroom-send") as senders:
        sent = [senders.submit(_send, wire, by_digest[digest]) for digest in sorted(missing)]
        try:
            for one in sent:
                one.result()
        except BaseException:
            # What is left would only be sent to be told the same.
            for one in sent:
                one.cancel()
            raise
    return len(missing)


def _missing(wire: Wire, digests: List[str]) -> Set[str]:
    missing: Set[str] = set()
    for start in range(0, len(digests), DIGESTS_MAX):
        asked = {"digests": digests[start : start + DIGESTS_MAX]}
        found = wire.json("POST", "/v1/blobs/missing", asked, again=True)
        missing.update(found["missing"])
    return missing & set(digests)


def _send(wire: Wire, each: Hashed) -> None:
    call = Call(
        "PUT",
        path_of("v1", "blobs", each.digest),
        {},
        {"Content-Type": "application/octet-stream"},
        lambda: _Exactly(each),  # type: ignore[arg-type,return-value]
        each.size_bytes,
        max(wire.timeout, UPLOAD_SILENCE_MAX),
    )
    wire.repeated(lambda: wire.ask(call).json(), again=True)


def tree(files: List[Hashed]) -> Dict[str, Json]:
    return {
        each.file.path: {"digest": each.digest, "size_bytes": each.size_bytes} for each in files
    }


def packed(found: List[Local]) -> Dict[str, Union[str, Json]]:
    """A function's files as they travel: text where they are text."""
    import base64

    out: Dict[str, Union[str, Json]] = {}
    left = FUNCTION_BYTES_MAX
    for file in found:
        with file.open() as reading:
            raw = reading.read(left + 1)
        left -= len(raw)
        if left < 0:
            raise ValueError(f"the function is larger than {FUNCTION_BYTES_MAX} bytes")
        try:
            out[file.path] = raw.decode("utf-8")
        except UnicodeDecodeError:
            out[file.path] = {"base64": base64.b64encode(raw).decode("ascii")}
    return out


def checked(chunks: Iterable[bytes], file: OutputFile) -> Iterator[bytes]:
    """The same bytes; at their end `FileChanged`, unless they are the ones meant."""
    digest, size_bytes = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size_bytes += len(chunk)
        if file.size_bytes < size_bytes:
            break
        yield chunk
    if size_bytes != file.size_bytes or f"sha256:{digest.hexdigest()}" != file.digest:
        raise FileChanged(f"{file.path} did not arrive as its digest says")


def keep(folder: Path, file: OutputFile, chunks: Iterable[bytes], replace: bool) -> str:
    """Writes one file below `folder`, whole or not at all; returns its path."""
    parts = file.path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise FileChanged(f"{file.path!r} is no path below a folder")
    path = os.path.join(folder, *parts)
    if not replace and os.path.lexists(path):
        raise FileExistsError(f"{path} is there already; say `replace=True`")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=".strongroom-", dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as to:
            for chunk in checked(chunks, file):
                to.write(chunk)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    return path
