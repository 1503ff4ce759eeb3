"""``python -m tests.console.asking ADDRESS...``: asks a console whose database the environment names, as the user ada
with a token and as one with a session, and prints a line of JSON for each answer. ``--made``: the database is there.
"""

from __future__ import annotations

import json
import sys

import django


def main(addresses: list[str], made: bool) -> None:
    django.setup()
    from django.conf import settings
    from django.test import Client

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client(raise_request_exception=False, headers={"Authorization": "Token none"})
    client.cookies[settings.SESSION_COOKIE_NAME] = "a" * 32
    if made:
        from django.contrib.auth.models import User
        from django.core.management import call_command
        from rest_framework.authtoken.models import Token

        call_command("migrate", verbosity=0)
        ada = User.objects.create_user("ada")
        client = Client(
            raise_request_exception=False, headers={"Authorization": f"Token {Token.objects.create(user=ada)}"}
        )
        client.force_login(ada)
    for address in addresses:
        answer = client.get(address)
        said = {"status": answer.status_code, "type": answer["Content-Type"].partition(";")[0]}
        print(json.dumps({**said, "retry": answer.get("Retry-After"), "text": answer.content.decode()}))


if __name__ == "__main__":
    main([one for one in sys.argv[1:] if one != "--made"], "--made" in sys.argv)
