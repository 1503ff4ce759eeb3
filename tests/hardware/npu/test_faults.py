"""Fault codes in words, and unknown ones said to be unknown."""

from __future__ import annotations

import pytest

from hardware.npu.faults import _data, explain


def test_a_known_code_says_what_it_means_and_what_to_do_in_both_languages_with_its_sources():
    fault = explain("0x80e01801")
    assert fault.code == "0x80E01801" and fault.known
    assert "ECC" in fault.means["en"] and "ECC" in fault.means["zh"]
    assert fault.do["en"] and fault.do["zh"]
    assert any("faultCode.json" in source for source in fault.sources)


def test_a_code_of_which_only_the_care_is_known_says_that_alone():
    fault = explain("80E78008")
    assert not fault.means and "reset the NPU" in fault.do["en"] and fault.known


@pytest.mark.parametrize("code", ["0x12345678", "12345678", "NA", "", "80E0180", "80E018012"])
def test_any_other_code_is_unknown(code):
    assert not explain(code).known


def test_every_text_is_there_in_both_languages_and_every_source_is_named():
    data = _data()
    for said in [*data["codes"].values(), *data["care"].values()]:
        assert set(said["sources"]) <= set(data["sources"])
        for name in ("means", "do"):
            if name in said:
                assert set(said[name]) == {"en", "zh"} and all(said[name].values())
