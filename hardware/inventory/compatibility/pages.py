"""The page of what goes together, and one entry of the site as a form."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from hardware.inventory.compatibility import services, wording
from hardware.inventory.compatibility.asking import Line, ask, lines
from hardware.inventory.compatibility.models import Entry
from hardware.inventory.compatibility.services import EntryRefused
from hardware.inventory.preflight import Part
from hardware.inventory.preflight.compatibility import CHIPS, NAMES

# Retired entries that are shown, newest first; the REST API has all.
MOST_RETIRED = 100


@require_GET
def compatibility(request: HttpRequest) -> HttpResponse:
    """Every row with its source and who wrote it. ``part`` and ``q`` filter; ``first`` and ``second`` ask of a pair."""
    asked = {
        name: request.GET.get(name, "").strip()
        for name in ("part", "q", "origin", "first", "first_version", "second", "second_version")
    }
    listed = lines()
    shown = [line for line in listed if _lets(line, asked)]
    retired = Entry.objects.exclude(retired_at=None)[:MOST_RETIRED]
    context = {
        "asked": asked,
        "names": [(name, wording.part(name)) for name in NAMES],
        "rows": [_row(line) for line in shown],
        "total": len(listed),
        "retired": [{"entry": entry, "parts": wording.parts(entry.parts), "says": wording.says(entry.row)}
                    for entry in retired],
        **_answer(asked),
    }  # fmt: skip
    return render(request, "compatibility/compatibility.html", context)


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """An empty form; by POST the entry is added."""
    typed, errors = _typed(request.GET), {}
    if request.method == "POST":
        typed = _typed(request.POST)
        try:
            services.add(_fields(typed), actor=request.user.get_username())
        except EntryRefused as refused:
            errors = refused.errors
        else:
            messages.success(request, _("The entry was added; it is asked before the rows of files."))
            return redirect("compatibility")
    return _form(request, None, typed, errors)


@require_http_methods(["GET", "POST"])
def entry(request: HttpRequest, pk: int) -> HttpResponse:
    """One entry. A POST replaces it, or with ``do`` retires or restores it."""
    found = get_object_or_404(Entry, pk=pk)
    typed, errors = _typed_of(found), {}
    if request.method == "POST":
        actor, do = request.user.get_username(), request.POST.get("do", "save")
        try:
            if do == "retire":
                services.retire(found, actor=actor)
                messages.success(request, _("The entry is retired; it is asked no longer."))
            elif do == "restore":
                services.restore(found, actor=actor)
                messages.success(request, _("The entry is asked again."))
            else:
                typed = _typed(request.POST)
                services.replace(found, _fields(typed), actor=actor)
                messages.success(request, _("The entry was replaced."))
        except EntryRefused as refused:
            errors = refused.errors
        else:
            return HttpResponseRedirect(request.path)
    return _form(request, found, typed, errors)


def _form(
    request: HttpRequest, found: Entry | None, typed: dict[str, Any], errors: dict[str, list[str]]
) -> HttpResponse:
    inputs = [
        {"name": name, "words": wording.part(name), "value": typed["parts"].get(name, ""), "errors": errors.get(name)}
        for name in NAMES
    ]
    context = {
        "entry": found,
        "inputs": inputs,
        "typed": typed,
        "errors": errors,
        "others": [line for name, said in errors.items() if name not in (*NAMES, "source", "only") for line in said],
        "names": [(name, wording.part(name)) for name in NAMES],
        "chips": ", ".join(CHIPS),
        "parts": wording.parts(found.parts) if found else [],
    }
    return render(request, "compatibility/entry.html", context, status=422 if errors else 200)


def _typed(data: QueryDict) -> dict[str, Any]:
    return {
        "parts": {name: value for name in NAMES if (value := data.get(name, "").strip())},
        "fits": data.get("fits", "yes") != "no",
        "only_first": data.get("only_first", ""),
        "only_second": data.get("only_second", ""),
        "source": data.get("source", "").strip(),
    }


def _typed_of(entry: Entry) -> dict[str, Any]:
    first, second = entry.only or ("", "")
    return {
        "parts": {name: ", ".join(versions) for name, versions in entry.parts.items()},
        "fits": entry.fits,
        "only_first": first,
        "only_second": second,
        "source": entry.source,
    }


def _fields(typed: dict[str, Any]) -> dict[str, Any]:
    only = [typed["only_first"], typed["only_second"]]
    return {
        "parts": {
            name: [one.strip() for one in text.replace("，", ",").split(",") if one.strip()]
            for name, text in typed["parts"].items()
        },
        "fits": typed["fits"],
        "only": only if any(only) else [],
        "source": typed["source"],
    }


def _lets(line: Line, asked: dict[str, str]) -> bool:
    if asked["part"] and asked["part"] not in line.row.parts:
        return False
    if asked["origin"] and asked["origin"] != line.origin:
        return False
    said = [line.row.source, *(f"{name} {one}" for name, versions in line.row.parts.items() for one in versions)]
    said += [line.entry.created_by] if line.entry else []
    return asked["q"].lower() in "\n".join(said).lower()


def _row(line: Line) -> dict[str, Any]:
    row = line.row
    return {"line": line, "parts": wording.parts(row.parts), "says": wording.says(row), "only": wording.only(row)}


def _answer(asked: dict[str, str]) -> dict[str, Any]:
    pair = [(asked[name], asked[f"{name}_version"]) for name in ("first", "second")]
    if not all(part in NAMES and version for part, version in pair):
        return {"half": any(version for _part, version in pair)}
    if pair[0][0] == pair[1][0]:
        return {"half": True}
    found = ask(*(Part(part, version) for part, version in pair))
    return {"answer": found, "reason": wording.verdict(found.verdict), "said_by": found.line}
