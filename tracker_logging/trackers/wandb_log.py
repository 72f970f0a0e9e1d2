"""Reads and writes the record of an offline W&B run: `run-ID.wandb`.

    for data in read_log(path): record = wandb_internal_pb2.Record.FromString(data)
    write_log(copy, records)

The file is a LevelDB log: a header of seven bytes, then blocks of 32 KiB with records in chunks, each with a checksum,
a length and whether it is a whole record or the first, a middle or the last part. W&B 0.31 has no public reader.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_BLOCK = 32768
_CHUNK_HEADER = struct.Struct("<IHB")  # checksum of kind and data, length, kind
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_FILE_HEADER = 7


def read_log(path: Path) -> Iterator[bytes]:
    """The records up to the first torn or damaged one. Raises `ValueError` for a file that is no record of W&B."""
    content = path.read_bytes()
    if content[:4] != b":W&B":
        raise ValueError(f"{path.name} is not a record of W&B.")
    offset, parts = _FILE_HEADER, b""
    while offset + _CHUNK_HEADER.size <= len(content):
        if _BLOCK - offset % _BLOCK < _CHUNK_HEADER.size:
            offset += _BLOCK - offset % _BLOCK
            continue
        checksum, length, kind = _CHUNK_HEADER.unpack_from(content, offset)
        start = offset + _CHUNK_HEADER.size
        data = content[start : start + length]
        if len(data) < length or kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or checksum != _checksum(kind, data):
            return
        offset = start + length
        parts = data if kind in (_FULL, _FIRST) else parts + data
        if kind in (_FULL, _LAST):
            yield parts


def write_log(path: Path, records: Iterable[bytes], *, header: bytes) -> None:
    """Write a record file. `header`: the first seven bytes of the one that it replaces."""
    written = bytearray(header[:_FILE_HEADER])
    for record in records:
        rest, is_first = record, True
        while is_first or rest:
            room = _BLOCK - len(written) % _BLOCK
            if room < _CHUNK_HEADER.size:
                written += bytes(room)
                continue
            part, rest = rest[: room - _CHUNK_HEADER.size], rest[room - _CHUNK_HEADER.size :]
            kind = (_LAST if not rest else _MIDDLE) if not is_first else (_FULL if not rest else _FIRST)
            written += _CHUNK_HEADER.pack(_checksum(kind, part), len(part), kind) + part
            is_first = False
    path.write_bytes(bytes(written))


def _checksum(kind: int, data: bytes) -> int:
    """The common CRC-32, where LevelDB itself has a masked CRC-32C."""
    return zlib.crc32(bytes([kind]) + data)
