"""A log with secrets in it, cut into chunks at every possible place."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

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


# What a person's scripts print when something goes wrong, by the tools that print it. ``$F`` is the secret's file.
TOOLS = {
    "bash -x": 'bash -xc \'true "$(cat "$F")"\' 2>&1',
    "bash -x, in an assignment": 'bash -xc \'p=$(cat "$F"); true "$p"\' 2>&1',
    "sh -x": 'sh -xc \'true "$(cat "$F")"\' 2>&1',
    "printf %q": 'bash -c \'printf %q "$(cat "$F")"\'',
    "declare -p": "bash -c 'p=$(cat \"$F\"); declare -p p'",
    "base64": 'base64 <"$F"',
    "base64 with its line end": '{ cat "$F"; echo; } | base64',
    "basic authorization": 'printf "admin:%s" "$(cat "$F")" | base64 -w 0',
    "base64 in the midst of others": '{ printf "{}"; cat "$F"; printf more; } | base64 -w 0',
    "od": 'od -An -tx1 "$F" | tr -d " \\n"',
    "a Python list": f"{sys.executable} -c 'import os; print([open(os.environ[\"F\"]).read()])'",
    "Python bytes": f'{sys.executable} -c \'import os; print([open(os.environ["F"], "rb").read()])\'',
}
SECRETS_OF_PEOPLE = ["it's$my\\pa\"ss w&rd/+1", "tok-0123456789/+abcdef", "a" * 5 + "Zq9!" * 40, "Öffne-dich 秘密 42"]


def readable(secret: str, text: bytes) -> str:
    """What somebody who looks for the secret reads of it in a text, in whichever way its bytes are written there."""
    plain = secret.encode()
    forms = {plain, plain.hex().encode(), quote(plain).encode(), json.dumps(secret)[1:-1].encode()}
    for skip in range(3):
        whole = base64.b64encode(b"\0" * skip + plain)
        forms.add(whole[(0, 2, 3)[skip] : len(whole) - 4])
    # A third of it in a row is too much.
    flat = text.replace(b"\n", b"").replace(b"\\", b"")
    for form in forms:
        form = form.replace(b"\\", b"")
        size = max(4, len(form) // 3)
        for at in range(len(form) - size + 1):
            if form[at : at + size] in flat:
                return form[at : at + size].decode(errors="replace")
    return ""


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("secret", SECRETS_OF_PEOPLE)
def test_what_tools_make_of_a_secret_when_they_print_it_is_masked(tmp_path: Path, tool: str, secret: str):
    if tool.startswith(("bash", "printf", "declare")) and not shutil.which("bash"):
        pytest.skip("there is no bash")
    file = tmp_path / "f"
    file.write_text(secret)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "F": str(file), "LC_ALL": "C.UTF-8"}
    said = subprocess.run(["sh", "-c", TOOLS[tool]], env=environment, capture_output=True, check=True).stdout
    for sizes in ([len(said)], [3, 1]):
        masked, _ = through(said, sizes, Mask([secret]))
        assert len(masked) == len(said) and readable(secret, masked) == "", (said, masked)


@pytest.mark.parametrize("secret", SECRETS_OF_PEOPLE)
def test_what_libraries_make_of_a_secret_is_masked(secret: str):
    plain = secret.encode()
    said = [
        html.escape(secret), quote(secret), quote_plus(secret),
        re.sub("%..", lambda two: two[0].lower(), quote(secret)),
        quote(secret, safe="!'()*"), json.dumps(secret).replace("/", "\\/"), plain.hex().upper(),
        base64.urlsafe_b64encode(plain).decode(), base64.urlsafe_b64encode(b"user:" + plain).decode(),
    ]  # fmt: skip
    for text in said:
        masked = Mask([secret]).text(f"x={text};")
        assert masked != f"x={text};" and readable(secret, masked.encode()) == "", (text, masked)


def test_who_goes_on_where_a_chunk_ended_sees_no_half_of_a_secret():
    """A worker that dies leaves what it has handed on; the next one begins there and knows nothing of it."""
    secret = "abcd-efgh-abcd"
    data = b"say " + secret.encode() + b"\n"
    for cut in range(1, len(data)):
        out: list[bytes] = []

        async def keep(offset: int, chunk: bytes, out: list[bytes] = out) -> None:
            assert offset == sum(map(len, out))
            out.append(chunk)

        async def go(cut: int = cut, keep=keep, out: list[bytes] = out) -> None:
            await MaskedStream(Mask([secret]), keep).take(0, data[:cut])
            stored = sum(map(len, out))
            second = MaskedStream(Mask([secret]), keep)
            await second.take(stored, data[stored:])
            await second.flush()

        asyncio.run(go())
        assert b"".join(out) == b"say " + b"*" * len(secret) + b"\n", cut


def test_a_log_of_nothing_but_a_secret_is_not_held_back_without_bound():
    secret = "abcd-abcd-"
    masked, chunks = through(secret.encode() * 60_000, [65536], Mask([secret]))
    assert masked == b"*" * 600_000 and max(len(chunk) for _, chunk in chunks) < 300_000


def test_a_key_of_many_lines_does_not_slow_a_log_down():
    key = "-----BEGIN KEY-----\n" + "".join(base64.b64encode(bytes([n]) * 48).decode() + "\n" for n in range(50))
    data = b"step 17 of 200: unpacking, please wait\n" * 100_000
    mask = Mask([key])
    began = time.process_time()
    assert through(data, [65536], mask)[0] == data
    # 4 MB: a machine that prints 20,000 lines a second prints as much in five seconds.
    assert time.process_time() - began < 2.5
