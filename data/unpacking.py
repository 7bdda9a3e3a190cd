"""Unpack a question file: gzip and zstd by their content, UTF-16 and UTF-8 by their byte order mark."""

import gzip
import io
import zlib

import pyarrow as pa

MAX_UNPACKED = 4 * 2**30  # bytes; a few kilobytes of gzip may stand for more than any machine holds
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
UNREADABLE = {
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip (or a spreadsheet)",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"%PDF": "PDF",
    b"SQLite format 3": "SQLite",
    GZIP: "gzip twice",
    ZSTD: "zstd twice",
}
LFS = b"version https://git-lfs"


class BadRow(ValueError):
    """Why a row cannot be used: a reason code, and what was found in it."""

    def __init__(self, code: str, detail: str):
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class BadFile(BadRow):
    """Why no row of a file can be read."""


def unpacked(content: bytes) -> bytes:
    """Return a file's content without compression and byte order mark, UTF-16 as UTF-8; BadFile where it cannot be."""
    if content.startswith((GZIP, ZSTD)):
        kind = "gzip" if content.startswith(GZIP) else "zstd"
        try:
            if kind == "gzip":
                stream = gzip.GzipFile(fileobj=io.BytesIO(content))
            else:
                stream = pa.CompressedInputStream(pa.BufferReader(content), "zstd")
            content = stream.read(MAX_UNPACKED + 1)
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise BadFile("BAD_ENCODING", f"is a damaged or truncated {kind} file ({error})") from None
        if len(content) > MAX_UNPACKED:
            raise BadFile("TOO_LONG", f"holds more than {MAX_UNPACKED:,} bytes once unpacked: split it")
    if content.startswith(LFS):
        raise BadFile("BAD_ENCODING", "is a pointer of Git LFS, not the file: run `git lfs pull` where it came from")
    unreadable = next((kind for magic, kind in UNREADABLE.items() if content.startswith(magic)), None)
    if unreadable:
        raise BadFile("BAD_ENCODING", f"is {unreadable}: unpack it or save it as JSONL, CSV, TSV or Parquet in UTF-8")
    mark = next((mark for mark in MARKS if content.startswith(mark)), None)
    if mark:
        try:
            return content.decode(MARKS[mark]).removeprefix("\ufeff").encode()
        except UnicodeError as error:
            raise BadFile("BAD_ENCODING", f"begins like {MARKS[mark]} and is not: {error}; save it as UTF-8") from None
    return content.removeprefix(b"\xef\xbb\xbf")
