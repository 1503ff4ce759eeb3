from __future__ import annotations

import re

import pytest
from django.utils.translation import override
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.inventory.lists import wording
from hardware.inventory.lists.ansible import expand, read_ini, read_yaml, write_ini, write_yaml
from hardware.inventory.lists.entries import Entry, ListRefused
from hardware.inventory.lists.table import read_csv, write_csv

PRINT = "SHA256:" + "a" * 43

INI = """\
# the room
gate ansible_host=10.0.0.1

[train]
n1-[01:03] site=room-1   # as racked
n2-[a:b].lab:2222

[train:vars]
credential=lab
ansible_port=22022

[ascend:children]
train
edge

[edge]
n1-02 ansible_ssh_host="10.9.0.2" ansible_password=hunter2
"""


def by_name(listing) -> dict[str, Entry]:
    assert listing.problems == []
    return {entry.name: entry for entry in listing.entries}


def test_an_ini_inventory_gives_machines_with_its_groups_as_labels():
    found = by_name(read_ini(INI))
    assert set(found) == {"gate", "n1-01", "n1-02", "n1-03", "n2-a.lab", "n2-b.lab"}
    assert (found["gate"].host, found["gate"].port, found["gate"].labels) == ("10.0.0.1", 22, ())
    one = found["n1-01"]
    assert (one.host, one.port, one.site, one.credential) == ("n1-01", 22022, "room-1", "lab")
    assert one.labels == ("train", "ascend")
    assert (found["n2-a.lab"].port, found["n1-02"].host) == (2222, "10.9.0.2")
    assert found["n1-02"].labels == ("train", "edge", "ascend")


def test_a_password_in_a_list_is_left_out_and_said():
    listing = read_ini(INI)
    (note,) = listing.notes
    assert "ansible_password" in note.text and "hunter2" not in str(listing)


def test_a_yaml_inventory_gives_the_same():
    text = """
all:
  vars: {credential: lab}
  hosts:
    gate: {ansible_host: 10.0.0.1}
  children:
    ascend:
      children:
        train:
          vars: {ansible_port: 22022}
          hosts:
            n1-[01:03]: {site: room-1}
            n9: null
"""
    found = by_name(read_yaml(text))
    assert found["n1-02"] == Entry("n1-02", "n1-02", 22022, "room-1", ("train", "ascend"), "lab")
    assert found["gate"].labels == () and found["gate"].credential == "lab" and "n9" in found


def test_groups_in_a_circle_end():
    listing = read_ini("[a]\nx\n[a:children]\nb\n[b:children]\na\n")
    assert by_name(listing)["x"].labels == ("a", "b")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("n[08:11]", ["n08", "n09", "n10", "n11"]),
        ("n[8:10]", ["n8", "n9", "n10"]),
        ("n[1:9:4]", ["n1", "n5", "n9"]),
        ("[a:c]x", ["ax", "bx", "cx"]),
        ("r[1:2]n[1:2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("plain", ["plain"]),
    ],
)
def test_a_range_stands_for_its_names(pattern, names):
    assert expand(pattern) == names


@pytest.mark.parametrize("pattern", ["n[9:1]", "n[1:a]", "n[0:99999]", "n[1:2:0]", "[0:999][0:999]"])
def test_a_range_that_makes_no_sense_is_refused(pattern):
    with pytest.raises(ListRefused, match=r"range|more than"):
        expand(pattern)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_gives_machines_whatever_a_spreadsheet_puts_between_its_cells(delimiter):
    rows = [
        ["Name", "Host", "Port", "Labels", "Rack"],
        ["n1", "10.0.0.1", "", "canary rack-7", "7"],
        ["n2", "", "2222", "", ""],
    ]
    listing = read_csv("\r\n".join(delimiter.join(row) for row in rows))
    found = by_name(listing)
    assert found["n1"] == Entry("n1", "10.0.0.1", 22, "", ("canary", "rack-7"), line=2)
    assert (found["n2"].host, found["n2"].port) == ("n2", 2222)
    assert [note.text for note in listing.notes] == ["The column rack was left out."]


def test_each_bad_line_is_named_and_hides_no_other():
    rows = ["n1,10.0.0.1,x,", f"n2,10.0.0.2,22,{PRINT}", "n2,10.0.0.3,22,", "-bad,h,22,", "n3,a b,22,", "n4,h,22,MD5:1"]
    listing = read_csv("\n".join(["name,host,port,fingerprint", *rows, "n5,h,70000,"]))
    assert [entry.name for entry in listing.entries] == ["n2"]
    assert [problem.line for problem in listing.problems] == [2, 4, 5, 6, 7, 8]
    assert "stands in line 3 already" in listing.problems[1].text


def test_every_bad_line_is_told_in_the_readers_language():
    head = "name,host,port,site,credential,labels,jump,bmc,bmc_credential,fingerprint,rack"
    rows = [
        "-bad", "add", "n1,a b", "n1,h,70000", "n1,h,x", f"n1,h,22,{'s' * 64}", f"n1,h,22,s,{'c' * 81}",
        f"n1,h,22,s,c,{'l' * 64}", "n1,h,22,s,c,l,a b", "n1,h,22,s,c,l,j,a b", "n1,h,22,s,c,l,j,b:443",
        "n1,h,22,s,c,l,j,,,MD5:1", "n1", "n1",
    ]  # fmt: skip
    listing = read_csv("\n".join([head, *rows]))
    assert len(listing.problems) == 13 and len(listing.notes) == 1
    with override("zh-hans"):
        told = wording.problems([*listing.problems, *listing.notes])
    assert [one.text for one in told if re.search(r" (is|can|has|names|stands|was) ", one.text)] == []
    assert told[0].text == "'-bad' 不是合法名称：只能用字母、数字、点、连字符和下划线，最多 63 个字符。"


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (read_csv, "", "no column called name"),
        (read_csv, "host,port\n10.0.0.1,22\n", "no column called name"),
        (read_ini, "[train\nn1\n", "no section"),
        (read_ini, "n1 alone\n", "no variable"),
        (read_ini, "n1 a='b\n", "Line 1"),
        (read_yaml, "all: [", "no YAML"),
        (read_yaml, "- n1\n", "begins with the name of a group"),
        (read_yaml, "all: {hosts: [n1]}\n", "must be a mapping"),
    ],
)
def test_what_is_no_list_is_refused_in_one_sentence(read, text, said):
    with pytest.raises(ListRefused, match=said):
        read(text)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True).filter(lambda name: name != "add")
ENTRIES = st.lists(
    st.builds(
        Entry, NAMES, st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,4})?", fullmatch=True), st.integers(1, 65535),
        st.sampled_from(["", "room-1", "机房 1", "=1+1"]),
        st.lists(st.sampled_from(["canary", "rack-7"]), unique=True).map(tuple),
        st.sampled_from(["", "lab"]), st.sampled_from(["", PRINT]),
    ),
    unique_by=lambda entry: entry.name, min_size=1, max_size=8,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ENTRIES)
def test_what_is_written_is_read_back(entries):
    for write, read in ((write_csv, read_csv), (write_ini, read_ini), (write_yaml, read_yaml)):
        listing = read(write(entries))
        assert listing.problems == []
        got = [(e.name, e.host, e.port, e.site, set(e.labels), e.credential, e.fingerprint) for e in listing.entries]
        want = [(e.name, e.host, e.port, e.site, set(e.labels), e.credential, e.fingerprint) for e in entries]
        assert sorted(got) == sorted(want)


@given(st.text(max_size=200))
def test_no_text_brings_it_down(text):
    for read in (read_csv, read_ini, read_yaml):
        try:
            read(text)
        except ListRefused as wrong:
            assert str(wrong)
