"""Makes pictures of pages small: 256 colors in place of 16 million."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLORS = 256
# Of the header: 8 bits for each channel, RGB or RGBA; indexes into a palette.
_CHANNELS = {2: 3, 6: 4}
_INDEXED = 3


def shrink(png: bytes) -> bytes:
    """Return a picture of Chromium with its most frequent colors alone.

    Each other color becomes the nearest of them.
    """
    chunks = dict(_chunks(png))
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    if depth != 8 or kind not in _CHANNELS:
        raise ValueError(f"a picture of {depth} bits and kind {kind}")
    size = _CHANNELS[kind]
    rows = _rows(zlib.decompress(chunks[b"IDAT"]), width * size, height, size)
    pixels = [
        [bytes(row[at : at + 3]) for at in range(0, len(row), size)] for row in rows
    ]
    counts = Counter(pixel for row in pixels for pixel in row)
    palette = [color for color, _ in counts.most_common(_COLORS)]
    index = {color: place for place, color in enumerate(palette)}
    for color in counts.keys() - index.keys():
        index[color] = _nearest(color, palette)
    lines = b"".join(b"\0" + bytes(index[pixel] for pixel in row) for row in pixels)
    return _SIGNATURE + b"".join(
        (
            _chunk(
                b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0)
            ),
            _chunk(b"PLTE", b"".join(palette)),
            _chunk(b"IDAT", zlib.compress(lines, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _nearest(color: bytes, palette: list[bytes]) -> int:
    def distance(place: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(color, palette[place], strict=True))

    return min(range(len(palette)), key=distance)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks by name; those with the data of the picture as one."""
    at, data = len(_SIGNATURE), b""
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        content = png[at + 8 : at + 8 + length]
        at += length + 12
        if name == b"IDAT":
            data += content
        else:
            yield name, content
    yield b"IDAT", data


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def _rows(raw: bytes, length: int, height: int, size: int) -> list[bytearray]:
    """Return the bytes of each row, without the filters of PNG."""
    rows: list[bytearray] = []
    above = bytearray(length)
    for number in range(height):
        start = number * (length + 1)
        row = bytearray(raw[start + 1 : start + 1 + length])
        _unfilter(raw[start], row, above, size)
        rows.append(row)
        above = row
    return rows


def _unfilter(kind: int, row: bytearray, above: bytearray, size: int) -> None:
    for at in range(len(row) if kind else 0):
        left = row[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        guess = (0, left, above[at], (left + above[at]) // 2)
        base = _paeth(left, above[at], corner) if kind == 4 else guess[kind]
        row[at] = (row[at] + base) & 0xFF


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))
