"""The box on the New job page that reads a command line of another tool."""

from __future__ import annotations

from urllib.parse import quote

from jobs.depot.models import Artifact
from tests.console.pages import Page
from tests.jobs.pages.test_new_job_page import site

__all__ = ["site"]


def pasted(site, line: str, **more: str) -> Page:
    query = "".join(f"&{name}={quote(value)}" for name, value in more.items())
    return Page(site.get(f"/jobs/new/?kind=convert&line={quote(line)}{query}"))


def test_a_right_line_fills_the_form_in_with_the_model_of_that_name_and_plans_nothing_yet(site):
    model = Artifact.objects.create(type="model", name="m.onnx", sha256="a" * 64, size=5, meta={"format": "onnx"})
    page = pasted(
        site, 'atc --model=/x/m.onnx --framework=5 --output=net --input_shape="x:1,3" --buffer=1', machine="host-1"
    )
    assert page.status == 200 and "The form is filled in" in page.text
    assert 'name="params.name" value="net"' in page.source and 'name="params.input_shape" value="x:1,3"' in page.source
    assert '<option value="om" selected>' in page.source and f'<option value="{model.pk}" selected>' in page.source
    assert "Not in the form: --buffer." in page.text and 'name="machine" value="host-1" checked' in page.source
    assert 'name="plan_hash"' not in page.source and not page.source.count("form-error")


def test_a_wrong_line_is_told_why_with_the_right_one_and_is_never_markup(site):
    page = pasted(site, 'atc --model="<b>x</b>.mindir" --framework=1 --output=x')
    assert "atc reads no MindIR" in page.text and "--framework=5" in page.text and "<b>x" not in page.source
    profile = pasted(site, "ms_profiler --model=x")
    assert "msprof --output=DIR" in profile.text and "/jobs/new/?kind=profile" in profile.source
    assert "no command line that is known here" in pasted(site, "ls -l").text


def test_other_kinds_have_no_such_box(site):
    assert 'name="line"' in Page(site.get("/jobs/new/?kind=convert")).source
    assert 'name="line"' not in Page(site.get("/jobs/new/?kind=quantize&line=atc")).source
