"""ONNX Runtime: opening a model's file, what its errors say, and what exported nets call their inputs and outputs."""

import os
from pathlib import Path
from typing import Any

WAVEFORM, VECTORS, PADDING = "waveform", "vectors", "padding"  # inputs of the nets that earmark exports
SCORES, EMBEDDING = "scores", "embedding"  # their outputs


def load_runtime() -> Any:
    """The module ``onnxruntime``, which tells nobody what is run.

    From version 1.29 on it reports processes and models to its makers, and keeps a mark of the machine in the folder of temporary files, unless
    ``ORT_DISABLE_TELEMETRY`` is set before it is imported. What the user has set holds.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # here, since it takes a while

    return onnxruntime


def open_session(path: Path) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU, for sounds of any length.

    It computes with one thread: whole sounds are shared out over threads instead, which call the same session.

    Raises:
        ValueError: the file is no model that can be run; the message says why.
    """
    onnxruntime = load_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # patterns are kept for every length of a sound, and memory would grow
    options.log_severity_level = 4  # its errors come as exceptions
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        raise ValueError(first_line(error)) from None


def first_line(error: Exception) -> str:
    """The first line of an error of ONNX Runtime's, without its number."""
    lines = str(error).strip().splitlines()
    return lines[0].split(" : ")[-1].strip() if lines else type(error).__name__
