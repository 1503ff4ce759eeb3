"""Rollups: what a machine and its NPUs did in a minute, and in an hour.

Samples are gathered by ``recorder.Rollups`` in the collector's process and stored as one packed row a machine a minute;
``hours`` makes rows of an hour out of those; ``reading.read`` gives both back; ``retention`` removes what is old.
"""

from hardware.telemetry.rollups.records import METRICS, SILENT, Period, Stat

__all__ = ["METRICS", "SILENT", "Period", "Stat"]
