"""Sources: the bytes of a file, unpacked if it is compressed. Recognised by its first bytes, not by its name."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from senti_tasks.errors import InputFileError

HEAD_BYTES = 4096

_BUFFER_BYTES = 2**18
_OPENERS: dict[bytes, tuple[str, Callable[..., object]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda path, _: pa.input_stream(str(path), compression="zstd")),
}
_DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile)
_SYSTEM_FILES = ("__MACOSX/", ".DS_Store", "Thumbs.db")


@dataclass(frozen=True)
class Source:
    """Bytes that can be read again from the start, in constant memory."""

    name: str
    """For messages."""
    open: Callable[[], BinaryIO]
    path: Path
    packed: str | None = None
    """The name of the compression, if the file is compressed."""

    @property
    def facts(self) -> tuple[str, ...]:
        return () if self.packed is None else (f"unpacked: {self.packed}",)

    def head(self) -> bytes:
        """The first ``HEAD_BYTES``. Raises ``InputFileError`` if the file is damaged."""
        with self.reading(), self.open() as file:
            return file.read(HEAD_BYTES)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raises ``InputFileError`` where unpacking finds damage."""
        try:
            yield
        except _DAMAGES as error:
            raise InputFileError(
                f"{self.name} is damaged, or was not copied whole: {self.packed or 'reading'} stopped with "
                f"{str(error) or type(error).__name__}; fetch it again"
            ) from error
        except OSError as error:
            if error.errno is not None or self.packed is None:
                raise
            raise InputFileError(f"{self.name} is damaged, or was not copied whole: {error}; fetch it again") from error


def open_source(path: Path) -> Source:
    """The bytes of ``path``, without its compression. Raises ``InputFileError`` for an archive of several files."""
    with path.open("rb") as file:
        head = file.read(8)
    for first, (name, unpack) in _OPENERS.items():
        if head.startswith(first):
            return Source(str(path), partial(_unpacked, path, unpack), path, name)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and (member := _member(path)) is not None:
        return Source(f"{path}/{member.filename}", lambda: _open_member(path, member), path, "zip")
    return Source(str(path), lambda: path.open("rb"), path)


def _unpacked(path: Path, unpack: Callable[..., object]) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, unpack(path, "rb")), _BUFFER_BYTES))


def _member(path: Path) -> zipfile.ZipInfo | None:
    """The only file in an archive; ``None`` if the archive is a spreadsheet."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename and not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise InputFileError(f"{path} is a zip archive that is damaged ({error}): fetch it again") from error
    names = [info.filename for info in members]
    if "[Content_Types].xml" in names or "mimetype" in names:
        return None
    members = [info for info in members if not any(part in info.filename for part in _SYSTEM_FILES)]
    if len(members) != 1:
        shown = ", ".join(info.filename for info in members[:10]) or "no file"
        raise InputFileError(
            f"{path} holds {shown}: expected a zip archive of one file; unpack it and import its files"
        )
    if members[0].flag_bits & 0x1:
        raise InputFileError(f"{path} is protected by a password: unpack it and import the file in it")
    return members[0]


def _open_member(path: Path, member: zipfile.ZipInfo) -> BinaryIO:
    archive = zipfile.ZipFile(path)
    try:
        raw = archive.open(member)
    except (NotImplementedError, RuntimeError) as error:  # a compression that Python does not know
        archive.close()
        raise InputFileError(f"{path} cannot be unpacked ({error}): unpack it and import the file in it") from error
    except BaseException:
        archive.close()
        raise
    archive.close()  # zipfile keeps the file open until its last member is closed
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, raw), _BUFFER_BYTES))
