"""Why a notification was not delivered, in the reader's language; it is kept in English, as it was told."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from hardware.inventory.sentences import Sentences

TEMPLATES = (
    _("It did not answer within %(n)s s."),
    _("It can't be reached: %(said)s."),
    _("It answered %(status)s."),
    _("It answered %(status)s: %(said)s."),
    _("CONSOLE_CA_FILE=%(file)s can't be read: %(said)s."),
    _("No mail relay is set; give CONSOLE_SMTP_HOST."),
    _("The relay refused %(addresses)s."),
    _("The relay refused the login; look at CONSOLE_SMTP_USER and its password."),
    _("The relay answered %(status)s %(said)s."),
    _("The relay %(host)s can't be reached: %(said)s."),
    _("The console itself is at fault; look at its log."),
)

said = Sentences(TEMPLATES).say
