"""Opening the embedder that a recipe's front end names."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from earmark.embedding.embedder import Embedder
from earmark.embedding.onnx_model import OnnxModel
from earmark.embedding.statistics import Statistics
from earmark.errors import EmbeddingError

BUILT_IN = "statistics"
NO_COPY = "no-copy"  # the licence of a model that must not be copied into bundles


def open_embedder(arguments: Mapping[str, Any], sample_rate: int | None, folder: Path | None = None) -> Embedder:
    """The embedder of a front end ``embedding``.

    Args:
        arguments: the front end's settings: ``model``, ``sha256``, ``output``, ``window_seconds``.
        sample_rate: of the member's input, in Hz; None for what the model says.
        folder: folder that the model's file is relative to; the current folder by default.

    Raises:
        EmbeddingError: the model cannot be used, or is another one than ``sha256`` says.
    """
    model = arguments.get("model", BUILT_IN)
    if model == BUILT_IN:
        if sample_rate not in (None, Statistics.sample_rate):
            raise EmbeddingError(f"the built-in statistics are of sounds at {Statistics.sample_rate} Hz, not {sample_rate} Hz")
        return Statistics()
    path = (folder or Path()) / model
    embedder = _opened(path, arguments.get("output"), sample_rate, arguments.get("window_seconds"), _state(path))
    wanted = arguments.get("sha256")
    if wanted is not None and wanted != embedder.sha256:
        raise EmbeddingError(
            f"{embedder.path} is another model now (SHA-256 {embedder.sha256[:12]}…) than the one that was trained with "
            f"({wanted[:12]}…); put that one back, or train into another --out"
        )
    return embedder


@lru_cache(maxsize=8)  # the nets of all folds stand on the same model
def _opened(path: Path, output: str | None, sample_rate: int | None, window_seconds: float | None, state: object) -> OnnxModel:  # noqa: ARG001
    return OnnxModel(path, output, sample_rate, window_seconds)


def _state(path: Path) -> object:
    """What changes when the file does."""
    try:
        status = path.stat()
    except OSError:  # opening it says why
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
