"""What failures and refusals say, in the reader's language.

They are records: stored in English, as they were told, with the values in them (``sentences`` says how they are found
again). The pure libraries raise them, too, and know no Django. So their templates stand here, by where they come from;
``tests/conventions/test_refusals.py`` names a sentence that has none.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext

from hardware.inventory import causes as of_machines
from hardware.inventory.sentences import Sentences
from jobs.pages.causes import (
    checkpoints,
    conversion,
    kinds,
    mends,
    planning,
    preflight,
    programs,
    quantization,
    running,
    sharding,
)
from jobs.pages.wording import title

_SENTENCE_ENDS = re.compile(r"(?<=\.) ")


def cause(text: str) -> str:
    """The sentences of a failure or a refusal; as they were kept where they are none of these."""
    if not text:
        return ""
    # What a tool said can be anything, so a template that ends with it would take a second sentence for a part of that.
    for known in (_several, _SENTENCES.say, of_machines.cause, _behind_a_name):
        if (told := known(text)) != text:
            return told
    return text


def mend(text: str) -> str:
    """What to do."""
    return told if (told := gettext(text) if text else "") != text else cause(text)


def _several(text: str) -> str:
    """A command's last line: what is wrong, and what to do."""
    for end in _SENTENCE_ENDS.finditer(text):
        head, tail = text[: end.start()], text[end.end() :]
        if (first := _SENTENCES.say(head)) != head and (told := mend(tail)) != tail:
            return f"{first} {told}"
    return text


def _behind_a_name(text: str) -> str:
    """A sentence behind a machine's or a parameter's name, or what a tool said behind a step's title."""
    name, colon, rest = text.partition(": ")
    return f"{title(name)}: {cause(rest)}" if colon else text


def _clause(text: str) -> str:
    """A sentence that another goes on from."""
    return mend(f"{text}.").rstrip(".。")


_SENTENCES = Sentences(
    checkpoints.TEMPLATES,
    conversion.TEMPLATES,
    kinds.TEMPLATES,
    mends.MENDS,
    planning.TEMPLATES,
    preflight.TEMPLATES,
    programs.TEMPLATES,
    quantization.TEMPLATES,
    running.TEMPLATES,
    sharding.TEMPLATES,
    within={
        "title": title,
        "clause": _clause,
        **dict.fromkeys(("first", "second"), gettext),
        # These are sentences or parts of one that have a template of their own.
        **dict.fromkeys(
            ("why", "what", "reason", "request", "seen", "state", "part", "format", "label", "site"), cause
        ),
        **dict.fromkeys(("measure", "samples"), cause),
    },
)
