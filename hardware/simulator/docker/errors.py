"""What docker refuses: a text for stderr and an exit status."""

from __future__ import annotations


class Refused(Exception):
    """`str()` is docker's own text, over one or more lines; `status` is its exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def run_refused(reason: str, status: int = 125) -> Refused:
    """A refusal of `docker run`; 125 is for what docker itself could not do."""
    return Refused(f"docker: Error response from daemon: {reason}\nSee 'docker run --help'.", status)


def no_container(name: str, *, daemon: bool = True) -> Refused:
    return Refused(f"Error{' response from daemon' if daemon else ''}: No such container: {name}")
