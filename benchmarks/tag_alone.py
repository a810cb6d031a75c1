"""One contender of `tag.py`, alone in a process; torch is imported only by those that need it."""

import importlib.util
import json
import os
import sys
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.machine import keep_freed_memory
from earmark.tagging.bulk import BASKET_FILES, tag_files
from earmark.tagging.sounds import Request
from earmark.tagging.tagger import Tagger

CORES = os.cpu_count() or 1
DECODE, CNN14 = "decoding to 16,000 Hz alone", "CNN14 in PyTorch"
FULL = {
    "2018 net, ONNX Runtime": ("float32", "onnx"),
    "2018 net, PyTorch": ("float32", "torch"),
    "2018 net, PyTorch bfloat16": ("bfloat16", "torch"),
}
GIVEN = "the given model, ONNX Runtime"


def cnn14() -> Callable[[np.ndarray], object] | None:
    """CNN14 as published; its package is not imported as usual, since that loads a table from the network."""
    spec = importlib.util.find_spec("panns_inference")
    if spec is None or spec.submodule_search_locations is None:
        return None
    package = types.ModuleType("panns_inference")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["panns_inference"] = package
    import torch
    from panns_inference.models import Cnn14

    net = Cnn14(sample_rate=32000, window_size=1024, hop_size=320, mel_bins=64, fmin=50, fmax=14000, classes_num=527).eval()

    def scores(batch: np.ndarray) -> object:
        with torch.inference_mode():
            return net(torch.from_numpy(batch))["clipwise_output"]

    return scores


def decoded(path: str, rate: int) -> audio.Samples:
    samples, file_rate = audio.read(path)
    return audio.resample(audio.to_mono(samples), file_rate, rate)


def alone(kind: str, model: Path, paths: list[str], out: Path) -> None:
    """The work of one contender, in this process; prints its seconds, and the most memory that the process had, in MB."""
    if kind == DECODE:

        def work() -> None:
            with ThreadPoolExecutor(CORES) as pool:
                for first in range(0, len(paths), BASKET_FILES):
                    list(pool.map(lambda path: decoded(path, 16000), paths[first : first + BASKET_FILES]))

    elif kind == CNN14:
        scores = cnn14()
        assert scores is not None

        def work() -> None:
            with ThreadPoolExecutor(CORES) as pool:
                for first in range(0, len(paths), BASKET_FILES):
                    sounds = list(pool.map(lambda path: decoded(path, 32000), paths[first : first + BASKET_FILES]))
                    length = max(map(len, sounds))
                    scores(np.stack([audio.pad_to(sound, length) for sound in sounds]))

    else:
        precision, runtime = FULL.get(kind, ("float32", "onnx"))
        keep_freed_memory()
        tagger = Tagger.load(model, precision, "cpu", runtime)

        def work() -> None:
            tag_files(tagger, paths, Request(), "csv", str(out))

    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    # Not ru_maxrss, in which a process begins with what its parent had.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "peak": peak}) + "\n")


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text())
    alone(task["kind"], Path(task["model"]), task["paths"], Path(task["out"]))
