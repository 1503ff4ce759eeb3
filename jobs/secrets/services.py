"""A secret from the request to the run: out of the plan, kept encrypted until the job ends, then gone.

The plan holds a placeholder in its place, so that its hash does not depend on the value; a command reads the value from
the file ``$CONSOLE_SECRETS/NAME`` in its run folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rest_framework.fields import empty

from hardware.statements import Prepared
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import Kind
from jobs.models import Job
from jobs.secrets.mask import SHORTEST, Mask
from jobs.secrets.models import JobSecret

_SECRETS = Prepared(JobSecret, lambda secrets, job_id: secrets.filter(job=job_id), int)


class HasSecrets(Protocol):
    """A kind, or a pipeline's definition."""

    @property
    def secrets(self) -> frozenset[str]: ...


KEPT_FOR = "It is kept only until the job it was given for has ended."


def placeholder(name: str) -> str:
    """What a kind's ``plan`` is given in the place of a secret."""
    return f"<secret {name}>"


def set_apart(kind: Kind, clean: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Checked parameters -> the same with placeholders for secrets, and the secrets' values.

    Raises ``PlanRefused`` for one that could not be kept out of a log, or is no text.
    """
    values = {name: clean[name] for name in sorted(kind.secrets) if clean.get(name) not in (None, "")}
    for name, value in values.items():
        if not isinstance(value, str) or "\0" in value:
            raise PlanRefused("secret-no-text", f"{name}: a secret is text without NUL.", f"Correct {name}.", name)
        if len(value.strip().encode(errors="surrogatepass")) < SHORTEST:
            raise PlanRefused(
                "secret-too-short",
                f"{name}: a secret of fewer than {SHORTEST} characters can't be kept out of a log.",
                f"Give a longer {name}.",
                name,
            )
    return {**clean, **{name: placeholder(name) for name in values}}, values


def check_given(kind: Kind, params: Mapping[str, Any]) -> None:
    """Raise ``PlanRefused`` that names the first required secret which was not given."""
    # Most kinds have none, and making a serializer is dear.
    fields = kind.Params().fields if kind.secrets else {}
    for name, field in fields.items():
        if name in kind.secrets and field.required and params.get(name) in (None, ""):
            raise needed(name)


def needed(name: str) -> PlanRefused:
    return PlanRefused("secret-needed", f"{name} is a secret and was not given. {KEPT_FOR}", f"Give {name}.", name)


def check_read(plan: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Raise ``PlanRefused`` for a secret that a command of the plan reads and nobody gave."""
    for name in names_in(plan):
        if name not in values:
            raise needed(name)


def check_given_again(plan: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """For a job that is run again: raise ``PlanRefused`` for a secret that its commands read and nobody gave anew."""
    for name in names_in(plan):
        if params.get(name) in (None, ""):
            raise needed(name)


def names_in(plan: Mapping[str, Any]) -> list[str]:
    """The secrets that the commands of a stored plan read."""
    lanes = (lane for stage in plan["stages"] for lane in stage["lanes"])
    steps = (step for lane in lanes for step in (*lane["steps"], *lane["on_failure"]))
    return sorted({name for step in steps for name in step["action"].get("secrets", ())})


def without_values(kind: HasSecrets, params: Mapping[str, Any], text: str) -> str:
    """A message about parameters that may quote one of them."""
    return Mask(str(params[name]) for name in kind.secrets if params.get(name)).text(text)


@contextmanager
def unquoted(kind: HasSecrets, params: Mapping[str, Any]) -> Iterator[None]:
    """A fault of a kind's own whose words quote a secret is raised without it: its trace goes to the process's log."""
    try:
        yield
    except Exception as wrong:
        said = f"{type(wrong).__name__}: {wrong}"
        if (masked := without_values(kind, params, said)) != said:
            raise RuntimeError(masked) from None
        raise


def keep(job: Job, values: Mapping[str, str]) -> None:
    """Store the secrets of a new job. Call in the transaction that stores it."""
    JobSecret.objects.bulk_create([JobSecret(job=job, name=name, value=value) for name, value in values.items()])


def of(job_id: int) -> dict[str, str]:
    """Name -> value of the secrets of a job that has not ended."""
    return {secret.name: secret.value for secret in JobSecret.objects.filter(job=job_id)}


def masked(job_id: int, text: str) -> str:
    """A text, such as a traceback, without the secrets of a job that has not ended."""
    return Mask(of(job_id).values()).text(text)


def stored_params(job: Job, kind: Kind) -> dict[str, Any]:
    """The parameters of a job that has not ended, as its plan was made from them: with placeholders for secrets."""
    kept = set(JobSecret.objects.filter(job=job).values_list("name", flat=True))
    params = dict(job.params)
    for name, field in kind.Params().fields.items():
        if name in kept:
            params[name] = placeholder(name)
        elif name in kind.secrets and field.default is not empty:
            params[name] = field.get_default()
    return params


def forget(job_id: int) -> None:
    """Delete them. Call in the transaction that ends the job."""
    _SECRETS.delete(job_id)


def pick(values: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Those that a command reads. Raises ``JobFailed`` when one is not there."""
    missing = [name for name in names if name not in values]
    if missing:
        raise JobFailed("secret-gone", f"The secret {missing[0]} of this job is no longer kept.", "Run the job again.")
    return {name: values[name] for name in names}
