"""A pre-trained model in an ONNX file, run by ONNX Runtime."""

import hashlib
import math
import mmap
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from earmark import audio
from earmark.embedding.embedder import Embedder, Vector
from earmark.errors import NO_SUCH_FILE, AudioError, EmbeddingError, NoRateError
from earmark.runtime import first_line, open_session

NEEDED = (
    "needed: one input with the waveform, float32 [samples], [batch, samples] or [batch, 1, samples], "
    "and an output with the vector, [D], [batch, D] or [batch, frames, D]"
)
FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
OUTPUTS = ("embedding", "embeddings")  # names of the output that is taken where the recipe names none
SHORTEST = 1.0  # seconds of a sound for a model of free length: of less, the frames of some models come to nothing
RATES = (1000, 768_000)  # Hz
LONGEST_WINDOW = 600.0  # seconds
LOCATION = re.compile(
    rb"\n\x08location\x12([\x80-\xff]?[\x00-\x7f])"
)  # before a further file's name: its length, in sevens of bits


class OnnxModel(Embedder):
    """A model in an ONNX file. The file's metadata may say ``sample_rate`` (Hz), ``window_seconds``, ``fill`` and ``licence``.

    ``fill`` is ``zeros`` (after the sound, the default) or ``tile`` (the sound again): how a sound shorter than the model's
    fixed length is filled.

    Args:
        path: the file.
        output: name of the output with the vector; by default ``embedding`` or ``embeddings``, else the only output.
        sample_rate: in Hz; by default what the file says.
        window_seconds: seconds that the model looks at together; by default what the file says, else the whole sound.

    Attributes:
        sha256: hash of the file, and of the other files that it is in, 64 hex digits.
        output: name of the output with the vector.

    Raises:
        EmbeddingError: the file is no model that can be used; the message says what it has and what is needed.
        NoRateError: nobody says its sample rate.
    """

    def __init__(
        self, path: Path, output: str | None = None, sample_rate: int | None = None, window_seconds: float | None = None
    ) -> None:
        self.path, self.title = path, path.name
        self.sha256 = file_hash(path)
        self._session = _opened(path)
        facts: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.licence = facts.get("licence") or facts.get("license") or ""
        self.tile = facts.get("fill") == "tile"
        self._input, self._shape, length = self._checked_input()
        self.output = self._chosen_output(output)
        if sample_rate is None and "sample_rate" not in facts:
            raise NoRateError(f"{path}: it does not say its sample rate (metadata sample_rate); say it with --embedding-rate HZ")
        self.sample_rate = sample_rate or round(self._number(facts, "sample_rate", *RATES))
        seconds = window_seconds or (
            self._number(facts, "window_seconds", 0.01, LONGEST_WINDOW) if "window_seconds" in facts else 0.0
        )
        self.window = length or round(seconds * self.sample_rate)
        self.shortest = length or min(round(SHORTEST * self.sample_rate), self.window or self.sample_rate)
        self.size = self._measured_size()
        settings = f"{self.sha256} {self.output} {self.sample_rate} {self.window}"
        self.key = hashlib.sha256(settings.encode()).hexdigest()[:12]

    def of_window(self, samples: audio.Samples) -> Vector:
        """See `Embedder.of_window`."""
        waveform = samples.astype(FLOATS[self._input.type]).reshape(self._shape)
        try:
            vector = self._session.run([self.output], {self._input.name: waveform})[0]
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            raise AudioError(f"{self.title} cannot take {len(samples)} samples: {first_line(error)}") from None
        vector = np.asarray(vector, np.float64)
        if vector.ndim > 1:
            vector = vector[0]  # the batch has one sound
        return (vector.mean(axis=0) if vector.ndim == 2 else vector).astype(np.float32)

    def filled(self, samples: audio.Samples) -> audio.Samples:
        """See `Embedder.filled`."""
        return np.resize(samples, self.shortest) if self.tile else super().filled(samples)

    def _checked_input(self) -> tuple[Any, tuple[int, ...], int]:
        """The input, the shape of a waveform for it, and its length in samples if that is fixed, else 0."""
        inputs = self._session.get_inputs()
        shown = "; ".join(f"{put.name} {put.type} {_dimensions(put.shape)}" for put in inputs) or "none"
        error = EmbeddingError(f"{self.path}: cannot be used: its inputs are {shown}; {NEEDED}")
        if len(inputs) != 1 or inputs[0].type not in FLOATS or len(inputs[0].shape) not in (1, 2, 3):
            raise error
        *before, length = inputs[0].shape
        if any(isinstance(size, int) and size != 1 for size in before):
            raise error
        if isinstance(length, int) and length < 1:
            raise error
        return inputs[0], (*(1 for _ in before), -1), length if isinstance(length, int) else 0

    def _chosen_output(self, name: str | None) -> str:
        outputs = self._session.get_outputs()
        names = [put.name for put in outputs]
        shown = "; ".join(f"{put.name} {put.type} {_dimensions(put.shape)}" for put in outputs) or "none"
        wanted = [name] if name is not None else [*OUTPUTS, *(names if len(names) == 1 else [])]
        chosen = next((put for put in outputs for known in wanted if put.name == known), None)
        if chosen is None:
            which = f"no output {name!r}" if name else "no output is called embedding, and it has several"
            raise EmbeddingError(
                f"{self.path}: {which}; its outputs are {shown}; --set 'members.*.frontend.output=NAME' names the one to take"
            )
        if chosen.type not in FLOATS or len(chosen.shape) not in (1, 2, 3):
            raise EmbeddingError(
                f"{self.path}: cannot be used: its output is {chosen.name} {chosen.type} {_dimensions(chosen.shape)}; {NEEDED}"
            )
        return str(chosen.name)

    def _number(self, facts: dict[str, str], name: str, low: float, high: float) -> float:
        try:
            number = float(facts[name])
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise EmbeddingError(
                f"{self.path}: its metadata say {name} {facts[name]!r}; needed is a number from {low:g} to {high:g}"
            )
        return number

    def _measured_size(self) -> int:
        """D, measured with a sound of quiet noise; two lengths of a sound must give the same D."""
        noise = np.random.default_rng(0).normal(0, 0.1, self.shortest).astype(np.float32)
        try:
            vectors = [self.of_window(noise)]
            if not self.window or self.window > self.shortest:
                longer = np.resize(noise, min(self.window or 2 * self.shortest, 2 * self.shortest))
                vectors.append(self.of_window(longer))
        except AudioError as error:
            raise EmbeddingError(f"{self.path}: cannot be used: {error}") from None
        shapes = {vector.shape for vector in vectors}
        if len(shapes) != 1 or vectors[0].ndim != 1 or not vectors[0].size:
            sizes = " and ".join(str(list(shape)) for shape in sorted(shapes))
            raise EmbeddingError(f"{self.path}: cannot be used: it gives {sizes} numbers for sounds; {NEEDED}")
        if not all(np.isfinite(vector).all() for vector in vectors):
            raise EmbeddingError(f"{self.path}: cannot be used: it gives NaN or infinite numbers for quiet noise")
        return len(vectors[0])


def file_hash(path: Path) -> str:
    """The SHA-256 of a model's file, and of the other files that it is in, 64 hex digits.

    Raises:
        EmbeddingError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise EmbeddingError(f"{path} is no file; an ONNX model is needed")
    try:
        digest = hashlib.sha256()
        for part in (path, *further_files(path)):
            with part.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
        return digest.hexdigest()
    except FileNotFoundError:
        raise EmbeddingError(f"{path}: {NO_SUCH_FILE}; --embedding names the ONNX model") from None
    except OSError as error:
        raise EmbeddingError(f"{path}: {error.strerror or error}") from None


def further_files(path: Path) -> list[Path]:
    """The files below a model's folder that have some of its weights (ONNX's external data).

    Raises:
        OSError: the model's file cannot be read.
    """
    found: set[Path] = set()
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for entry in LOCATION.finditer(content):
                low, high = entry[1][0], entry[1][1] if len(entry[1]) > 1 else 0
                name = content[entry.end() : entry.end() + (low & 127) + (high << 7)].decode(errors="replace")
                parts = PurePosixPath(name).parts
                if parts and parts[0] != "/" and ".." not in parts and "\0" not in name:  # ONNX Runtime refuses what leads out
                    found.add(path.parent / name)
    return sorted(part for part in found if part.is_file())


def _opened(path: Path) -> Any:
    try:
        return open_session(path)
    except ValueError as error:
        raise EmbeddingError(f"{path}: no ONNX model that can be run: {error}") from None


def _dimensions(shape: list[Any]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
