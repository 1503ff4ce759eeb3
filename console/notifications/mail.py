"""One mail over the site's relay, for all news that wait for a destination."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.template.loader import render_to_string
from django.utils.translation import gettext, ngettext

from console.notifications.failures import NotDelivered
from console.notifications.news import in_words
from hardware.telemetry.alerts.wording import said, severity

TIMEOUT_SECONDS = 20


def send(address: str, uid: str, news: Sequence[dict[str, Any]]) -> None:
    """Raises ``NotDelivered`` when the relay refuses the mail or does not answer."""
    if not settings.EMAIL_HOST:
        raise NotDelivered("No mail relay is set; give CONSOLE_SMTP_HOST.")
    to = [one.strip() for one in address.split(",") if one.strip()]
    news = [worded(one) for one in news]
    connection = get_connection("django.core.mail.backends.smtp.EmailBackend", timeout=TIMEOUT_SECONDS)
    mail = EmailMessage(
        _subject(news),
        render_to_string("notifications/mail.txt", {"news": news, "console": settings.URL}),
        settings.DEFAULT_FROM_EMAIL,
        to,
        # The same news sent again are the same mail: a mailbox that has it shows it once.
        headers={"Message-ID": f"<{uid}@{settings.DEFAULT_FROM_EMAIL.rpartition('@')[2]}>"},
        connection=connection,
    )
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as wrong:
        raise NotDelivered(f"The relay refused {', '.join(wrong.recipients)}.") from wrong
    except smtplib.SMTPAuthenticationError as wrong:
        raise NotDelivered("The relay refused the login; look at CONSOLE_SMTP_USER and its password.") from wrong
    except smtplib.SMTPResponseException as wrong:
        said = wrong.smtp_error.decode(errors="replace") if isinstance(wrong.smtp_error, bytes) else wrong.smtp_error
        raise NotDelivered(f"The relay answered {wrong.smtp_code} {said}.") from wrong
    except (smtplib.SMTPException, OSError) as wrong:
        raise NotDelivered(f"The relay {settings.EMAIL_HOST} can't be reached: {wrong}.") from wrong


def worded(one: dict[str, Any]) -> dict[str, Any]:
    """News with its words in the language that is active; those of a rule as long as they are the built-in ones."""
    if one["type"] == "test":
        by = one.get("by", "")
        return {**one, "word": gettext("test"), "title": gettext("A test, sent by %(name)s") % {"name": by}}
    alert = one["alert"]
    words = {"ended": gettext("ended"), "acknowledged": gettext("acknowledged")}
    where = f"{alert['machine']} NPU {alert['npu']}" if alert["npu"] else alert["machine"]
    # What has waited since before there was this field has its title only.
    title = f"{where}: {said(alert['title'])}" if "title" in alert else one["title"]
    told = {"cause": said(alert["cause"]), **in_words(alert["values"], alert.get("rising", ()))}
    return {**one, "word": words.get(one["word"]) or severity(one["word"]), "title": title, "alert": {**alert, **told}}


def _subject(news: Sequence[dict[str, Any]]) -> str:
    first = news[0]
    if len(news) == 1:
        return f"[{first['word']}] {first['title']}"
    opened = sum(one["type"] == "alert.opened" for one in news)
    if opened:
        return ngettext("%(n)s alert: %(title)s and more", "%(n)s alerts: %(title)s and more", opened) % {
            "n": opened,
            "title": first["title"],
        }
    return gettext("%(n)s news of alerts") % {"n": len(news)}
