"""A collector in a process of its own, by the command line, with a shorter life after death."""

from __future__ import annotations

from django.core.management import call_command

from hardware.telemetry import members


def main(interval: float, dead_seconds: float) -> None:
    members.DEAD_SECONDS = dead_seconds
    members.BEAT_SECONDS = dead_seconds / 4
    call_command("collect", "--interval", str(interval))
