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
from jobs.pages.causes import kinds, mends, planning, preflight, running
from jobs.pages.wording import title

_SENTENCE_ENDS = re.compile(r"(?<=\.) ")


def cause(text: str) -> str:
    """The sentences of a failure or a refusal; as they were kept where they are none of these."""
    if not text:
        return ""
    for known in (_SENTENCES.say, of_machines.cause):
        if (told := known(text)) != text:
            return told
    return _in_parts(text)


def mend(text: str) -> str:
    """What to do."""
    return told if (told := gettext(text) if text else "") != text else cause(text)


def _in_parts(text: str) -> str:
    """A sentence behind the name of a machine or a parameter; or several sentences, as a command's last line has."""
    name, colon, rest = text.partition(": ")
    if colon and (told := cause(rest)) != rest:
        return f"{name}: {told}"
    for end in _SENTENCE_ENDS.finditer(text):
        head, tail = text[: end.start()], text[end.end() :]
        if (first := _SENTENCES.say(head)) != head and (told := mend(tail)) != tail:
            return f"{first} {told}"
    return text


_SENTENCES = Sentences(
    kinds.TEMPLATES,
    mends.MENDS,
    planning.TEMPLATES,
    preflight.TEMPLATES,
    running.TEMPLATES,
    within={"title": title, "why": cause, **dict.fromkeys(("what", "state", "part", "format", "label"), cause)},
)
