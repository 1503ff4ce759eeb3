"""Which collector samples which machine: the one that wins it, by rendezvous hashing.

Each collector reckons by itself and comes to the same result from the same list of collectors; one that comes or goes
moves its own share of the machines and no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def winner(machine_id: int, collectors: Iterable[str]) -> str | None:
    """The collector whose hash with the machine is the highest; ``None`` when there is none."""
    machine = machine_id.to_bytes(8, "big")
    return max(collectors, key=lambda name: (_weight(name, machine), name), default=None)


def _weight(name: str, machine: bytes) -> bytes:
    return blake2b(machine, digest_size=8, key=blake2b(name.encode(), digest_size=32).digest()).digest()


class Shares:
    """What one collector wins, remembered from one reckoning to the next."""

    def __init__(self, mine: str) -> None:
        self.mine = mine
        self._collectors: tuple[str, ...] = ()
        self._winners: dict[int, str | None] = {}

    def winners(self, machines: Iterable[int], collectors: Iterable[str]) -> dict[int, str | None]:
        """Whose each machine is."""
        now = tuple(sorted(collectors))
        before, self._winners = self._winners, {}
        if now != self._collectors:
            self._collectors, before = now, {}
        for machine in machines:
            self._winners[machine] = before[machine] if machine in before else winner(machine, now)
        return self._winners
