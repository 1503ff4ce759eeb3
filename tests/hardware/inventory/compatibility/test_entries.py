"""What the site itself says of versions: over REST and by its pages, asked by preflight; each change in the trail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from hardware.inventory.compatibility.models import Entry
from hardware.inventory.facts import Package, read
from hardware.inventory.models import Credential, Machine
from hardware.inventory.preflight.compatibility import from_files, use
from tests.probe_text import probe_text

pytestmark = pytest.mark.django_db

PATH = "/api/v1/compatibility/"
# A pair that no table of the console names.
PAIR = {"driver": ["27.0.0"], "firmware": ["9.9.9"]}


@pytest.fixture(autouse=True)
def afterwards_as_the_files_have_it() -> Iterator[None]:
    """Rules that other tests ask know no database."""
    yield
    use(from_files())


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def rest(ada: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(ada)
    return client


@pytest.fixture
def page(ada: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(ada)
    return client


@pytest.fixture
def machine() -> Machine:
    bare = read(probe_text(driver="24.1.0", firmware="7.5.0.2.220", npus=True))
    facts = replace(bare, driver=Package("27.0.0"), firmware=Package("9.9.9"))
    return Machine.objects.create(
        name="n1",
        host="192.0.2.1",
        credential=Credential.objects.create(name="lab", password="p"),
        state="ready",
        facts=facts.to_json(),
    )


def said(rest: APIClient) -> tuple[str, str]:
    """The severity and the reason of preflight's check of driver and firmware."""
    checks = rest.get("/api/v1/machines/n1/preflight/").json()["checks"]
    [check] = [check for check in checks if check["code"] == "driver-firmware"]
    return check["severity"], check["reason"]


def test_an_entry_decides_of_a_pair_that_was_unknown_until_it_is_replaced_and_retired(rest, machine):
    assert said(rest)[0] == "unknown"
    made = rest.post(PATH, {"parts": PAIR, "source": "tried in the lab, 3 March"}, format="json")
    assert made.status_code == 201 and made.json()["created_by"] == "ada"
    place = f"{PATH}{made.json()['id']}/"
    severity, reason = said(rest)
    assert severity == "pass" and "tried in the lab, 3 March" in reason

    change = {"fits": False, "source": "ticket 4711"}
    assert rest.patch(place, change, format="json").status_code == 428
    tag = rest.get(place)["ETag"]
    changed = rest.patch(place, change, format="json", headers={"If-Match": tag})
    assert changed.status_code == 200 and changed.json()["parts"] == PAIR
    severity, reason = said(rest)
    assert severity in ("block", "warn") and "ticket 4711" in reason

    assert rest.post(f"{place}retire/").json()["retired_by"] == "ada"
    assert said(rest)[0] == "unknown"
    assert [one["id"] for one in rest.get(PATH, {"retired": "true"}).json()["results"]] == [made.json()["id"]]
    assert rest.get(PATH, {"retired": "false"}).json()["results"] == []
    assert rest.post(f"{place}restore/").json()["retired_at"] is None
    assert "ticket 4711" in said(rest)[1]

    trail = AuditEvent.objects.filter(action__startswith="compatibility.").order_by("id")
    assert [one.action.partition(".")[2] for one in trail] == ["create", "update", "retire", "restore"]
    assert {(one.actor, one.target) for one in trail} == {("ada", f"compatibility:{made.json()['id']}")}
    assert trail[1].detail["before"]["fits"] is True and trail[1].detail["source"] == "ticket 4711"


def test_what_another_process_stored_counts_at_the_next_check_on_every_page_that_judges(rest, page, machine):
    assert said(rest)[0] == "unknown"
    Entry.objects.create(parts=PAIR, source="from elsewhere")
    assert "from elsewhere" in page.get("/machines/n1/").content.decode()
    assert "from elsewhere" in said(rest)[1]


def test_the_whole_table_says_of_each_row_where_it_is_from_and_a_pair_that_none_names_is_unknown(rest):
    rest.post(PATH, {"parts": PAIR, "source": "the lab"}, format="json")
    rows = rest.get(f"{PATH}table/").json()
    assert rows[0]["origin"] == "entry" and rows[0]["created_by"] == "ada" and rows[0]["source"] == "the lab"
    assert {row["origin"] for row in rows[1:]} == {"console"} and all(row["source"] for row in rows)

    def ask(**versions: str) -> tuple[str, str | None]:
        found = rest.get(f"{PATH}ask/", versions).json()
        return found["answer"], found["line"] and found["line"]["origin"]

    assert ask(driver="27.0.0", firmware="9.9.9") == ("fits", "entry")
    assert ask(driver="24.1.0", firmware="7.5.0.2.220") == ("fits", "console")
    assert ask(mindspore="2.7.2", cann="8.0.0") == ("unfit", "console")
    assert ask(driver="27.0.0", firmware="1.2.3") == ("unknown", None)
    assert rest.get(f"{PATH}ask/", {"driver": "1"}).status_code == 400
    assert rest.get(f"{PATH}ask/", {"kernel": "1", "cann": "2"}).status_code == 400


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "  "}, "source"),
        ({"source": "x" * 501}, "source"),
        ({"parts": {"driver": ["24.1.0"]}}, "parts"),
        ({"parts": {"driver": ["24.1.0"], "kernel": ["4.19"]}}, "kernel"),
        ({"parts": {"driver": ["newest"], "cann": ["8.0.0"]}}, "driver"),
        ({"parts": {"driver": ["1"], "chip": ["910C"]}}, "chip"),
        ({"parts": {"driver": ["1"], "cann": []}}, "cann"),
        ({"parts": {"driver": ["1"], "cann": ["1." * 31]}}, "parts"),
        ({"only": ["driver", "cann"]}, "only"),
        ({"only": ["driver", "firmware"], "fits": False}, "only"),
    ],
)
def test_what_can_not_be_asked_is_refused_by_its_field(rest, change, field):
    answer = rest.post(PATH, {"parts": PAIR, "source": "the lab", **change}, format="json")
    assert answer.status_code == 400 and field in str(answer.json()), answer.json()
    assert not Entry.objects.exists() and not AuditEvent.objects.filter(action="compatibility.create").exists()


def test_two_live_entries_never_speak_of_the_same_versions(rest):
    first = rest.post(PATH, {"parts": PAIR, "source": "the lab"}, format="json").json()["id"]
    same = {"parts": {"firmware": ["9.9.9.0"], "driver": ["27.0"]}, "fits": False, "source": "the other lab"}
    assert rest.post(PATH, same, format="json").status_code == 400
    rest.post(f"{PATH}{first}/retire/")
    assert rest.post(PATH, same, format="json").status_code == 201
    assert rest.post(f"{PATH}{first}/restore/").status_code == 400


def test_nobody_reads_or_writes_it_without_a_login():
    assert APIClient().get(PATH).status_code == 401
    assert APIClient().post(PATH, {"parts": PAIR, "source": "x"}, format="json").status_code == 401


def test_the_page_lists_who_said_what_and_its_form_adds_replaces_and_retires(page, ada):
    form = {"driver": "27.0.0, 27.0.1", "firmware": "9.9.9", "source": "the lab", "fits": "yes"}
    refused = page.post("/compatibility/new/", form | {"driver": "newest"})
    assert refused.status_code == 422 and "&#x27;newest&#x27; is no version" in refused.content.decode()
    assert page.post("/compatibility/new/", form).status_code == 302
    entry = Entry.objects.get()
    assert entry.parts == {"driver": ["27.0.0", "27.0.1"], "firmware": ["9.9.9"]} and entry.created_by == "ada"
    listed = page.get("/compatibility/").content.decode()
    assert "27.0.0, 27.0.1" in listed and "the lab" in listed and "MindFormers VERSION_MAP.json" in listed
    only = page.get("/compatibility/", {"origin": "entry", "q": "ada"}).content.decode()
    assert "27.0.0, 27.0.1" in only and "MindFormers VERSION_MAP.json" not in only
    pair = {"first": "driver", "first_version": "27.0.1", "second": "firmware", "second_version": "9.9.9"}
    assert "go together (the lab)" in page.get("/compatibility/", pair).content.decode()
    unknown = page.get("/compatibility/", pair | {"second_version": "1.0"}).content.decode()
    assert "Unknown: nobody says whether Driver 27.0.1 and Firmware 1.0 go together." in unknown

    place = f"/compatibility/{entry.pk}/"
    assert page.post(place, form | {"fits": "no", "do": "save"}).status_code == 302
    assert page.post(place, {"do": "retire"}).status_code == 302
    entry.refresh_from_db()
    assert (entry.fits, entry.retired_by) == (False, "ada")
    assert "1 retired entry" in page.get("/compatibility/").content.decode()


def test_the_sentences_about_a_row_are_in_the_readers_language(page):
    form = {"driver": "newest", "cann": "8.0.0", "source": "x"}
    chinese = page.post("/compatibility/new/", form, headers={"accept-language": "zh-hans"}).content.decode()
    assert "不是版本号" in chinese
