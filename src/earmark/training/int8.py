"""8-bit nets: convolutions and linear layers in whole numbers, kept only where they are faster here and as good.

Static, with a scale for each channel of the weights; the scales of the images are measured on training clips. The front end stays in float32:
the range of a spectrum's power is too wide for 8 bits.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earmark import files
from earmark.assess.metrics import values
from earmark.data.clips import ClipSet
from earmark.data.store import Store
from earmark.runs.data import load_run_clips
from earmark.runs.run import Run
from earmark.runtime import SCORES, WAVEFORM, load_runtime
from earmark.scoring.clips import score_clips
from earmark.scoring.onnx_scorer import OnnxScorer
from earmark.scoring.scorer import net_input
from earmark.tagging.bundle import BundleMember, Proof
from earmark.training.onnx_file import fastest
from earmark.training.splits import validation

MOST_POINTS = 0.5  # of accuracy (lwlrap where clips have several labels) that a net may lose
CALIBRATED = 32  # training clips that the scales are measured on
JUDGED = 500  # held-out clips that the loss is measured on, at most


@dataclass(frozen=True)
class Trial:
    """What 8-bit nets are measured with.

    Attributes:
        run: the run that the nets belong to.
        store: its store.
    """

    run: Run
    store: Store


def write_int8(path: Path, member: BundleMember, proof: Proof, labels: Sequence[str], trial: Trial) -> Proof | str:
    """Puts an 8-bit net in the place of an ONNX file, if it is faster and as good.

    Args:
        path: the net's file in float32.
        member: description of the net.
        proof: what was measured of the file in float32.
        labels: the classes.
        trial: the clips to measure with.

    Returns:
        What was measured of the 8-bit net; or why the file stays as it is.
    """
    if member.frontend.name == "embedding":
        return "it stands on a pre-trained model, and is itself small"
    clips = load_run_clips(trial.run, trial.store, member.input.sample_rate)
    judged = validation(clips, member.fold)
    if not judged.any():
        return "there are no verified clips that it was not trained on"
    held_out = clips[_some(np.flatnonzero(judged), JUDGED)]
    learned = clips[_some(np.flatnonzero(~judged & ~clips.test), CALIBRATED)]
    with TemporaryDirectory() as scratch:
        small = Path(scratch) / "int8.onnx"
        quantise(path, small, [net_input(learned.samples(i), member.input)[None] for i in range(len(learned))])
        nets = [OnnxScorer(file, member.input, len(labels), member.activation) for file in (path, small)]
        before, after = (_points(net, held_out) for net in nets)
        window = learned.samples(int(learned.length.argmax()))
        feed = {WAVEFORM: net_input(window, member.input)[None]}
        milliseconds = [fastest(partial(net.session.run, [SCORES], feed)) for net in nets]
        if milliseconds[1] >= milliseconds[0]:
            return f"8 bits are no faster here ({milliseconds[1]:.1f} ms a sound instead of {milliseconds[0]:.1f})"
        if before - after > MOST_POINTS:
            return f"8 bits cost {before - after:.1f} points on {len(held_out):,} held-out clips, more than {MOST_POINTS:g}"
        content = small.read_bytes()
    with files.replacing(path) as half:
        half.write_bytes(content)
    ratio = milliseconds[1] / milliseconds[0]
    return proof.model_copy(
        update={
            "bytes": len(content),
            "bits": 8,
            "points": before - after,
            "onnx_ms": proof.onnx_ms * ratio,
            "clips": len(held_out),
        }
    )


def _some(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """So many of the indices, at most, spread evenly."""
    return indices[np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(np.int64))]


def _points(net: OnnxScorer, clips: ClipSet) -> float:
    """Accuracy, or lwlrap where clips have several labels, in points of 100."""
    scores = score_clips(net, clips)[0]
    return 100 * values(scores, clips.positive)["lwlrap" if clips.several else "accuracy"]


class _Inputs:
    """The sounds that scales are measured on, as ONNX Runtime's quantiser reads them."""

    def __init__(self, sounds: Sequence[NDArray[np.float32]]) -> None:
        self._sounds: Iterator[NDArray[np.float32]] = iter(sounds)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next sound; None after the last."""
        sound = next(self._sounds, None)
        return None if sound is None else {WAVEFORM: sound}


def quantise(old: Path, new: Path, sounds: Sequence[NDArray[np.float32]]) -> None:
    """Writes an ONNX file with 8-bit convolutions and linear layers.

    Args:
        old: the net's file in float32.
        new: the file to write.
        sounds: what the scales are measured on, each ``[1, samples]`` as the net takes it.
    """
    load_runtime()
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with _quiet(), TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(old), str(prepared), skip_symbolic_shape=True)
        inputs: Any = _Inputs(sounds)
        quantization.quantize_static(
            str(prepared),
            str(new),
            inputs,
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the quantiser's advice, which is for people who write models, from the terminal."""
    onnxruntime = load_runtime()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        logging.disable(before)
        onnxruntime.set_default_logger_severity(2)
