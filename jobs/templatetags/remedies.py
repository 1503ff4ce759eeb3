"""What the pages of alerts show of their remedies."""

from __future__ import annotations

from django import template

from hardware.telemetry.alerts import wording
from hardware.telemetry.alerts.models import Alert
from jobs.remedies import shown

register = template.Library()


@register.simple_tag
def remedy_of(alert: Alert) -> shown.ShownRemedy:
    """The remedy of an alert and the jobs that were launched for it: ``remedies/panel.html`` shows it."""
    return shown.of_alert(alert)


@register.filter
def said(text: str) -> str:
    """A rule's own words, in the reader's language as long as they are the built-in ones."""
    return wording.said(text)
