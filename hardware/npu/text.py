"""From what was copied off a terminal to plain lines: any encoding, colours, cursor moves, full-width signs."""

from __future__ import annotations

import codecs
import re
import unicodedata

# A cursor that is put somewhere else begins a new line; everything else that a terminal takes as an order is dropped.
_MOVE = re.compile(r"\x1b\[[\d;]*[HfJ]")
_ORDER = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[()][0-9A-B]"
    r"|\x1b[@-_=>]"
    r"|\^\[\[[\d;?]*[A-Za-z]"
    # What is left of a colour where the escape character itself was lost in copying.
    r"|\[\d{1,3}(?:;\d{1,3})*m|\[m(?!\w)"
)
LONGEST = 2000
_UNSEEN = dict.fromkeys([*range(9), *range(14, 32), 127, 0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
_UNSEEN_SIGNS = tuple(map(chr, _UNSEEN))
_FRAME = {
    **dict.fromkeys(map(ord, "│┃║┆┇┊┋"), "|"),
    **dict.fromkeys(map(ord, "─━┄┅┈┉"), "-"),
    ord("═"): "=",
    **dict.fromkeys(map(ord, "┌┐└┘├┤┬┴┼┏┓┗┛┣┫┳┻╋╔╗╚╝╠╣╦╩╬╞╡╤╧╪"), "+"),
}


def decode(data: bytes) -> str:
    """Text of bytes that are UTF-8 (also cut in the middle of a character), GBK, or UTF-16 with a mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data)
    except UnicodeDecodeError:
        pass
    try:
        return codecs.getincrementaldecoder("gb18030")().decode(data)
    except UnicodeDecodeError:
        tries = [data.decode(encoding, errors="replace") for encoding in ("utf-8", "gb18030")]
        return min(tries, key=lambda text: text.count("\ufffd"))


def plain(text: str) -> str:
    """The same text without what only a terminal needs, with ASCII for full-width signs and drawn lines."""
    if "[" in text or "\x1b" in text:
        text = _ORDER.sub("", _MOVE.sub("\n", text))
    if not text.isascii():
        # Half a pair of a surrogate can't be written out again.
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        text = unicodedata.normalize("NFKC", text.translate(_FRAME))
    text = text.replace("\r\n", "\n")
    return text.translate(_UNSEEN) if any(map(text.__contains__, _UNSEEN_SIGNS)) else text


def lines(output: str | bytes) -> list[str]:
    """The lines of what was printed, each no longer than the tools' lines are: a longer one must not cost more."""
    text = plain(decode(output) if isinstance(output, bytes) else output)
    return [line[:LONGEST] for line in text.splitlines()]
