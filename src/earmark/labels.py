"""Labels: which names are allowed, and names ↔ indices of classes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # a terminal would obey some of these characters


def normal_label(label: str) -> str:
    """A label as it is kept: without spaces around it, and in one Unicode form (NFC), so that what looks the same is the same.

    >>> normal_label(" e\u0301") == "\xe9"
    True
    """
    return normalize("NFC", label.strip())


def label_faults(label: str) -> list[str]:
    """What is wrong with a label."""
    if not label:
        return ["a label is empty"]
    return [f"label {label!r} has a control character"] if CONTROL.search(label) else []


class Tag(NamedTuple):
    """A label and how sure the model is of it, 0..1."""

    label: str
    score: float


@dataclass(frozen=True)
class LabelSet:
    """The K classes of a data set or a model, in the order of the scores.

    >>> labels = LabelSet(("Bark", "Cello"))
    >>> labels.encode([("Cello",), ("Bark", "Cello"), ()]).tolist()
    [[False, True], [True, True], [False, False]]
    >>> labels.decode(np.array([0.1, 0.9]), top_k=1)
    [Tag(label='Cello', score=0.9)]
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError("a label stands twice in the label set")

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, labels: Iterable[Sequence[str]]) -> NDArray[np.bool_]:
        """Which classes are labels of each clip, bool ``[N, K]``, from the names of each clip's labels.

        Raises:
            KeyError: a name is not in the set.
        """
        index = {name: i for i, name in enumerate(self.names)}
        rows = [[index[name] for name in clip] for clip in labels]
        encoded = np.zeros((len(rows), len(self)), dtype=np.bool_)
        for row, columns in enumerate(rows):
            encoded[row, columns] = True
        return encoded

    def decode(
        self, scores: NDArray[np.floating], top_k: int | None = None, threshold: float | NDArray[np.floating] = 0.0
    ) -> list[Tag]:
        """The best labels of a clip with scores ``[K]``, best first.

        Args:
            scores: the clip's scores, ``[K]``.
            top_k: number of labels, at most; all if None.
            threshold: labels with lower scores are left out; a number, or a number for every class, ``[K]``.
        """
        lowest = np.broadcast_to(np.asarray(threshold, scores.dtype), scores.shape)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [Tag(self.names[i], float(scores[i])) for i in best if scores[i] >= lowest[i]]
