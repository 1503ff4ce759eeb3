"""The command line as root: what a login user other than root puts before a command, and how its password gets there.

``sudo`` runs a ``/bin/sh`` that first says on both outputs that it is root. Only then is anything else sent: whatever
stands before that mark is sudo's own (its lecture, its complaint), and a password that sudo did not ask for is read
away before the command begins, so that it never becomes the command's input. The password goes over stdin alone: not
among the arguments that `ps` shows, nor in sudo's own log. One that is wrong is offered once; sudo would take what
follows for a second and a third try, and three of them lock an account on many sites.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import Any

import asyncssh

from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import (
    CommandTimeout,
    LinkLost,
    SudoMissing,
    SudoNotAllowed,
    SudoPassword,
    SudoRefused,
    SudoTerminal,
)

MARK = "@@console-root"
# The last line before the command's own input.
BEGIN = "@@console-begin"
# PAM waits about two seconds after a wrong password; a directory server that is asked may take longer.
ADMISSION_SECONDS = 30
# sudo's secure_path often lacks /usr/local, where the driver's tools are.
_PATH = "PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH"


def command_line(endpoint: Endpoint, command: str, *, quiet: bool = False) -> str:
    """What the login user's shell is to run so that root runs ``command``. ``quiet`` drops the command's stderr.

    What it is fed: the password and a line end where there is one, nothing before the mark was seen, then ``BEGIN`` and
    a line end, then the command's input.
    """
    # Where sudo gives a command a terminal (use_pty), that hangs up when the command ends: what it left in the
    # background, a run or a restart, is to go on.
    text = f"""\
trap '' HUP; unset LC_ALL; {_PATH}
echo {MARK}; echo {MARK} >&2
while IFS= read -r line && [ "$line" != {BEGIN} ]; do :; done
{"exec 2>/dev/null" if quiet else ":"}
{command}"""
    how = "-S -p ''" if endpoint.sudo_password else "-n"
    # In English, to tell its complaints apart.
    return f"env LC_ALL=C sudo -H {how} -- /bin/sh -c {shlex.quote(text)}"


async def start(
    connection: asyncssh.SSHClientConnection,
    endpoint: Endpoint,
    command: str,
    *,
    input: bool = True,
    quiet: bool = False,
    **options: Any,
) -> asyncssh.SSHClientProcess[Any]:
    """Start ``command`` on an open connection, as root where the endpoint's user is another.

    ``input``: something will be written to its stdin; else that ends at once. ``quiet`` drops what it says on stderr.
    ``options`` are asyncssh's (``encoding``, ``errors``). Raises ``SudoRefused``, ``CommandTimeout``, ``LinkLost`` and
    what asyncssh raises when no session can be opened.
    """
    if not endpoint.needs_sudo:
        streams = {} if input else {"stdin": asyncssh.DEVNULL}
        streams |= {"stderr": asyncssh.DEVNULL} if quiet else {}
        return await connection.create_process(command, **streams, **options)
    process = await connection.create_process(command_line(endpoint, command, quiet=quiet), **options)
    try:
        async with asyncio.timeout(ADMISSION_SECONDS):
            await _become_root(connection, process, endpoint, binary=options.get("encoding", "") is None)
    except TimeoutError as wrong:
        process.close()
        said = f"sudo gave no answer within {ADMISSION_SECONDS} s."
        raise CommandTimeout(endpoint.name, said, "See what sudo asks there: ssh in and run sudo -v.") from wrong
    except BaseException:
        process.close()
        raise
    if not input:
        process.stdin.write_eof()
    return process


async def run(
    connection: asyncssh.SSHClientConnection, endpoint: Endpoint, command: str, input: str | None
) -> asyncssh.SSHCompletedProcess:
    """Run ``command`` to its end, as ``start`` does; text that is no UTF-8 is replaced."""
    if not endpoint.needs_sudo:
        return await connection.run(command, input=input, encoding="utf-8", errors="replace", check=False)
    process = await start(connection, endpoint, command, encoding="utf-8", errors="replace")
    try:
        if input:
            process.stdin.write(input)
        process.stdin.write_eof()
        return await process.wait()
    except BaseException:
        # Not waited for: on a link that swallows what is sent, the other end never says that it closed.
        process.close()
        raise


async def _become_root(
    connection: asyncssh.SSHClientConnection, process: asyncssh.SSHClientProcess[Any], endpoint: Endpoint, binary: bool
) -> None:
    def line(text: str) -> Any:
        return f"{text}\n".encode() if binary else f"{text}\n"

    said: list[str] = []
    refused = False
    try:
        if endpoint.sudo_password:
            process.stdin.write(line(endpoint.sudo_password))
        while True:
            got = await process.stderr.readline()
            text = got.decode(errors="replace") if isinstance(got, bytes) else got
            if not text.endswith("\n"):
                said.append(text)
                break
            # A prompt of PAM's own has no line end: the mark may stand behind it.
            if text.rstrip("\r\n").endswith(MARK):
                await process.stdout.readuntil(line(MARK))
                process.stdin.write(line(BEGIN))
                return
            said.append(text)
            if not refused and "try again" in text.lower():
                # No second try: without input sudo gives up.
                refused = True
                process.stdin.write_eof()
        await process.wait_closed()
    except (OSError, asyncssh.Error, asyncio.IncompleteReadError) as wrong:
        if not connection.is_closed():
            raise refusal(endpoint, "".join(said), process.exit_status) from wrong
        raise LinkLost(endpoint.name, "the SSH link was cut.") from wrong
    if connection.is_closed():
        raise LinkLost(endpoint.name, "the SSH link was cut.")
    raise refusal(endpoint, "".join(said), process.exit_status)


def refusal(endpoint: Endpoint, said: str, status: int | None) -> SudoRefused:
    """What sudo's complaint means, and what to do about it."""
    name, user, low = endpoint.name, endpoint.username, said.lower()
    if "must have a tty" in low:
        mend = f"Add the line `Defaults:{user} !requiretty` to its sudoers, with visudo."
        return SudoTerminal(name, f"sudo wants a terminal from user {user} (requiretty).", mend)
    if "not in the sudoers" in low or "may not run sudo" in low or "not allowed to" in low:
        mend = f"Let {user} run commands as root there, with visudo: {user} ALL=(root) ALL; or log in as another user."
        return SudoNotAllowed(name, f"sudo does not let user {user} run commands as root.", mend)
    if "incorrect password" in low or "try again" in low:
        return SudoPassword(name, f"sudo refused the password of user {user}.")
    if "password is required" in low or "no password was provided" in low:
        mend = (
            f"Give the password for sudo in the machine's credential, or let {user} do without one there: "
            f"{user} ALL=(root) NOPASSWD: ALL."
        )
        return SudoPassword(name, f"sudo wants a password from user {user}.", mend)
    if status == 127 or "no such file" in low or "not found" in low:
        return SudoMissing(name, "it has no sudo.")
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), f"exit code {status}")
    return SudoRefused(name, f"sudo did not make user {user} root ({last[:200]}).")
