"""Tagging files, from files to tags: the full-size log-mel net of 2018 in ONNX Runtime and in PyTorch, a model on a pre-trained one, PANNs' CNN14.

    python benchmarks/tag.py FOLDER --count 1000 --model RUN

Every contender works in a process of its own, in turns; its time is that of the work alone (the model is loaded, the libraries too), its memory the
most that the whole process had. The 2018 net has random weights, which do not change the speed. RUN is a run of `quick` on a
pre-trained model. CNN14 (the package panns_inference, its own front end at 32,000 Hz) gets the same decoding threads, and batches of as
many sounds.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile
from measure import SMALL, options, rendered, show
from tag_alone import CNN14, DECODE, FULL, GIVEN

from earmark import audio, files
from earmark.nets.drawing.net import onnx_file
from earmark.nets.member import new_net, save_tensors
from earmark.nets.tagnet import parameter_count
from earmark.recipe import load_recipe
from earmark.tagging.bundle import CONFIG, BundleConfig, BundleData, BundleMember

CLASSES = 50


def untrained_bundle(folder: Path, recipe: str, member: str, sets: list[str]) -> int:
    """Writes a bundle of one untrained net, and returns the number of its parameters."""
    settings = load_recipe(recipe, sets).members[member]
    net = new_net(settings, CLASSES).eval()
    folder.mkdir()
    save_tensors(folder / "net.safetensors", net.state_dict())
    (folder / "net.onnx").write_bytes(onnx_file(net, CLASSES, {"hop_length": str(net.frontend.hop_length)}))
    parts = {"input": settings.input, "frontend": settings.frontend, "backbone": settings.backbone, "head": settings.head}
    described = BundleMember(
        name=member, fold=0, file="net.safetensors", onnx="net.onnx", **parts, activation=net.activation, weight=1.0, views=["whole"],
        parameters=parameter_count(net),
    )  # fmt: skip
    config = BundleConfig(
        earmark="",
        recipe=recipe,
        fingerprint="",
        labels=[f"class {k}" for k in range(CLASSES)],
        rule="geometric_mean",
        members=[described],
        data=BundleData(source="none", clips=0, fingerprint=""),
        licence="",
    )
    files.write_text(folder / CONFIG, config.model_dump_json())
    return described.parameters


def measured(kind: str, model: Path, paths: list[str], scratch: Path) -> tuple[float, float]:
    """Seconds and megabytes of a contender in a process of its own."""
    task = scratch / "task.json"
    out = scratch / "tags.csv"
    for left in scratch.glob("tags.csv*"):
        left.unlink()
    task.write_text(json.dumps({"kind": kind, "model": str(model), "paths": paths, "out": str(out)}))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("tag_alone.py"), task], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    if kind not in (DECODE, CNN14):
        assert len({line.partition(",")[0] for line in out.read_text().splitlines()[1:]}) == len(paths)
    return told["seconds"], told["peak"]


def main() -> None:
    parser: argparse.ArgumentParser = options(__doc__, "a folder of sounds of about one length")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--cnn14-count", type=int, default=100, help="CNN14 is given fewer, since it is slow")
    parser.add_argument("--model", type=Path, help="a run of quick on a pre-trained model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        root = rendered(folder / "sounds").parent / "audio" if given.smoke else given.root
        sets = SMALL[:1] if given.smoke else []
        paths = [str(path) for path in sorted(audio.find_files(root))[: given.count]]
        hours = sum(soundfile.info(path).duration for path in paths) / 3600
        parameters = untrained_bundle(folder / "full", "cochlear2018", "logmel-16k", sets)
        kinds = [DECODE, *list(FULL)[: 1 if given.smoke else None]]
        kinds += [GIVEN] if given.model else []
        kinds += [CNN14] if not given.smoke and importlib.util.find_spec("panns_inference") else []
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        peaks = dict.fromkeys(kinds, 0.0)
        for _ in range(1 if given.smoke else given.runs):
            for kind in kinds:
                some = paths[: given.cnn14_count] if kind == CNN14 else paths
                seconds, peak = measured(kind, given.model if kind == GIVEN else folder / "full", some, folder)
                times[kind].append(seconds / len(some))
                peaks[kind] = max(peaks[kind], peak)
        speeds = {kind: 1 / statistics.median(seconds) for kind, seconds in times.items()}
        first = next(iter(FULL))
        rows = [
            (kind, speed, speed * hours * 3600 / len(paths), speeds[first] / speed, f"{peaks[kind]:,.0f}")
            for kind, speed in speeds.items()
        ]
        show(
            f"{len(paths):,} files, {hours * 3600 / len(paths):.1f} s each, to tags (2018 net: {parameters:,} parameters)",
            ("", "files/s", "times real time", f"{first} is … times as fast", "most memory, MB"),
            rows,
        )


if __name__ == "__main__":
    main()
