from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hardware.ssh import background
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import Unreachable
from hardware.ssh.pool import Pool
from tests.sshd import Server


async def link(pool: Pool, endpoint: Endpoint) -> tuple[int, str]:
    connection = await pool.connection(endpoint)
    return id(connection), threading.current_thread().name


def test_threads_that_ask_the_same_machine_share_one_link_and_one_loop(sshd: Server):
    with ThreadPoolExecutor(4) as threads:
        found = {future.result() for future in [threads.submit(background.call, link, sshd.endpoint) for _ in range(8)]}
    assert len(found) == 1 and {name for _, name in found} == {"ssh"}
    assert background.call(execute, sshd.endpoint, "echo there").stdout == "there\n"


def test_what_goes_wrong_on_the_loop_is_raised_where_it_was_asked():
    nowhere = Endpoint("n9", "127.0.0.1", 1, "root", "ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43)
    with pytest.raises(Unreachable, match="n9"):
        background.call(execute, nowhere, "true")
