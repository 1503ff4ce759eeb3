"""A group of machines: a list of them, or filters that say who belongs to it."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

from hardware.inventory.models import Machine
from hardware.inventory.selection import Selection, usable


class Group(models.Model):
    """With a ``query`` its members are whichever machines pass it when they are asked for; else ``machines``.

    The name never changes: schedules and pipelines know the group by it.
    """

    name = models.CharField(max_length=63, unique=True, validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")])
    note = models.CharField(max_length=200, blank=True, default="")
    machines = models.ManyToManyField(Machine, related_name="groups", blank=True)
    # The filters of a ``Selection`` that are set; empty for a list of machines.
    query = models.JSONField(default=dict, blank=True)
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def selection(self) -> Selection:
        return Selection.from_json(self.query)

    def members(self, *, facts: bool = False) -> list[Machine]:
        """Every machine that belongs to it now, in the order of the fleet; of a list also those that are retired."""
        if self.query:
            return self.selection.machines(facts=facts)
        found = self.machines.select_related("credential")
        return list(found if facts else found.defer("facts"))

    def resolve(self) -> list[Machine]:
        """The machines that a job on this group works on now: its members that something may log in to.

        A group is often wider than what is in use at the time; a machine whose key waits for confirmation must not
        keep a job from all the others.
        """
        return usable(self.members(facts=True))
