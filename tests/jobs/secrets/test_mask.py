"""A log with secrets in it, cut into chunks at every possible place."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import quote

import pytest

from jobs.secrets.mask import Mask, MaskedStream

SECRET = "hünter2 'quoted' 秘密"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\nq83vASNFZ4mrze8B\n-----END KEY-----\n"


def through(data: bytes, sizes: list[int], mask: Mask, start: int = 0) -> tuple[bytes, list[tuple[int, bytes]]]:
    """What comes out for chunks of these sizes, in turn, as one text and as the chunks."""
    out: list[tuple[int, bytes]] = []

    async def keep(offset: int, chunk: bytes) -> None:
        out.append((offset, chunk))

    async def go() -> None:
        stream = MaskedStream(mask, keep)
        at, turn = 0, 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            await stream.take(start + at, data[at : at + size])
            at, turn = at + size, turn + 1
        await stream.flush()

    asyncio.run(go())
    return b"".join(chunk for _, chunk in out), out


def test_wherever_the_stream_is_cut_the_secret_is_stars_and_every_offset_holds():
    secret = SECRET.encode()
    data = b"begin " + secret + b" middle " + secret + secret + b" end\n"
    expected = data.replace(secret, b"*" * len(secret))
    for size in range(1, len(data) + 1):
        masked, chunks = through(data, [size], Mask([SECRET]), start=1000)
        assert masked == expected
        position = 1000
        for offset, chunk in chunks:
            assert offset == position
            position += len(chunk)


@pytest.mark.parametrize("sizes", [[1], [2, 5], [7, 1, 1], [64]])
def test_the_forms_in_which_programs_print_a_secret_are_masked_too(sizes):
    secret = 'päss "w/ord" & more'
    forms = [
        secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("="),
        secret.replace('"', '\\"'), "p\\u00e4ss \\\"w/ord\\\" & more",
    ]  # fmt: skip
    for form in forms:
        masked, _ = through(f"x{form}y".encode(), sizes, Mask([secret]))
        assert masked == b"x" + b"*" * len(form.encode()) + b"y", form


def test_one_line_of_a_key_is_as_secret_as_the_whole():
    masked, _ = through(b"error in line q83vASNFZ4mrze8B of the key\n", [3], Mask([KEY]))
    assert masked == b"error in line **************** of the key\n"
    assert b"MIIE" not in through(KEY.encode(), [10], Mask([KEY]))[0]


def test_secrets_that_overlap_are_covered_whole():
    assert through(b"-ababab-", [1], Mask(["abab"]))[0] == b"-******-"
    assert through(b"-abcdef-", [2], Mask(["abcd", "cdef"]))[0] == b"-******-"


def test_the_beginning_of_a_secret_at_the_end_of_a_log_is_no_accident_when_it_is_long():
    assert through(b"it was corre", [4], Mask(["correct horse"]))[0] == b"it was *****"
    assert through(b"it was co", [4], Mask(["correct horse"]))[0] == b"it was co"


def test_what_only_looks_like_a_beginning_is_handed_on_unchanged():
    data = b"password passwor passw0rd pass\n" * 50
    assert through(data, [13], Mask(["password1"]))[0] == data


def test_nothing_is_held_back_where_there_is_no_secret():
    _, chunks = through(b"abc", [1], Mask())
    assert chunks == [(0, b"a"), (1, b"b"), (2, b"c")] and not Mask() and not Mask(["", "abc"])


def test_data_is_masked_wherever_a_text_stands_in_it():
    said = {"a": ["x correct horse y", 7, None], "correct horse": {"b": "correct horse"}}
    stars = "*" * 13
    assert Mask(["correct horse"]).data(said) == {"a": [f"x {stars} y", 7, None], stars: {"b": stars}}
