"""PNG files, written byte by byte."""

from __future__ import annotations

import zlib

import numpy as np

FILTERS = ("none", "sub", "up", "average", "paeth")


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def png(
    pixels: np.ndarray, *, filters: tuple[int, ...] = (0,), palette: bytes = b"", interlaced: bool = False
) -> bytes:
    """[height, width, samples] of uint8 or uint16; each line with the next of `filters`."""
    height, width, samples = pixels.shape
    colour = 3 if palette else {1: 0, 2: 4, 3: 2, 4: 6}[samples]
    depth = 8 * pixels.itemsize
    lines = np.frombuffer(pixels.astype(pixels.dtype.newbyteorder(">")).tobytes(), np.uint8).reshape(height, -1)
    step = samples * pixels.itemsize
    before = np.zeros(lines.shape[1], np.int64)
    packed = b""
    for number, line in enumerate(lines.astype(np.int64)):
        kind = filters[number % len(filters)]
        left, corner = (np.concatenate([np.zeros(step, np.int64), one[:-step]]) for one in (line, before))
        p = left + before - corner
        near = np.stack([np.abs(p - left), np.abs(p - before), np.abs(p - corner)]).argmin(axis=0)
        foretold = [0 * line, left, before, (left + before) // 2, np.choose(near, [left, before, corner])][kind]
        packed += bytes([kind]) + ((line - foretold) & 255).astype(np.uint8).tobytes()
        before = line
    head = width.to_bytes(4) + height.to_bytes(4) + bytes([depth, colour, 0, 0, int(interlaced)])
    parts = [chunk(b"IHDR", head), chunk(b"PLTE", palette) if palette else b"", chunk(b"IDAT", zlib.compress(packed))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def noise(height: int, width: int, samples: int = 3, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(height).integers(0, np.iinfo(kind).max, (height, width, samples), kind, endpoint=True)
