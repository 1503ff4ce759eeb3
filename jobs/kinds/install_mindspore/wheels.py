"""Which wheels of the depot a MindSpore wheel needs, for one interpreter on one architecture.

Resolved when the job is planned, so that the plan names every file and a missing one is known before a byte is copied.
Greedy: of each package the newest wheel that every requirement so far allows. pip, which checks the whole set again on
the machine, has the last word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from jobs.failures import PlanRefused
from jobs.kind import ArtifactRef, DepotView

# Each pass chooses anew under what the one before found out; more than a few mean that requirements contradict.
PASSES = 12


def python_of(wheel: ArtifactRef) -> str:
    """The minor version that the wheel is for: ``3.9`` of ``cp39-cp39-linux_aarch64``."""
    interpreter = str(wheel.meta["tags"][0]).split("-")[0]
    return f"3.{interpreter.removeprefix('cp3')}"


def closure(
    root: ArtifactRef, extras: Sequence[str], python: str, architecture: str, depot: DepotView
) -> list[ArtifactRef]:
    """Everything to install beside ``root``, by name. Raises ``PlanRefused`` for what the depot lacks."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": architecture,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    chosen: dict[str, ArtifactRef] = {}
    for _ in range(PASSES):
        wanted: dict[str, list[tuple[Requirement, str]]] = defaultdict(list)
        for text in extras:
            wanted[canonicalize_name(_requirement(text).name)].append((_requirement(text), "the further packages"))
        for wheel in (root, *chosen.values()):
            for need in _needs(wheel, environment):
                wanted[canonicalize_name(need.name)].append((need, f"{wheel.meta['package']} {wheel.version}"))
        found = {name: _newest(name, needs, python, architecture, depot) for name, needs in sorted(wanted.items())}
        if found == chosen:
            return list(found.values())
        chosen = found
    raise PlanRefused(
        "wheels-contradict",
        f"The wheels of the depot ask for versions of each other that do not go together with {root.name}.",
        "Ingest the set that pip download fetches for it in one go.",
        "mindspore",
    )


def _needs(wheel: ArtifactRef, environment: dict[str, str]) -> Iterator[Requirement]:
    for text in wheel.meta.get("requires", ()):
        need = _requirement(str(text))
        if need.marker is None or need.marker.evaluate(environment):
            yield need


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement:
        raise PlanRefused(
            "requirement-invalid",
            f"{text!r} names no Python package.",
            "Write it as pip does: sympy, or sympy>=1.5.",
            "extras",
        ) from None


def _newest(
    name: str, needs: Sequence[tuple[Requirement, str]], python: str, architecture: str, depot: DepotView
) -> ArtifactRef:
    fitting = [
        (version, wheel)
        for wheel in depot.find("wheel", package=name)
        if (version := _version(wheel)) is not None
        and _fits(wheel, python, architecture)
        and all(need.specifier.contains(version, prereleases=True) for need, _ in needs)
    ]
    if fitting:
        return max(fitting, key=lambda pair: (pair[0], pair[1].id))[1]
    wanted = " and ".join(dict.fromkeys(f"{need.specifier or 'any version'} for {by}" for need, by in needs))
    raise PlanRefused(
        "wheel-missing",
        f"The depot has no wheel of {name} ({wanted}) that fits Python {python} on {architecture}.",
        f"Fetch it on a connected computer with pip download --only-binary=:all: --python-version {python} "
        f"--platform manylinux2014_{architecture} {name}, and ingest the wheel.",
        "extras" if any(by == "the further packages" for _, by in needs) else "mindspore",
    )


def _version(wheel: ArtifactRef) -> Version | None:
    try:
        return Version(wheel.version)
    except InvalidVersion:
        return None


def _fits(wheel: ArtifactRef, python: str, architecture: str) -> bool:
    try:
        if not SpecifierSet(str(wheel.meta.get("requires_python") or "")).contains(f"{python}.0"):
            return False
    except InvalidSpecifier:
        pass
    return any(_tag_fits(str(tag), python, architecture) for tag in wheel.meta.get("tags", ()))


def _tag_fits(tag: str, python: str, architecture: str) -> bool:
    interpreter, abi, platform = tag.split("-")
    minor = int(python.split(".")[1])
    if platform != "any" and not (platform.endswith(f"_{architecture}") and "linux" in platform):
        return False
    if interpreter in ("py3", f"py3{minor}", f"cp3{minor}"):
        return abi in ("none", "abi3", f"cp3{minor}")
    older = interpreter.removeprefix("cp3")
    return abi == "abi3" and interpreter.startswith("cp3") and older.isdigit() and int(older) <= minor
