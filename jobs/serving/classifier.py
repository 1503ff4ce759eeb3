"""Texts to labels with confidences: tokenizer, engine, softmax."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .engine import Engine, Feeds, load_engine
from .errors import ModelRefused
from .profile import Profile

TOP = 3
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """One text's labels with their confidences (0 to 1), best first: at most `TOP`."""

    top: tuple[tuple[str, float], ...]


class Classifier:
    """A loaded model with its tokenizer. `prepare` is for any number of threads at once, `infer` for one."""

    def __init__(self, folder: Path, profile: Profile, device: int) -> None:
        """Loads, and proves it by one inference. Raises ModelRefused."""
        self.profile = profile
        self._tokenizer = profile.load_tokenizer()
        self._pad = self._padding_id()
        self.engine: Engine
        self.engine, file = load_engine(folder, profile.inputs, device)
        if self.engine.length is not None and self.engine.length < profile.max_length:
            # A model with a fixed length sees no token beyond it.
            self._tokenizer.enable_truncation(self.engine.length)
        self.sha256 = _sha256(file)
        self._check_width()

    def prepare(self, texts: list[str]) -> list[Any]:
        """The texts as the tokens that `infer` takes. The tokenizer lets go of Python's lock while it works."""
        return list(self._tokenizer.encode_batch(texts))

    def infer(self, rows: list[Any]) -> list[Answer]:
        """One answer a row, in order. Pads to the longest, or to the shape that the model is fixed to."""
        size = self.engine.batch or len(rows)
        logits = [self._infer(rows[start : start + size]) for start in range(0, len(rows), size)]
        return [self._answer(row) for row in softmax(np.concatenate(logits))]

    def _infer(self, rows: list[Any]) -> np.ndarray[Any, Any]:
        height = self.engine.batch or len(rows)
        width = self.engine.length or max(len(row.ids) for row in rows)
        # A row that only fills the batch attends to one padding token: no row of zeros, which some kernels turn to NaN.
        ids = np.full((height, width), self._pad, dtype=np.int64)
        mask = np.zeros((height, width), dtype=np.int64)
        mask[:, 0] = 1
        types = np.zeros((height, width), dtype=np.int64)
        for index, row in enumerate(rows):
            count = len(row.ids)
            ids[index, :count] = row.ids
            mask[index, :count] = row.attention_mask
            types[index, :count] = row.type_ids
        known: Feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        logits = self.engine.infer({name: known[name] for name in self.profile.inputs})
        return logits.reshape(height, -1)[: len(rows)]

    def _answer(self, row: np.ndarray[Any, Any]) -> Answer:
        best = np.argsort(-row, kind="stable")[:TOP]
        return Answer(tuple((self.profile.labels[index], float(row[index])) for index in best))

    def _padding_id(self) -> int:
        for token in ("[PAD]", "<pad>"):
            found = self._tokenizer.token_to_id(token)
            if found is not None:
                return int(found)
        return 0

    def _check_width(self) -> None:
        try:
            logits = self._infer(self._tokenizer.encode_batch(["warm-up"]))
        except ModelRefused:
            raise
        except Exception as error:
            raise ModelRefused(
                "model-invalid",
                f"The model fails at its first inference: {' '.join(str(error).split())[:200]}",
                "Convert the model again and check it before it is packaged.",
            ) from error
        if logits.shape[1] != len(self.profile.labels):
            raise ModelRefused(
                "model-mismatch",
                f"The model has {logits.shape[1]} outputs; profile.json names {len(self.profile.labels)} labels.",
                "Use the profile that was made with this model.",
            )


def softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Confidences [rows, labels] that sum to 1 a row."""
    shifted = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
