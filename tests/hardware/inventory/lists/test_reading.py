from __future__ import annotations

import re
from dataclasses import replace

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
        ("n[:2]", ["n0", "n1", "n2"]),
        ("n[y:B]", ["ny", "nz", "nA", "nB"]),
        ("plain", ["plain"]),
    ],
)
def test_a_range_stands_for_its_names(pattern, names):
    assert expand(pattern) == names


@pytest.mark.parametrize("pattern", ["n[9:1]", "n[A:c]", "n[1:a]", "n[0:99999]", "n[1:2:0]", "[0:999][0:999]"])
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


@pytest.mark.parametrize("before", ["\n\n", "sep=;\r\n", "# of the room\n\n"])
def test_what_stands_before_a_csvs_first_line_is_passed_over(before):
    found = by_name(read_csv(before + 'name;host;labels\n# n9;10.0.0.9\nn1;10.0.0.1;"a,b；c"\n'))
    assert [(one.name, one.labels) for one in found.values()] == [("n1", ("a", "b", "c"))]


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("fe80::1", "fe80::1"), ("[2001:DB8::1]", "2001:db8::1"), ("fe80::1%eth0", "fe80::1%eth0"),
        ("机.lab", "机.lab"),
        ("10.0.0.1:22", None), ("[2001:db8::1]:22", None), ("10.0.0.300", None), ("-oProxyCommand=x", None),
        ("a;b", None), ("{{ ip }}", None), ("h\x00", None),
    ],
)  # fmt: skip
def test_an_address_is_an_ip_address_or_a_host_name(host, kept):
    listing = read_yaml(f"all: {{hosts: {{n1: {{ansible_host: {host!r}}}}}}}")
    assert [one.host for one in listing.entries] == ([kept] if kept else [])
    assert kept or "is no address" in listing.problems[0].text


def test_a_cell_with_an_open_quotation_mark_hides_no_machine_in_silence():
    listing = read_csv('name,host,site\nn1,10.0.0.1,"hall\nn2,10.0.0.2,hall\n')
    assert listing.entries == [] and "quotation mark" in listing.problems[0].text


def test_two_names_for_one_address_are_noted():
    listing = read_csv("name,host\nn1,10.0.0.1\nn2,10.0.0.1\n")
    assert len(by_name(listing)) == 2
    assert [note.text for note in listing.notes] == ["n2 and n1 have the same address: 10.0.0.1 port 22."]


def test_variables_of_groups_are_read_as_ansible_reads_them():
    text = """\
[b]
n1
[a]
n1
[a:vars]
site = "room 1"   # as racked
ansible_port = 2201 # forwarded
credential=a
[b:vars]
credential=b
[above:children]
a
[above:vars]
site=far
fingerprint=SHA256:x
[all:vars]
credential=all
"""
    (problem,) = read_ini(text).problems
    assert "SHA256:x" in problem.text
    found = by_name(read_ini(text.replace("fingerprint=SHA256:x", "")))["n1"]
    assert (found.site, found.port) == ("room 1", 2201)
    # a lies further down than b; of two on a level the last by name counts.
    assert found.credential == "a"
    assert by_name(read_ini("[b]\nn1\n[a]\nn1\n[a:vars]\nsite=A\n[b:vars]\nsite=B\n"))["n1"].site == "B"


def test_a_host_may_begin_with_a_range_and_an_ipv6_address_hides_no_other():
    listing = read_ini("[lab]\n[a:b].lab\n[2001:db8::5]:2201\n")
    assert [one.name for one in listing.entries] == ["a.lab", "b.lab"]
    assert "is no name" in listing.problems[0].text


def test_what_the_vault_hides_in_a_yaml_inventory_hides_no_machine():
    text = """\
all:
  vars:
    ansible_password: !vault |
      $ANSIBLE_VAULT;1.1;AES256
      6231
  children:
    web servers:
      hosts: w1
      children: db
    db:
      hosts: {w2: {ansible_host: !unsafe 10.0.0.2}}
"""
    listing = read_yaml(text)
    found = by_name(listing)
    assert (found["w1"].labels, found["w2"].labels) == (("web_servers",), ("db", "web_servers"))
    assert found["w2"].host == "10.0.0.2" and "ansible_password" in listing.notes[0].text


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
        Entry, NAMES, st.from_regex(r"[a-z][a-z0-9]{0,7}(\.[a-z0-9]{1,4})?", fullmatch=True) | st.just("2001:db8::1"),
        st.integers(1, 65535), st.sampled_from(["", "room-1", "机房 1", "=1+1", "'=1", "1e5", "a # b", "yes"]),
        st.lists(st.sampled_from(["canary", "rack-7", "rack:7", "[x]", "all", "a:vars"]), unique=True).map(tuple),
        st.sampled_from(["", "lab"]), st.sampled_from(["", PRINT]),
        bmc=st.sampled_from(["", "bmc:443", "[fe80::1]:8443"]), bmc_credential=st.just("ibmc"),
        bmc_fingerprint=st.sampled_from(["", "5D:33"]),
    ),
    unique_by=lambda entry: entry.name, min_size=1, max_size=8,
)  # fmt: skip


def with_labels_as_a_set(entry: Entry) -> tuple[Entry, frozenset[str]]:
    return replace(entry, labels=(), line=0), frozenset(entry.labels)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ENTRIES)
def test_what_is_written_is_read_back(entries):
    for write, read in ((write_csv, read_csv), (write_ini, read_ini), (write_yaml, read_yaml)):
        listing = read(write(entries))
        assert listing.problems == []
        got, want = (
            {(replace(e, labels=(), line=0), frozenset(e.labels)) for e in all} for all in (listing.entries, entries)
        )
        assert got == want


@given(st.text(max_size=200))
def test_no_text_brings_it_down(text):
    for read in (read_csv, read_ini, read_yaml):
        try:
            read(text)
        except ListRefused as wrong:
            assert str(wrong)
