"""What can go wrong between the console and a machine.

::

    SSHFailure
    ├── Unreachable          ssh-unreachable          nothing answers at the address
    │   └── JumpHostFailed   ssh-jump-host-failed     the machine that the link goes through gives no way on
    ├── LinkLost             ssh-link-lost            the link was cut and stayed cut
    ├── AuthenticationRefused ssh-auth-refused        user name, password or key is wrong
    ├── SudoRefused          ssh-sudo-refused         sudo does not make the login user root
    │   ├── SudoPassword     ssh-sudo-password        it wants a password, or another one
    │   ├── SudoNotAllowed   ssh-sudo-not-allowed     its rules do not let the user
    │   ├── SudoTerminal     ssh-sudo-terminal        it wants a terminal (requiretty)
    │   └── SudoMissing      ssh-sudo-missing         there is no sudo
    ├── HostKeyNotPinned     ssh-host-key-not-pinned  nobody has confirmed the machine's fingerprint yet
    ├── HostKeyChanged       ssh-host-key-changed     another key than the pinned one was offered
    ├── NoShell              ssh-no-shell             the machine has no working /bin/sh
    ├── CommandTimeout       command-timeout          a command took longer than it may
    ├── DiskFull             disk-full                no space left where a file was to be written
    ├── TransferCorrupt      transfer-corrupt         the bytes that arrived are not the ones that were sent
    ├── TransferRefused      transfer-refused         the machine refused to write or to read a file
    ├── RunLost              run-lost                 a run's folder or its supervisor vanished
    └── MachineRebooted      machine-rebooted         the machine restarted while a run was under way

``str()`` is one sentence that names the machine; ``mend`` says what to do. Neither ever holds a secret.
"""

from __future__ import annotations

from typing import ClassVar


class SSHFailure(Exception):
    code: ClassVar[str] = "ssh-failure"
    mend: str = "Look at the machine's SSH service, then try again."

    def __init__(self, machine: str, what: str, mend: str | None = None) -> None:
        super().__init__(f"{machine}: {what}")
        self.machine = machine
        if mend is not None:
            self.mend = mend


class Unreachable(SSHFailure):
    code = "ssh-unreachable"
    mend = "Check the machine's power, its management network and the address, then probe it again."


class JumpHostFailed(Unreachable):
    code = "ssh-jump-host-failed"
    mend = "Look at the jump host first; what lies behind it comes back with it."

    def __init__(self, machine: str, what: str, mend: str | None = None) -> None:
        super().__init__(machine, what, mend)
        # For the next one of a chain to pass on: the failure without the machine's name.
        self.what = what


class LinkLost(SSHFailure):
    code = "ssh-link-lost"
    mend = "Check the network to the machine. What runs there goes on; its log follows when the link is back."


class AuthenticationRefused(SSHFailure):
    code = "ssh-auth-refused"
    mend = "Correct the user name, password or key in the machine's credential."


class SudoRefused(SSHFailure):
    code = "ssh-sudo-refused"
    mend = "Log in there as that user and run sudo -v to see what it wants."


class SudoPassword(SudoRefused):
    code = "ssh-sudo-password"
    mend = "Correct the password for sudo in the machine's credential."


class SudoNotAllowed(SudoRefused):
    code = "ssh-sudo-not-allowed"


class SudoTerminal(SudoRefused):
    code = "ssh-sudo-terminal"


class SudoMissing(SudoRefused):
    code = "ssh-sudo-missing"
    mend = "Install sudo there, or log in as root."


class HostKeyNotPinned(SSHFailure):
    code = "ssh-host-key-not-pinned"
    mend = "Compare the fingerprint with the one on the machine's own screen, then confirm it."


class HostKeyChanged(SSHFailure):
    code = "ssh-host-key-changed"
    mend = "Find out why: a new installation, or someone in between. Then confirm the new fingerprint."

    def __init__(self, machine: str, pinned: str, offered: str) -> None:
        super().__init__(machine, f"the host key changed from {pinned} to {offered}; nothing was sent.")
        self.pinned = pinned
        self.offered = offered


class NoShell(SSHFailure):
    code = "ssh-no-shell"
    mend = "Give the user a login shell that runs /bin/sh, and see that /bin/sh exists on the machine."


class CommandTimeout(SSHFailure):
    code = "command-timeout"
    mend = "Look at the machine's load, then try again."


class DiskFull(SSHFailure):
    code = "disk-full"
    mend = "Free space on that file system, then run the job again; it goes on where it stopped."


class TransferCorrupt(SSHFailure):
    code = "transfer-corrupt"
    mend = "Try again. If it happens twice, check the machine's memory and disk."


class TransferRefused(SSHFailure):
    code = "transfer-refused"
    mend = "Check that the folder exists and that the login user may write there."


class RunLost(SSHFailure):
    code = "run-lost"
    mend = "Look at the machine: what the command did is not known. Then run the job again if that is safe."


class MachineRebooted(SSHFailure):
    code = "machine-rebooted"
    mend = "See what the command had done before the restart, then run the job again if that is safe."
