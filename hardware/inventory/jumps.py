"""Which machine may be the jump host of which: no loops, no long chains, nothing that is retired."""

from __future__ import annotations

from django.utils.translation import gettext as _

from hardware.inventory.models import MOST_JUMPS, Machine


class JumpRefused(ValueError):
    """``str()`` is one sentence in the reader's language."""


def check_jump(name: str, jump: Machine | None) -> None:
    """Whether the machine called ``name``, enrolled or not, can be reached through ``jump``. Raises ``JumpRefused``."""
    if jump is None:
        return
    if jump.state == Machine.State.RETIRED:
        raise JumpRefused(_("%(jump)s is retired; nothing goes through it.") % {"jump": jump.name})
    way: list[str] = []
    step: Machine | None = jump
    while step is not None and len(way) <= MOST_JUMPS:
        way.append(step.name)
        if step.name == name:
            raise JumpRefused(
                _("%(machine)s can’t be reached through itself: %(way)s.")
                % {"machine": name, "way": " → ".join([name, *way])}
            )
        step = step.jump
    if len(way) + _behind(name) > MOST_JUMPS:
        raise JumpRefused(
            _("That makes a chain of more than %(most)s jump hosts: %(way)s.")
            % {"most": MOST_JUMPS, "way": " → ".join([name, *way])}
        )


def _behind(name: str) -> int:
    """How many steps of a chain lie behind a machine."""
    names, steps = [name], 0
    while steps <= MOST_JUMPS:
        names = list(Machine.objects.filter(jump__name__in=names).values_list("name", flat=True))
        if not names:
            break
        steps += 1
    return steps


def check_retiring(machine: Machine) -> None:
    """A jump host can't be retired before what lies behind it. Raises ``JumpRefused``."""
    behind = machine.behind.exclude(state=Machine.State.RETIRED).values_list("name", flat=True)[:4]
    if behind:
        raise JumpRefused(
            _("%(machine)s is the jump host of %(names)s: give those another way, or retire them first.")
            % {"machine": machine.name, "names": ", ".join(behind[:3]) + (" …" if len(behind) > 3 else "")}
        )
