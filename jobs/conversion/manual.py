"""Command lines of conversion, as somebody enters them: what they mean here, and what is wrong with the manuals' own.

``python -m jobs.conversion.manual 'atc --model=x.mindir --framework=1 ...'`` says it at a terminal.
"""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from jobs.conversion.commandline import Parser, carry_out
from jobs.conversion.errors import ConversionRefused

LONGEST = 8000
COARSE = ("Ascend910", "Ascend950")
# Options of atc that the form of a conversion has under the same name.
SAME = (
    "input_shape", "soc_version", "dynamic_batch_size", "dynamic_image_size", "dynamic_dims", "precision_mode",
    "output_type",
)  # fmt: skip
# What the job sets by itself.
BY_ITSELF = {"model", "framework", "output", "input_format", "log", "mode", "weight"}


@dataclass(frozen=True)
class Recognised:
    """``reasons``: what is wrong with the line, in English, none if it is right; ``lines``: what to run in its place.

    ``kind`` of job does it here, ``params`` fill in its form, ``model`` is the file that the line names, and ``left``
    are options of the line that the form does not have.
    """

    tool: str
    reasons: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    kind: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    left: list[str] = field(default_factory=list)


def recognise(text: str) -> Recognised | None:
    """What a command line asks for, or None when it is none that is known here."""
    text = re.sub(r"\\\r?\n", " ", text[:LONGEST]).strip()
    for line in _data()["line"]:
        if re.search(line["pattern"], text, re.MULTILINE | re.DOTALL):
            return _from_manual(line, text)
    match = re.search(r"(?:^|[\s;&|/])(atc|converter_lite)(?=\s)(.*)", text, re.DOTALL)
    if match is None:
        return None
    options = _options(match[2])
    return _atc(options) if match[1] == "atc" else _converter(options)


def reason(name: str) -> str:
    """A reason of manual.toml."""
    return str(_data()["reason"][name]["why"])


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("manual.toml").read_text(encoding="utf-8"))


def _from_manual(line: dict[str, Any], text: str) -> Recognised:
    named = re.search(r"[\w./-]+\.(?:onnx|pb|mindir)\b", text)
    model = named[0] if named else "model.onnx"
    lines = [one.replace("{model}", model).replace("{stem}", PurePosixPath(model).stem) for one in line["lines"]]
    params = {"to": line["to"], "name": _name(model)} if "to" in line else {}
    return Recognised("", [reason(line["reason"])], lines, line.get("kind", ""), params, PurePosixPath(model).name)


def _options(text: str) -> dict[str, str]:
    """``--name=value`` and ``--name value``, up to where another command begins."""
    words = shlex.shlex(text, posix=True, punctuation_chars="&|<>")
    words.whitespace_split = True
    words.commenters = ""
    options: dict[str, str] = {}
    last = ""
    try:
        for word in words:
            if not word.strip("&|<>"):
                break
            if word.startswith("--"):
                last, _equals, value = word[2:].partition("=")
                options[last] = value
            elif last and not options[last]:
                options[last] = word
    except ValueError:
        # A quote that is not closed: what stands before it is there.
        return options
    return options


def _atc(options: dict[str, str]) -> Recognised:
    model = options.get("model", "model.onnx")
    suffix = PurePosixPath(model).suffix
    framework = options.get("framework", "")
    right = {"model": model, **options}
    wrong: list[str] = []
    if options.get("mode", "0") != "0":
        wrong.append("mode")
        del right["mode"]
    if suffix == ".mindir":
        wrong.append("atc-reads-no-mindir")
        right |= {"model": str(PurePosixPath(model).with_suffix(".onnx")), "framework": "5"}
    elif framework == "1" and suffix != ".air":
        wrong.append("framework-1-is-air")
        right["framework"] = "5"
    elif framework not in ("", "1", "5"):
        wrong.append("framework-foreign")
        right |= {"model": str(PurePosixPath(model).with_suffix(".onnx")), "framework": "5"}
    elif not framework:
        wrong.append("framework-missing")
        right["framework"] = "1" if suffix == ".air" else "5"
    if right.get("framework") == "1" and right.pop("input_shape", ""):
        wrong.append("air-has-its-shape")
    output = options.get("output", "")
    if output.endswith(".om"):
        wrong.append("output-without-suffix")
        right["output"] = output.removesuffix(".om")
    params: dict[str, Any] = {name: right[name] for name in SAME if right.get(name)}
    if options.get("soc_version") in COARSE:
        wrong.append("soc-too-coarse")
        right["soc_version"] = f"{options['soc_version']}A" if options["soc_version"] == "Ascend910" else "AscendNAME"
        # The chip of the machine that converts is taken.
        del params["soc_version"]
    right.setdefault("output", _name(model))
    params |= {"to": "om", "name": _name(right["output"] or model)}
    return Recognised(
        "atc",
        [reason(name) for name in wrong],
        [_line("atc", right)] if wrong else [],
        "convert",
        params,
        PurePosixPath(right["model"]).name,
        [f"--{name}" for name in options if name not in SAME and name not in BY_ITSELF],
    )


def _converter(options: dict[str, str]) -> Recognised:
    model = options.get("modelFile", "model.onnx")
    right = {**options, "modelFile": model}
    wrong: list[str] = []
    if options.get("fmk", "") != "ONNX":
        wrong.append("fmk-foreign")
        right["fmk"] = "ONNX"
    if options.get("saveType", "") != "MINDIR":
        wrong.append("save-type-is-ms")
        right["saveType"] = "MINDIR"
    if right.pop("device", ""):
        wrong.append("device-is-old")
    if not options.get("optimize", "").startswith("ascend_oriented"):
        wrong.append("optimize-is-for-npu")
        right["optimize"] = "ascend_oriented"
    right.setdefault("outputFile", _name(model))
    shape = options.get("inputShape", "")
    params = {"to": "mindir", "name": _name(right["outputFile"] or model), **({"input_shape": shape} if shape else {})}
    known = {"fmk", "saveType", "optimize", "modelFile", "outputFile", "inputShape", "device"}
    return Recognised(
        "converter_lite",
        [reason(name) for name in wrong],
        [_line("converter_lite", right)] if wrong else [],
        "convert",
        params,
        PurePosixPath(model).name,
        [f"--{name}" for name in options if name not in known],
    )


def _line(tool: str, options: dict[str, str]) -> str:
    def quoted(value: str) -> str:
        return f'"{value}"' if re.search(r"[;\s]", value) else value

    return " ".join([tool, *(f"--{name}={quoted(value)}" for name, value in options.items())])


def _name(path: str) -> str:
    """A name that a result may have, from the file that a line names."""
    base = PurePosixPath(path).name
    for suffix in (".onnx", ".mindir", ".air", ".pb", ".om", ".ms"):
        base = base.removesuffix(suffix)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", base).lstrip("._-")[:61] or "model"


def main() -> int:
    parser = Parser(prog="python -m jobs.conversion.manual", description="What a command line of conversion means.")
    parser.add_argument("line", help="the whole command line, in quotes")
    parser.add_argument("--json", action="store_true", help="stdout is the answer as JSON")
    given = parser.parse_args()

    def work() -> dict[str, Any]:
        found = recognise(given.line)
        if found is None:
            raise ConversionRefused(
                "line-unknown",
                "This is no command line that is known here.",
                "Give one of atc or converter_lite, with its options.",
            )
        return asdict(found)

    return carry_out(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
