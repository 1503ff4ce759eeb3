"""What stands upon an encoder: the head that its own checkpoint has, one that was trained apart, or none.

A model is what `architectures` in config.json names. Where that has a head which is not built here it is refused: the
encoder without it would answer something else.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from jobs.conversion.bert import FLOAT32, BertBuilder
from jobs.conversion.decoders.fields import Fields
from jobs.conversion.decoders.shards import Shards
from jobs.conversion.errors import ConversionRefused

# What follows the family in a class's name (BertForTokenClassification) -> what its model answers with. A head that
# guesses hidden words (MaskedLM, PreTraining) is for training: such models are published to take vectors from.
TASKS = {
    "Model": "embedding", "ForMaskedLM": "embedding", "ForPreTraining": "embedding",
    "ForSequenceClassification": "text", "ForTokenClassification": "tokens", "ForQuestionAnswering": "answer",
}  # fmt: skip
# Of these tasks, the labels are those of the whole text.
OF_A_TEXT = ("head", "text")
CLASSES = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"}
# sentence-transformers' names, and how the vector is made of the tokens'.
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
POOLING, TRANSFORMER, NORMALIZE = "Pooling", "Transformer", "Normalize"


@dataclass(frozen=True)
class Head:
    """A dense layer on the sentence vector: `weight` [labels, hidden], `bias` [labels], both float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, hidden: int) -> Head:
        """Reads an npz with `weight`, `bias` and `labels`. Raises `head-invalid` or what `read_start` refuses."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                weight = stored["weight"].astype(np.float32)
                bias = stored["bias"].astype(np.float32)
                labels = tuple(str(label) for label in stored["labels"])
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ConversionRefused(
                "head-invalid",
                f"The head {path.name} cannot be read: {error}.",
                "Give an npz with weight [labels, hidden], bias [labels] and labels, without pickled objects.",
            ) from error
        if weight.ndim != 2 or weight.shape[1] != hidden or not bias.shape == (len(labels),) == weight.shape[:1]:
            raise ConversionRefused(
                "head-invalid",
                f"The head {path.name} does not fit: weight {list(weight.shape)}, bias {list(bias.shape)}, "
                f"{len(labels)} labels, for {hidden} hidden units.",
                "Train the head on this encoder's vectors.",
            )
        return cls(weight, bias, labels)


@dataclass(frozen=True)
class Task:
    """`name` is a value of TASKS, or `head` for one that was trained apart; `labels` are in the logits' order."""

    name: str
    labels: tuple[str, ...] = ()
    pooling: str | None = None

    @classmethod
    def read(cls, folder: Path, fields: Fields, weights: Shards, head: Head | None) -> Task:
        """Raises `architecture-unsupported`, `config-invalid`, `tensor-missing`."""
        if head:
            return cls("head", head.labels, _pooling(folder))
        family, name = CLASSES[fields.text("model_type")], "embedding"
        for architecture in fields.texts("architectures"):
            if architecture.removeprefix(family) not in TASKS or not architecture.startswith(family):
                raise fields.unsupported("architecture-unsupported", f"a model of class {architecture}")
            name = TASKS[architecture.removeprefix(family)]
        if name == "embedding":
            return cls(name, pooling=_pooling(folder))
        if name == "answer":
            return cls(name)
        last = "classifier.out_proj" if name == "text" and family != "Bert" else "classifier"
        return cls(name, _labels(fields, weights.rows(f"{last}.weight")))

    def unused(self, name: str) -> bool:
        """Whether the checkpoint may have this weight without its being used here."""
        if name.endswith(("embeddings.position_ids", "embeddings.token_type_ids")):
            return True
        if "pooler." in name:
            return True
        trained = name.startswith(("cls.", "lm_head.", "classifier.", "qa_outputs."))
        return trained and (self.name == "head" or (self.name == "embedding" and name.startswith(("cls.", "lm_head."))))


def add_task(builder: BertBuilder, task: Task, head: Head | None, hidden: str) -> list[onnx.ValueInfoProto]:
    """Adds what makes the outputs of the last layer's `hidden`; the outputs."""
    graph, config, width = builder.graph, builder.config, len(task.labels)
    if task.name in ("embedding", "head"):
        vector = builder.sentence_vector(hidden, task.pooling or "mean")
        if head is None:
            return [_output("embedding", "batch", config.hidden)]
        weight = graph.weight("head.weight", head.weight.T)
        bias = graph.weight("head.bias", head.bias)
        graph.add("Add", [graph.add("MatMul", [vector, weight], "head/matmul"), bias], "logits")
        return [_output("logits", "batch", width)]
    if task.name == "tokens":
        builder.dense("classifier", hidden, config.hidden, width, "logits")
        return [_output("logits", "batch", "sequence", width)]
    if task.name == "answer":
        both = builder.dense("qa_outputs", hidden, config.hidden, 2)
        for index, name in enumerate(("start_logits", "end_logits")):
            graph.add("Gather", [both, graph.constant(index, np.int64)], name, axis=2)
        return [_output(name, "batch", "sequence") for name in ("start_logits", "end_logits")]
    first, last = ("pooler.dense", "classifier") if config.family == "bert" else (
        "classifier.dense", "classifier.out_proj"
    )  # fmt: skip
    dense = builder.dense(
        first, builder.first_token(hidden), config.hidden, config.hidden, inside=config.family == "bert"
    )
    builder.dense(last, graph.add("Tanh", [dense], "pool/tanh"), config.hidden, width, "logits")
    return [_output("logits", "batch", width)]


def _output(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(FLOAT32), list(shape))


def _labels(fields: Fields, count: int) -> tuple[str, ...]:
    """The names of config.json's `id2label`, or those that transformers gives where it has none."""
    named = fields.inner("id2label")
    if named is None:
        return tuple(f"LABEL_{index}" for index in range(count))
    labels = tuple(named.text(str(index)) for index in range(count))
    if named.has(str(count)):
        raise fields.invalid("id2label", f"it names more labels than the {count} that the weights have")
    return labels


def _pooling(folder: Path) -> str:
    """What sentence-transformers saved beside the encoder; the mean where it saved nothing."""
    listed = folder / "modules.json"
    place = folder / "1_Pooling"
    if listed.is_file():
        modules = _modules(listed)
        kinds = [kind for kind, _ in modules]
        for kind in kinds:
            if kind not in (TRANSFORMER, POOLING, NORMALIZE):
                raise Fields({}, f"modules.json in {folder.name}").unsupported(
                    "architecture-unsupported", f"a module {kind}"
                )
        place = folder / dict(modules).get(POOLING, "1_Pooling")
    if not (place / "config.json").is_file():
        return "mean"
    fields = Fields.of(place / "config.json")
    asked = fields.asked("pooling_mode_")
    if not asked and fields.has("pooling_mode"):
        asked = [f"pooling_mode_{fields.text('pooling_mode')}_token" + "s" * (fields.text("pooling_mode") == "mean")]
    if len(asked) != 1 or asked[0] not in POOLINGS:
        raise fields.unsupported("architecture-unsupported", f"a vector made by {' and '.join(asked) or 'nothing'}")
    return POOLINGS[asked[0]]


def _modules(path: Path) -> list[tuple[str, str]]:
    """(kind, folder) of each of sentence-transformers' modules."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return [(str(one["type"]).rpartition(".")[2], Path(str(one["path"])).name) for one in read]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConversionRefused(
            "config-invalid",
            f"modules.json in {path.parent.name} is no list of modules.",
            "Take the modules.json that belongs to the weights, or take it away: the vector is then the mean.",
        ) from error
