"""PNG pictures to arrays, with numpy and zlib alone: what the console is installed with has no picture library."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

MARK = b"\x89PNG\r\n\x1a\n"
# Samples of a pixel by colour type: grey, RGB, palette, grey and alpha, RGB and alpha.
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
GREY, PALETTE, ALPHA = (0, 4), 3, (4, 6)
# More is no photograph for a model, and would not fit the memory.
MOST_PIXELS = 100_000_000

Bytes = NDArray[np.uint8]
Shorts = NDArray[np.int16]


class NotPng(ValueError):
    """Why bytes are no PNG that can be read, as the end of a sentence."""


def decode(content: bytes) -> Bytes:
    """A PNG as uint8 [height, width, 3], RGB. Grey becomes three equal channels; 16 bits become 8; alpha is dropped.

    Raises NotPng: not a PNG, interlaced, damaged, too large.
    """
    if not content.startswith(MARK):
        raise NotPng("is no PNG")
    header, palette, packed = b"", b"", []
    for kind, body in _chunks(content):
        if kind == b"IHDR":
            header = body
        elif kind == b"PLTE":
            palette = body
        elif kind == b"IDAT":
            packed.append(body)
    if len(header) != 13 or not packed:
        raise NotPng("is cut off")
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    depth, colour, interlaced = header[8], header[9], header[12]
    if colour not in SAMPLES or depth not in (1, 2, 4, 8, 16):
        raise NotPng(f"has colours of type {colour} in {depth} bits, which PNG does not know")
    if interlaced:
        raise NotPng("is interlaced, which is not read here: store it without")
    if not 0 < width * height <= MOST_PIXELS:
        raise NotPng(f"has {width} x {height} pixels")
    samples = SAMPLES[colour]
    line = -(-width * samples * depth // 8)
    rows = _unfiltered(_inflated(packed, height * (line + 1)), height, line, max(1, samples * depth // 8))
    values = _samples(rows, width * samples, depth).reshape(height, width, samples)
    if colour == PALETTE:
        colours = np.zeros((256, 3), np.uint8)
        given = np.frombuffer(palette[: len(palette) // 3 * 3], np.uint8).reshape(-1, 3)[:256]
        colours[: len(given)] = given
        return colours[values[:, :, 0]]
    if depth < 8:
        values = values * np.uint8(255 // (2**depth - 1))
    if colour in ALPHA:
        values = values[:, :, :-1]
    return np.repeat(values, 3, axis=2) if colour in GREY else np.ascontiguousarray(values)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(MARK)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if len(body) != length or zlib.crc32(kind + body) != int.from_bytes(
            content[at + 8 + length : at + 12 + length]
        ):
            raise NotPng("is damaged")
        yield kind, body
        at += 12 + length


def _inflated(packed: list[bytes], size: int) -> Bytes:
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(b"".join(packed), size)
    except zlib.error as error:
        raise NotPng("is damaged") from error
    if len(raw) != size:
        raise NotPng("is cut off")
    return np.frombuffer(raw, np.uint8)


def _unfiltered(raw: Bytes, height: int, line: int, step: int) -> Bytes:
    """Undoes each line's filter: a byte was stored less what its neighbours left, above and above left foretell.

    Bytes on one diagonal do not depend on each other, so that whole diagonals are done at once.
    """
    lines = raw.reshape(height, line + 1)
    kinds, stored = lines[:, 0], lines[:, 1:]
    if kinds.max() > 4:
        raise NotPng("is damaged")
    if not kinds.any():
        return stored
    pixels = -(-line // step)
    # Pixel (row, column) lies at [row + column + 2, row + 1]: its diagonal, and its place on it. Zeros are around them.
    skewed = np.zeros((height + pixels + 2, height + 1, step), np.int16)
    across, down, byte = skewed.strides
    straight = as_strided(skewed[2:, 1:], (height, pixels, step), (across + down, across, byte))
    whole = np.zeros((height, pixels * step), np.uint8)
    whole[:, :line] = stored
    straight[...] = whole.reshape(height, pixels, step)
    of_row = [np.flatnonzero(kinds == kind) for kind in range(5)]
    for diagonal in range(height + pixels - 1):
        first, last = max(0, diagonal - pixels + 1), min(height, diagonal + 1)
        left = skewed[diagonal + 1, first + 1 : last + 1]
        above, corner = skewed[diagonal + 1, first:last], skewed[diagonal, first:last]
        foretold = np.zeros_like(left)
        for kind, rows in enumerate(of_row[1:], start=1):
            mine = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)] - first
            if len(mine):
                foretold[mine] = _foretold(kind, left[mine], above[mine], corner[mine])
        here = skewed[diagonal + 2, first + 1 : last + 1]
        here += foretold
        here &= 255
    return straight.astype(np.uint8).reshape(height, -1)[:, :line]


def _foretold(kind: int, left: Shorts, above: Shorts, corner: Shorts) -> Shorts:
    """What a filter of the kinds 1 to 4 takes for the bytes: left, above, their mean, or Paeth's choice of three."""
    if kind == 1:
        return left
    if kind == 2:
        return above
    if kind == 3:
        return (left + above) >> 1
    to_left, to_above, to_corner = np.abs(above - corner), np.abs(left - corner), np.abs(left + above - 2 * corner)
    second = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, second)


def _samples(rows: Bytes, count: int, depth: int) -> Bytes:
    """Each line's samples, the upper 8 bits of one of 16."""
    if depth == 8:
        return rows
    if depth == 16:
        return rows[:, ::2]
    bits = np.unpackbits(rows, axis=1)[:, : count * depth].reshape(len(rows), count, depth)
    weights = (1 << np.arange(depth - 1, -1, -1)).astype(np.uint8)
    values: Bytes = (bits * weights).sum(axis=2, dtype=np.uint8)
    return values
