from __future__ import annotations

import json

from jobs.conversion.commandline import DEFECT, DONE, REFUSED, carry_out
from jobs.conversion.errors import ConversionRefused


def test_a_refusal_and_a_defect_are_each_one_line_and_a_report_is_the_last(capsys):
    def refused() -> dict:
        raise ConversionRefused("x", "What is\nwrong.", "The mend.")

    def broken() -> dict:
        return {"x": [][0]}

    assert carry_out(lambda: {"bytes": 1, "name": "é"}, as_json=True) == DONE
    assert json.loads(capsys.readouterr().out) == {"bytes": 1, "name": "é"}
    assert carry_out(refused, as_json=True) == REFUSED
    assert capsys.readouterr().err == "What is wrong. The mend.\n"
    assert carry_out(broken, as_json=True) == DEFECT
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "IndexError" in said and "Traceback" not in said
