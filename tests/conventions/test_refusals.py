"""Whatever a refusal or a failure says is told in the reader's language: a new sentence needs its template.

A refusal is a record in English (``jobs.pages.causes`` says why, and has the templates). Read here are the sentences at
the calls that make one: of the classes below, and of the functions that return one of them.
"""

from __future__ import annotations

import ast
import gc
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import override

from console.notifications import wording as notifications
from hardware.inventory.lists import wording as lists
from hardware.ssh import errors
from jobs.pages.causes import cause, mend
from tests.conventions.test_project import ROOT

# Those that derive from them count, too.
REFUSALS = {"JobFailed", "ConversionRefused", "ImageRefused", "NotPng"}
REFUSALS |= {name for name, made in vars(errors).items() if isinstance(made, type) and issubclass(made, Exception)}
# What is wrong with a list of machines, a line of it, or one of its machines.
REFUSALS |= {"ListRefused", "Problem", "Outcome"}
REFUSALS |= {"ModelRefused", "NotDelivered"}
REFUSALS |= {"BmcUnreachable", "BmcRefused", "BmcLoginRefused", "CertificateNotPinned"}
# Nobody reads them on the console's pages: simulated machines, the service in its container, command lines, the demo.
ELSEWHERE = re.compile(
    r"hardware/simulator/|jobs/serving/(?!profile)|jobs/management/|console/demo/|console/management/"
)
MAKES_ONE = re.compile(rf"\b(raise|mend|gettext_noop|{'|'.join(REFUSALS)})\b|MEND")
# What some functions put around what they are given.
AROUND = ("{}", "n1: {}", "a.png {}.", "profile.json {}.")
# Preflight's rules mark their own sentences; a job that one blocks is refused with them. Two modules have none.
PREFLIGHT = re.compile(r"hardware/inventory/preflight/(?!codes\.py|compatibility/rows\.py)")
# Put together of words: in place of the sentence stand those that come about.
TOGETHER = {
    "7 has no 7.": ("n1 has no driver.", "n1 has no driver and no firmware."),
    "7 takes 7.": (
        "Verify takes no machine.",
        "Verify takes one machine at most.",
        "Verify takes exactly one machine.",
    ),
    "7 is no 7.": ("x is no minute.", "x is no day of the month.", "x is no day of the week."),
    "7 did not approve it7": ("ada did not approve it.", "ada did not approve it: not today"),
    "7: 7 of 7 device nodes /dev/davinciN are there7.": (
        "n1: 7 of 8 device nodes /dev/davinciN are there.",
        "n1: 7 of 8 device nodes /dev/davinciN are there, /dev/davinci_manager is not.",
    ),
    "7: the depot has no 7 for it.": (
        "n1: the depot has no driver 1.0 for it.",
        "n1: the depot has no firmware that goes with driver 1.0 for it.",
    ),
    "firmware that goes with driver 7": (),
    "On 7: 7": ("On b: Log in as root, or with sudo.",),
    "one of another type": ("n1: the host key changed from SHA256:7 to one of another type; nothing was sent.",),
    "7 is no YAML: 7.": ("Line 3 is no YAML: it can not be read.", "The list is no YAML: it can not be read."),
    "77 must be a mapping.": tuple(
        f"The {what} must be a mapping." for what in ("group a", "hosts of a", "host n1", "vars of a", "children of a")
    ),
    "7 in 7 7.": (
        "model.safetensors.index.json in m is no JSON.",
        "model.safetensors.index.json in m has no weight_map of weights and the files that they are in.",
        "model.safetensors.index.json in m names '../x', which is no file beside it.",
    ),
    "has no weight_map of weights and the files that they are in": (),
    "names 7, which is no file beside it": (),
    "7 is no JSON object.": ("config.json in m is no JSON object.",),
    "7: 7: 7.": ("config.json in m: head_dim: 3 units cannot be turned in pairs.",),
    "7 asks for 7, which this converter does not build.": (
        "config.json in m asks for layers with bias, which this converter does not build.",
    ),
    "7 is TorchScript, which tells no shapes: forward(7). Told were those of 7.": (
        "net.pt is TorchScript, which tells no shapes: forward(x: Tensor, m: Tensor = ...). Told were those of x, y.",
    ),
    "storage 7 of 7 bytes 7": ("storage '7' of 8 bytes is not there", "storage '7' of 8 bytes has 4 bytes"),
    "The tar": ("The tar is in the format that PyTorch wrote before 1.6, whose pickles are not read here.",),
    "There is no 7 7.": ("There is no scheme 'int5'.", "There is no method 'x'."),
    "config.json: 7 7.": ("config.json: hidden_size is missing.", "config.json: hidden_size is 'x'."),
    "Give five: 7; such as 30 2 * * 1-5.": (
        "Give five: minute, hour, day of the month, month, day of the week; such as 30 2 * * 1-5.",
    ),
    "7 is a secret and was not given. 7": (
        "token is a secret and was not given. It is kept only until the job it was given for has ended.",
    ),
}

KINDS = (ast.Call, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Dict)
Node = tuple[ast.AST, "ast.FunctionDef | ast.AsyncFunctionDef | None"]


def test_every_refusal_is_told_in_the_readers_language():
    said = dict(_sentences())
    assert len(said) > 850
    assert not set(TOGETHER) - set(said), "not said any more"
    missing = []
    for text, place in said.items():
        for whole in TOGETHER.get(text, (text,)):
            if not _told(whole):
                missing.append(f"{place}: {whole}")
    assert not missing, "Give it a template in jobs/pages/causes, and that a translation:\n" + "\n".join(missing)


def _told(text: str) -> bool:
    """Whether it has a template."""
    with override("zh-hans"):
        for around in AROUND:
            said = around.format(text)
            if any(say(said) != said for say in (cause, mend, lists.said, notifications.said)):
                return True
    return False


def _sentences() -> Iterator[tuple[str, str]]:
    """Each sentence that a refusal is made with, a 7 where a value comes, and where."""
    modules = dict(_modules())
    classes, makers = _refusals([node for nodes in modules.values() for node, _ in nodes])
    for path, nodes in modules.items():
        telling = classes | makers | ({"gettext_noop"} if PREFLIGHT.match(path) else set())
        for node, function in nodes:
            texts = _written(node)
            if isinstance(node, ast.Call) and _name(node.func) in telling and function is not None:
                names = _assigned(top for top, within in nodes if within is None) | _assigned(ast.walk(function))
                given = (*node.args, *(keyword.value for keyword in node.keywords))
                texts += [text for argument in given for text in _texts(argument, names)]
            # Codes and fields are arguments as well: those have no space in them.
            yield from ((text, f"{path}:{node.lineno}") for text in texts if " " in text.strip(" 7"))


def _written(node: ast.AST) -> list[str]:
    """Of a table of mends, a class's mend, or a failure that is written as a dict: what it says."""
    if isinstance(node, ast.ClassDef):
        return [text for value in _assigned(node.body).get("mend", []) for text in _texts(value, {})]
    if isinstance(node, ast.Assign) and any("MEND" in _name(target) for target in node.targets):
        literals = [text for part in ast.walk(node.value) for text in _texts(part, {})]
        return [re.sub(r"\{\d\}", "7", text) for text in literals if text.endswith(".")]
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else "" for key in node.keys]
        return [
            text
            for key, value in zip(keys, node.values, strict=True)
            if key in ("cause", "mend") and "code" in keys
            for text in _texts(value, {})
        ]
    return []


def _modules() -> Iterator[tuple[str, list[Node]]]:
    # What is collected while a file is parsed may have a stack trace to log, and that parses, too: Python 3.11 refuses.
    gc.collect()
    for folder in ("console", "hardware", "jobs"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = str(Path(file).relative_to(ROOT))
            # Most files make no refusal; to parse them would be half the time.
            if not ELSEWHERE.match(path) and MAKES_ONE.search(text := file.read_text()):
                yield path, list(_nodes(ast.parse(text)))


def _nodes(tree: ast.Module) -> Iterator[Node]:
    """Each node, with the outermost function that it stands in."""
    left: list[Node] = [(tree, None)]
    while left:
        node, function = left.pop()
        if isinstance(node, KINDS):
            yield node, function
        if function is None and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node
        left += ((child, function) for child in ast.iter_child_nodes(node))


def _refusals(nodes: list[ast.AST]) -> tuple[set[str], set[str]]:
    """The names of the classes, and of the functions that return one."""
    defined = [node for node in nodes if isinstance(node, ast.ClassDef)]
    classes = set(REFUSALS)
    for _ in range(3):
        classes |= {node.name for node in defined if {_name(base) for base in node.bases} & classes}
    makers = {node.name for node in nodes if isinstance(node, ast.FunctionDef) and _name(node.returns) in classes}
    return classes, makers


def _assigned(nodes) -> dict[str, list[ast.expr]]:
    found = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                found[_name(target)].append(node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            found[_name(node.target)].append(node.value)
    return dict(found)


def _name(node: ast.AST | None) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


def _texts(node: ast.expr, names: dict[str, list[ast.expr]], deep: int = 0) -> list[str]:
    """What an argument can say: literals, both ways of a condition, and names that were given such."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)]
    if isinstance(node, ast.BinOp):
        return [a + b for a in _texts(node.left, names, deep) for b in _texts(node.right, names, deep)]
    if isinstance(node, ast.IfExp):
        return _texts(node.body, names, deep) + _texts(node.orelse, names, deep)
    if isinstance(node, ast.Name) and deep < 2:
        return [text for given in names.get(node.id, []) for text in _texts(given, names, deep + 1)]
    return []
