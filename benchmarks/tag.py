"""Tagging files: earmark's full-size log-mel net of 2018 and PANNs' CNN14, from files to tags, and decoding alone.

    python benchmarks/tag.py FOLDER --count 1000

Weights are random: they do not change the speed. CNN14 (the package panns_inference, its own front end at 32,000 Hz) gets the
same decoding threads and batches of the same number of sounds.
"""

import importlib.util
import os
import sys
import tempfile
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import torch
from measure import options, rendered, show, take_turns

from earmark import audio
from earmark.labels import LabelSet
from earmark.machine import keep_freed_memory
from earmark.nets.member import new_net
from earmark.nets.tagnet import parameter_count
from earmark.recipe import load_recipe
from earmark.scoring.torch_scorer import TorchScorer
from earmark.tagging.bulk import BASKET_FILES, find_audio, tag_files
from earmark.tagging.bundle import BundleConfig, BundleData, BundleMember
from earmark.tagging.tagger import Tagger

CORES = os.cpu_count() or 1
CLASSES = 50


def untrained(recipe: str, member: str, sets: list[str], precision: Literal["float32", "bfloat16"]) -> Tagger:
    """A model of one untrained net."""
    settings = load_recipe(recipe, sets).members[member]
    net = new_net(settings, CLASSES).eval()
    parts = {"input": settings.input, "frontend": settings.frontend, "backbone": settings.backbone, "head": settings.head}
    bundle_member = BundleMember(
        name=member, fold=0, file="none.safetensors", **parts, activation=net.activation, weight=1.0, views=["whole"],
        parameters=parameter_count(net),
    )  # fmt: skip
    labels = [f"class {k}" for k in range(CLASSES)]
    about = BundleData(source="none", clips=0, fingerprint="")
    config = BundleConfig(
        earmark="",
        recipe=recipe,
        fingerprint="",
        labels=labels,
        rule="geometric_mean",
        members=[bundle_member],
        data=about,
        licence="",
    )
    return Tagger(config, LabelSet(tuple(labels)), (TorchScorer(net, settings.input, CLASSES, precision),))


def cnn14() -> Callable[[np.ndarray], object] | None:
    """CNN14 as published; its package is not imported as usual, since that loads a table from the network."""
    spec = importlib.util.find_spec("panns_inference")
    if spec is None or spec.submodule_search_locations is None:
        return None
    package = types.ModuleType("panns_inference")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["panns_inference"] = package
    from panns_inference.models import Cnn14

    net = Cnn14(sample_rate=32000, window_size=1024, hop_size=320, mel_bins=64, fmin=50, fmax=14000, classes_num=527).eval()

    def scores(batch: np.ndarray) -> object:
        with torch.inference_mode():
            return net(torch.from_numpy(batch))["clipwise_output"]

    return scores


def decoded(path: Path, rate: int) -> audio.Samples:
    samples, file_rate = audio.read(path)
    return audio.resample(audio.to_mono(samples), file_rate, rate)


def main() -> None:
    parser = options(__doc__, "a folder of sounds of one length")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--cnn14-count", type=int, default=100, help="CNN14 is given fewer, since it is slow")
    given = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if given.smoke:
            root = rendered(folder / "sounds").parent / "audio"
            sets = ["members.*.backbone.growth=[4, 4, 4, 4, 4, 4, 4, 4]"]
        else:
            root, sets = given.root, []
        paths = find_audio([root])[: given.count]
        info = soundfile.info(paths[0])
        seconds_of_sound = info.frames / info.samplerate
        taggers = {f"earmark tag, {kind}": untrained("cochlear2018", "logmel-16k", sets, kind) for kind in ("float32", "bfloat16")}
        cnn14_scores = None if given.smoke else cnn14()
        few = paths[: given.cnn14_count]

        def decode(paths: list[Path], rate: int) -> None:
            with ThreadPoolExecutor(CORES) as pool:
                list(pool.map(lambda path: decoded(path, rate), paths))

        def tag_with_cnn14() -> None:
            assert cnn14_scores is not None
            with ThreadPoolExecutor(CORES) as pool:
                for first in range(0, len(few), BASKET_FILES):
                    sounds = list(pool.map(lambda path: decoded(path, 32000), few[first : first + BASKET_FILES]))
                    length = max(map(len, sounds))
                    cnn14_scores(np.stack([audio.pad_to(sound, length) for sound in sounds]))

        contenders: dict[str, tuple[int, Callable[[], object]]] = {
            "decoding to 16,000 Hz alone": (len(paths), lambda: decode(paths, 16000)),
        }
        for name, tagger in taggers.items():
            contenders[name] = (len(paths), lambda tagger=tagger: tag_files(tagger, paths, 3, 0.0, "csv", folder / "tags.csv"))
        if cnn14_scores is not None:
            contenders["CNN14"] = (len(few), tag_with_cnn14)
        seconds = take_turns({name: run for name, (_, run) in contenders.items()}, 1 if given.smoke else given.runs, warm=False)
        speed = {name: contenders[name][0] / time_taken for name, time_taken in seconds.items()}
        slow, fast = (speed[name] for name in taggers)
        rows = [(name, rate, rate * seconds_of_sound, slow / rate, fast / rate) for name, rate in speed.items()]
        size = taggers["earmark tag, float32"].config.members[0].parameters
        show(
            f"{len(paths):,} files of {seconds_of_sound:.1f} s to tags ({size:,} parameters)",
            ("", "files/s", "times real time", "earmark (float32) is … times as fast", "(bfloat16)"),
            rows,
        )


if __name__ == "__main__":
    main()
