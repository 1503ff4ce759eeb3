"""profile.json: what the files beside a model say about how it is asked and what its answers mean.

::

    {"schema": 1, "task": "classify", "name": "bank", "labels": ["card_arrival", ...], "max_length": 64,
     "inputs": ["input_ids", "attention_mask", "token_type_ids"], "tokenizer": {... tokenizer.json ...}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelRefused

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "profile.json"
# What a tokenizer can tell a model about one text.
KNOWN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LONGEST = 8192
_MAKE_AGAIN = "Make the profile again with the conversion job."


@dataclass(frozen=True)
class Profile:
    """A checked profile. `max_length` in tokens, special tokens included; `inputs` in the model's order."""

    name: str
    labels: tuple[str, ...]
    max_length: int
    inputs: tuple[str, ...]
    tokenizer: str

    @classmethod
    def read(cls, folder: Path) -> Profile:
        """Reads and checks `folder/profile.json`. Raises ModelRefused that names the field."""
        if not folder.is_dir():
            raise ModelRefused("folder-missing", f"There is no model folder {folder}.", "Check the path.")
        return cls.read_file(folder / FILE)

    @classmethod
    def read_file(cls, path: Path) -> Profile:
        """Reads and checks a profile under whatever name. Raises ModelRefused that names the field."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ModelRefused(
                "profile-missing", f"There is no {path.name} in {path.parent}.", "Put the profile beside the model."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise _invalid(f"cannot be read ({type(error).__name__})") from error
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise _invalid(f"is no JSON (line {error.lineno}, column {error.colno})") from error
        if not isinstance(fields, dict):
            raise _invalid("is no JSON object")
        return cls._checked(fields)

    @classmethod
    def _checked(cls, fields: dict[str, Any]) -> Profile:
        if fields.get("schema") != 1:
            raise ModelRefused(
                "profile-invalid",
                f"{FILE} has schema {fields.get('schema')!r}; this server reads schema 1.",
                "Build the image with a matching console.",
            )
        if fields.get("task") != "classify":
            raise _invalid(f"names the task {fields.get('task')!r}; this server does 'classify'")
        name = fields.get("name")
        if not isinstance(name, str) or not name.strip():
            raise _invalid("has no name")
        labels = _texts(fields, "labels")
        if len(labels) < 2:
            raise _invalid("names fewer than two labels")
        if len(set(labels)) != len(labels):
            raise _invalid("names a label twice")
        length = fields.get("max_length")
        if not isinstance(length, int) or isinstance(length, bool) or not 2 <= length <= LONGEST:
            raise _invalid(f"has max_length {length!r}; it is a whole number from 2 to {LONGEST}")
        inputs = _texts(fields, "inputs")
        unknown = [item for item in inputs if item not in KNOWN_INPUTS]
        if unknown or "input_ids" not in inputs or len(set(inputs)) != len(inputs):
            raise _invalid(f"names the inputs {', '.join(inputs) or 'none'}; known are {', '.join(KNOWN_INPUTS)}")
        tokenizer = fields.get("tokenizer")
        if not isinstance(tokenizer, dict):
            raise ModelRefused(
                "tokenizer-invalid",
                f"The tokenizer in {FILE} is no JSON object.",
                "Put the content of the model's tokenizer.json there.",
            )
        return cls(name, labels, length, inputs, json.dumps(tokenizer))

    def load_tokenizer(self) -> Tokenizer:
        """The tokenizer, cutting at `max_length`; padding is the classifier's business. Raises ModelRefused."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(self.tokenizer)
        except Exception as error:  # the library raises bare Exception
            reason = " ".join(str(error).split())[:200]
            raise ModelRefused(
                "tokenizer-invalid",
                f"The tokenizer in {FILE} is none that can be read: {reason}.",
                "Put the content of the model's tokenizer.json there.",
            ) from error
        tokenizer.enable_truncation(self.max_length)
        tokenizer.no_padding()
        return tokenizer


def _invalid(what: str) -> ModelRefused:
    return ModelRefused("profile-invalid", f"{FILE} {what}.", _MAKE_AGAIN)


def _texts(fields: dict[str, Any], key: str) -> tuple[str, ...]:
    values = fields.get(key)
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise _invalid(f"needs a list of texts under '{key}'")
    return tuple(values)
