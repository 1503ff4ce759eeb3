"""What can go wrong between the console and a board.

::

    BmcFailure
    ├── BmcUnreachable         bmc-unreachable             nothing answers at the address, or no HTTPS
    ├── CertificateNotPinned   bmc-certificate-not-pinned  nobody has confirmed the certificate's fingerprint yet
    ├── CertificateChanged     bmc-certificate-changed     another certificate than the pinned one was offered
    ├── BmcLoginRefused        bmc-login-refused           user name or password is wrong, or the account is locked
    └── BmcRefused             bmc-refused                 the board said no; its own words are in the message

``str()`` is one sentence that names the machine; ``mend`` says what to do. Neither ever holds a secret.
"""

from __future__ import annotations

from typing import ClassVar


class BmcFailure(Exception):
    code: ClassVar[str] = "bmc-failure"
    mend: str = "Look at the board's own pages, then try again."

    def __init__(self, machine: str, what: str, mend: str | None = None) -> None:
        super().__init__(f"{machine}: {what}")
        self.machine = machine
        if mend is not None:
            self.mend = mend


class BmcUnreachable(BmcFailure):
    code = "bmc-unreachable"
    mend = "Check the board's address and port, and that the console reaches the management network."


class CertificateNotPinned(BmcFailure):
    code = "bmc-certificate-not-pinned"
    mend = "Compare the certificate's fingerprint with the one that the board shows, then confirm it."


class CertificateChanged(BmcFailure):
    """``offered`` is the fingerprint of the other certificate."""

    code = "bmc-certificate-changed"
    mend = "Find out why: a new certificate, or someone in between. Then confirm the new fingerprint."

    def __init__(self, machine: str, offered: str) -> None:
        super().__init__(machine, f"its BMC offers another certificate ({offered}).")
        self.offered = offered


class BmcLoginRefused(BmcFailure):
    code = "bmc-login-refused"
    mend = "Correct the user name or password in the board's credential; the board may have locked the account."


class BmcRefused(BmcFailure):
    """``status`` is HTTP's."""

    code = "bmc-refused"
    mend = "The board's account needs the right to set the fans (iBMC: basic settings)."

    def __init__(self, machine: str, what: str, mend: str | None = None, status: int = 0) -> None:
        super().__init__(machine, what, mend)
        self.status = status
