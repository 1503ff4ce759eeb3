"""Frames of a log -> lines and colours, in the browser's own engine: wherever a frame happens to end."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.browser import Desk

pytestmark = pytest.mark.timeout(600)
LINES = """async (frames) => {
  const { LogLines, textOf } = await import("/static/js/loglines.js");
  const { pieces } = await import("/static/js/ansi.js");
  const log = new LogLines();
  let touched = 0;
  for (const frame of frames) touched += log.feed(frame).size;
  return log.lines.map((line) => ({
    number: line.number, machine: line.machine, text: textOf(line), pieces: pieces(line.raw, line.style),
  }));
}"""


@pytest.fixture
def page(desk: Desk) -> Page:
    return desk.tab().open("/jobs/")


def frames(*parts: tuple[str, bytes]) -> list[dict[str, Any]]:
    """Frames as the server makes them, one a part: (machine, bytes)."""
    made, offset = [], 0
    for machine, data in parts:
        text = data.decode(errors="replace")
        frame = {
            "offset": offset,
            "size": len(data),
            "machine": machine,
            "step_id": len(machine),
            "at": "",
            "text": text,
        }
        made.append(frame | ({"data": base64.b64encode(data).decode()} if "\ufffd" in text else {}))
        offset += len(data)
    return made


def texts(page: Page, *parts: tuple[str, bytes]) -> list[str]:
    return [line["text"] for line in page.evaluate(LINES, frames(*parts))]


def test_machines_that_print_at_once_keep_their_own_lines_in_the_order_of_their_first_bytes(page):
    found = page.evaluate(LINES, frames(("a", b"one o"), ("bb", b"two\nthr"), ("a", b"f a\nnext"), ("bb", b"ee\n")))
    assert [(line["number"], line["machine"], line["text"]) for line in found] == [
        (1, "a", "one of a"),
        (2, "bb", "two"),
        (3, "bb", "three"),
        (4, "a", "next"),
    ]


def test_a_character_that_two_frames_share_is_one_character(page):
    whole = "中文 é 𝄞\n".encode()
    for cut in range(1, len(whole)):
        assert texts(page, ("a", whole[:cut]), ("a", whole[cut:])) == ["中文 é 𝄞"], cut
    assert texts(page, ("a", b"broken \xff\xe4 here\n"), ("a", b"next\n")) == ["broken \ufffd\ufffd here", "next"]


def test_what_is_written_over_leaves_its_last_state_and_blank_lines_stay(page):
    assert texts(page, ("a", b"10 %\r20 %\r"), ("a", b"30 %"), ("a", b"\rdone\r\n\r\n\nend")) == ["done", "", "", "end"]


def test_colours_go_on_over_lines_and_frames_until_they_are_switched_off(page):
    parts = (("a", b"\x1b[1;3"), ("a", b"1mred\nstill\x1b[0m plain \x1b[38;5;2mgreen\x1b[39m\x1b[K\x1b]0;title\x07.\n"))
    lines = page.evaluate(LINES, frames(*parts))
    assert lines[0]["pieces"] == [{"text": "red", "css": "ar bo"}]
    assert lines[1]["pieces"] == [
        {"text": "still", "css": "ar bo"},
        {"text": " plain ", "css": ""},
        {"text": "green", "css": "ag"},
        {"text": ".", "css": ""},
    ]
    # A bar that is drawn over keeps the colour that its first state switched on.
    (line,) = page.evaluate(LINES, frames(("a", b"\x1b[32m10 %\r20 %\n")))
    assert line["pieces"] == [{"text": "20 %", "css": "ag"}]


def test_markup_in_a_log_is_text(page):
    assert texts(page, ("a", b"<img src=x onerror=alert(1)>&amp;\n")) == ["<img src=x onerror=alert(1)>&amp;"]
