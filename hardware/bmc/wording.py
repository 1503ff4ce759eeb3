"""Words of the board's failures, in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext, gettext_noop

_MENDS = (
    gettext_noop("Check the board's address and port, and that the console reaches the management network."),
    gettext_noop("Compare the certificate's fingerprint with the one that the board shows, then confirm it."),
    gettext_noop("Find out why: a new certificate, or someone in between. Then confirm the new fingerprint."),
    gettext_noop("Correct the user name or password in the board's credential; the board may have locked the account."),
    gettext_noop("The board's account needs the right to set the fans (iBMC: basic settings)."),
)


def mend(text: str) -> str:
    """What to do about a failure of the board."""
    return gettext(text) if text else ""
