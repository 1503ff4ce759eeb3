"""The converters' error codes as data: the telling line of a log, and no sentence that one language lacks."""

from __future__ import annotations

import pytest
from django.utils import translation

from jobs.conversion.codes import Explained, entries, explain
from tests.conventions.test_project import ROOT
from tests.shared import FOLDER, needs_shared

LITE = "[ERROR] LITE(475,ffff911bf010,converter_lite):2024-07-09-14:04:09.122.911 [converter/{place}] {said}"


def explained(log: str) -> Explained:
    found = explain(log)
    assert found is not None
    return found


@needs_shared
@pytest.mark.parametrize(
    ("sample", "code", "line", "mend"),
    [
        ("atc-FAIL-E10007-framework-required--CANN7.0", "E10007", "E10007: [--framework] is required.", "Give the"),
        ("atc-FAIL-E10007-framework-required--CANN8.0.0", "E10007", "E10007: [--framework] is required.", "Give the"),
        ("atc-FAIL-E10054-no-args", "E10054", "E10054: The requied parameter [--model]", "Give the option"),
        (
            "atc-FAIL-E19010-no-parser",
            "E19010",
            "E19010: No parser is registered for Op [/down",
            "Replace the operator",
        ),
        ("atc-FAIL-E40000-te-import--20.1", "E40000", "E40000: Failed to import te.platform", "Install CANN again"),
        ("atc-FAIL-EC0010-python-module--2025", "EC0010", "EC0010: Failed to import Python module", "Python module"),
        ("atc-FAIL-EZ3003-no-kernel", "EZ3003", "EZ3003: No supported Ops kernel", "another precision"),
        ("atc-FAIL-missing-libascend_hal--8.0.0", "libascend_hal", "/home/", "Install the driver first"),
        ("E19999-om-load-wrong-soc", "E19999", "E19999 index:0 > stream_list", "soc_version of this machine"),
        ("E19999-opp-version-mismatch", "E19999", "E19999 The opp version of the model", "CANN of the machine"),
        (
            "converter_lite-FAIL-onnx-parse--2024-07",
            "parse",
            "pooling op not support dilations",
            "export it in another",
        ),
    ],
)
def test_of_what_a_tool_wrote_the_telling_line_is_explained(sample, code, line, mend):
    found = explained((FOLDER / "ascend" / "other" / f"{sample}.txt").read_text())
    assert (found.code, found.line.startswith(line), mend in found.mend, bool(found.cause)) == (code, True, True, True)


@needs_shared
@pytest.mark.parametrize("name", ["atc-SUCCESS", "converter_lite-SUCCESS", "converter_lite-SUCCESS-with-ERROR-lines"])
def test_what_went_well_has_nothing_to_explain_whatever_it_printed_before(name):
    path = min((FOLDER / "ascend" / "other").glob(f"{name}*.txt"), key=lambda path: len(path.name))
    assert explain(path.read_text()) is None


@pytest.mark.parametrize(
    ("log", "code", "line", "cause"),
    [
        # The telling line stands behind one that only says that something went wrong.
        ("E19999: Inner Error!\nE10016: Opname [x] is not found", "E10016", "E10016: Opname [x]", "does not have"),
        ("EZ9999: Inner Error!\nEZ9999[PID: 9] 2025-10-29-03:18:08.948.444 (EZ9999):  tiling failed", "EZ9999",
         "EZ9999 (EZ9999): tiling failed", "inner error"),
        ("E10001: Value [Ascend910] for parameter [--soc_version] is invalid.", "E10001", "E10001", "this soc_version"),
        ("E10001: Value [7] for parameter [--framework] is invalid.", "E10001", "E10001", "does not take"),
        ("[PID: 7] 2026-01-07-03:16:09.06 Invalid_Argument(E10014): Value 7", "E10014", "Invalid", "does not take"),
        ("EZ3002: Optype [Conv2D] is unsupported. Reason: Dynamic shape is not supported on this chip!.", "EZ3002",
         "EZ3002", "sizes that vary"),
        ("\x1b[31mE13009: Operator a already exists\x1b[0m", "E13009", "E13009", "one name"),
        ("sh: 1: atc: not found", "command-missing", "sh: 1", "does not find the tool"),
        ("E98765: strange words", "E98765", "E98765: strange", "no entry for this code"),
        (LITE.format(place="a.cc:155] BuildAirModel", said="Call aclgrphBuildModel fail: EE1001: The argument"),
         "EE1001", "Call aclgrph", "without a device"),
        (LITE.format(place="converter_context.h:9] PrintOps", said="FMKTYPE: ONNX, OP TYPE: Foo")
         + "\nCONVERT RESULT FAILED:-300", "UNSUPPORTED OP", "FMKTYPE: ONNX", "no parser"),
        ("CONVERT RESULT FAILED:-1", "CONVERT RESULT FAILED", "CONVERT", "could not read"),
    ],
)  # fmt: skip
def test_other_forms_of_the_same(log, code, line, cause):
    found = explained(f"ATC start working now, please wait for a moment.\n{log}\n")
    assert (found.code, found.line.startswith(line), cause in found.cause) == (code, True, True), found


def test_words_without_a_code_are_not_explained():
    assert explain("") is None
    assert explain("Loading E100 of 200\nall is well") is None


def test_every_cause_and_mend_has_its_chinese():
    with translation.override("zh-hans"):
        missing = [said for one in entries() for said in (one.cause, one.mend) if translation.gettext(said) == said]
    assert missing == []


def test_every_entry_has_a_source_and_no_code_is_in_two_plain_entries():
    assert [one for one in entries() if not one.sources] == []
    plain = [code for one in entries() if one.pattern is None for code in one.codes]
    assert len(plain) == len(set(plain))


def test_every_code_is_documented():
    documented = (ROOT / "docs" / "conversion-codes.md").read_text()
    assert [code for one in entries() for code in one.codes if f"`{code}`" not in documented] == []
    assert [one.mend for one in entries() if one.mend not in documented] == []
