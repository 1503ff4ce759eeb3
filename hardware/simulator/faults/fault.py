"""What a kind of fault is. A new one is one file in this folder with a subclass of ``Fault``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from hardware.simulator.spec import Home

NPUS = 4


class FaultRefused(ValueError):
    """The fault can't be set or cleared; ``str()`` is one line that says what would be right."""


class Fault(ABC):
    """``slug`` is that of the rule that finds it. ``takes`` says in words what ``--value`` may be; empty: nothing."""

    slug: ClassVar[str]
    summary: ClassVar[str]
    takes: ClassVar[str] = ""

    @abstractmethod
    def value(self, words: list[str]) -> list[str]:
        """The value as it is kept, defaults filled in. Raises ``FaultRefused``."""

    def began(self, home: Home) -> None:
        """What has to be done to the running machine besides; its stand-ins see the fault by themselves."""
        return None

    def ended(self, home: Home) -> None:
        """The other way round."""
        return None

    def refuse(self) -> FaultRefused:
        takes = f"--value is {self.takes}" if self.takes else "it takes no --value"
        return FaultRefused(f"{self.slug}: {takes}.")

    def npu(self, words: list[str], usual: int) -> int:
        """The NPU that a value begins with, or the usual one."""
        return self.whole(words, 0, usual, 0, NPUS - 1)

    def whole(self, words: list[str], place: int, usual: int, low: int, high: int) -> int:
        """A whole number of the value. Raises ``FaultRefused`` when it is out of range."""
        if len(words) <= place:
            return usual
        try:
            number = int(words[place])
        except ValueError:
            raise self.refuse() from None
        if not low <= number <= high:
            raise self.refuse()
        return number

    def at_most(self, words: list[str], count: int) -> None:
        if len(words) > count:
            raise self.refuse()
