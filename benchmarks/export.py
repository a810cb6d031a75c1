"""Exported nets: are the scores those of PyTorch, how large are the files, and how fast are they?

    python benchmarks/export.py ESC-50/audio

Every kind of front end, backbone and head that the recipes have, at full size, with random weights and the statistics of real sounds; three
seeds; sounds of 0.3 to 30 s, made of the real clips one after the other; batches of 1 and of 16 (30 s: of 4). The times are of one
sound of 5 s on one thread, the contenders taking turns; bf16 is PyTorch's. A first table shows what the spectrum alone costs.
"""

import copy
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from measure import options, rendered, show, take_turns
from numpy.typing import NDArray
from torch import nn

from earmark import audio
from earmark.nets.drawing.graph import Graph
from earmark.nets.drawing.net import onnx_file
from earmark.nets.drawing.spectrum import Spectrum
from earmark.nets.member import new_net
from earmark.nets.tagnet import TagNet
from earmark.recipe import MemberSettings, load_recipe
from earmark.runtime import open_session
from earmark.scoring.scorer import net_input
from earmark.training.int8 import quantise

CLASSES = 50
SEEDS = (0, 1, 2)
LENGTHS = ((0.3, 1), (0.3, 16), (1.0, 16), (5.0, 1), (5.0, 16), (30.0, 4))  # seconds, sounds in a batch
TIMED = 5.0  # seconds of sound
SPREAD = 3.0  # standard deviation of the logits
NETS = {
    "2018 log-mel (logmel, densenet_se, mean_of_softmax)": ("cochlear2018", "logmel-16k"),
    "2018 waveform (waveform, densenet_se, mean_of_softmax)": ("cochlear2018", "waveform-16k"),
    "2019 log-mel (standardised_logmel, resnet34, curated_noisy)": ("akiyama2019", "row1"),
    "2019 waveform (raw_waveform, envnet_v2, curated_noisy)": ("akiyama2019", "F"),
    "tiny (logmel, densenet_se, mean_of_softmax)": ("tiny", "logmel"),
    "quick (embedding, mlp, linear)": ("quick", "third"),
}


def sounds_at(paths: list[Path], rate: int, seconds: float, count: int) -> NDArray[np.float32]:
    """Sounds of one length, ``[count, samples]``, cut from clips one after the other."""
    needed = round(seconds * rate)
    sounds: list[audio.Samples] = []
    clips = cycle(paths)
    while len(sounds) < count:
        parts: list[audio.Samples] = []
        while sum(map(len, parts)) < needed:
            samples, own = audio.read(next(clips))
            parts.append(audio.resample(audio.to_mono(samples), own, rate))
        sounds.append(np.concatenate(parts)[:needed])
    return np.stack(sounds)


def inputs_of(net: TagNet, settings: MemberSettings, sounds: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    if net.frontend.takes_vectors:
        return np.random.default_rng(seed).normal(0, 1, (len(sounds), net.frontend.out_channels)).astype(np.float32)
    return np.stack([net_input(sound, settings.input) for sound in sounds])


def with_statistics(settings: MemberSettings, seed: int, batches: list[NDArray[np.float32]]) -> TagNet:
    """A net with random weights, the statistics of some sounds in its normalisations, and logits that spread as a trained net's do.

    Args:
        settings: settings of the member.
        seed: of the weights.
        batches: inputs of the net; the first gives the statistics, and all together the spread of the logits.
    """
    torch.manual_seed(seed)
    net = new_net(settings, CLASSES)
    for norm in net.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.momentum = norm.share = 1.0
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, 0, 0.05)
    domain = "embedding" if net.frontend.takes_vectors else "waveform"
    last = [layer for layer in net.head.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.xavier_normal_(last.weight)
    pooled: list[torch.Tensor] = []
    with torch.no_grad():
        if net.frontend.takes_vectors:
            net.frontend.fit(batches[0])
        net.train()
        net(torch.from_numpy(batches[0]), domain=domain)
        net.eval()
        for batch in batches:
            pooled.append(net.scores_and_embedding(torch.from_numpy(batch), domain)[1])
        logits = torch.cat(pooled) @ last.weight.T if last.in_features == pooled[0].shape[1] else None
        if logits is None:  # hidden layers in between
            logits = torch.cat([net(torch.from_numpy(batch), domain=domain, activate=False) for batch in batches])
        last.weight *= SPREAD / float(logits.std())
    return net


def spectra(runs: int) -> None:
    """Shows how long the spectra of a sound of 5 s take, drawn in several ways, on one thread."""
    n, count = 1024, round(TIMED * 16_000 / 128)
    frames = np.random.default_rng(0).normal(0, 0.1, (count, n)).astype(np.float32)

    def session(draw: Callable[[Graph, str], str]) -> Callable[[], object]:
        graph = Graph()
        graph.output("spectra", draw(graph, graph.input("frames", ["count", n])), ["a", "b", "c"])
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "spectra.onnx"
            path.write_bytes(graph.file({}))
            return partial(open_session(path).run, None, {"frames": frames})

    angles = 2 * np.pi * np.outer(np.arange(n), np.arange(n // 2 + 1)) / n
    matrix = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)[None]

    def operator(graph: Graph, value: str) -> str:
        return graph.reduced(
            "ReduceSum", graph.node("DFT", graph.node("Unsqueeze", value, graph.whole(2)), axis=1, onesided=1), (2,)
        )

    contenders: dict[str, Callable[[], object]] = {
        "two matrix products, ONNX Runtime": session(Spectrum(n).draw),
        "one matrix product, ONNX Runtime": session(lambda graph, value: graph.node("MatMul", value, graph.constant(matrix))),
        "the operator DFT, ONNX Runtime": session(operator),
        "NumPy's FFT, float32": lambda: [np.fft.rfft(part) for part in np.array_split(frames, 4)],  # parts that fit into the cache
        "PyTorch's FFT": lambda: torch.fft.rfft(torch.from_numpy(frames)),
    }
    seconds = take_turns(contenders, runs)
    first = next(iter(seconds.values()))
    rows = [(name, 1000 * taken, taken / first) for name, taken in seconds.items()]
    show(f"Spectra of 5 s at 16,000 Hz: {count} frames of {n}", ("", "ms", "times the first"), rows)


def main() -> None:
    parser = options(__doc__, "a folder of sounds")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        root = rendered(folder / "sounds").parent / "audio" if given.smoke else given.root
        paths = sorted(audio.find_files(root))[:64]
        seeds, lengths = (SEEDS[:1], LENGTHS[:2]) if given.smoke else (SEEDS, LENGTHS)
        rows = []
        for title, (recipe, member) in list(NETS.items())[4 if given.smoke else 0 :]:
            settings = load_recipe(recipe).members[member]
            rate = settings.input.sample_rate
            difference, own, spread = 0.0, 0.0, 0.0
            for seed in seeds:
                net = new_net(settings, CLASSES)
                heard = [(2.0, 8), *lengths]
                batches = [inputs_of(net, settings, sounds_at(paths[seed:], rate, *length), seed) for length in heard]
                net = with_statistics(settings, seed, batches)
                path = folder / "net.onnx"
                path.write_bytes(onnx_file(net, CLASSES, {"hop_length": str(net.frontend.hop_length)}))
                session = open_session(path)
                name = session.get_inputs()[0].name
                domain = "embedding" if net.frontend.takes_vectors else "waveform"
                exact = copy.deepcopy(net).double()
                for batch in batches[1:]:
                    with torch.inference_mode():
                        expected = net(torch.from_numpy(batch), domain=domain).numpy()
                        true = exact(torch.from_numpy(batch[:2]).double(), domain=domain).numpy()
                    difference = max(difference, float(np.abs(session.run(["scores"], {name: batch})[0] - expected).max()))
                    own = max(own, float(np.abs(expected[:2] - true).max()))
                    spread = max(spread, float(np.ptp(expected)))
            batch = inputs_of(net, settings, sounds_at(paths, rate, TIMED, 1), 0)

            def torch_run(
                net: TagNet = net, batch: NDArray[np.float32] = batch, kind: str = domain, reduced: bool = False
            ) -> object:
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=reduced):
                    return net(torch.from_numpy(batch), domain=kind)

            contenders = {
                "torch": torch_run,
                "bf16": partial(torch_run, reduced=True),
                "onnx": partial(session.run, ["scores"], {name: batch}),
            }
            small = folder / "int8.onnx"
            if not net.frontend.takes_vectors:
                learned = sounds_at(paths[16:], rate, TIMED, 4 if given.smoke else 16)
                quantise(path, small, [net_input(sound, settings.input)[None] for sound in learned])
                contenders["int8"] = partial(open_session(small).run, ["scores"], {name: batch})
            seconds_taken = take_turns(contenders, 1 if given.smoke else given.runs)
            times = [
                f"{1000 * seconds_taken[kind]:,.2f}" if kind in seconds_taken else "–" for kind in ("torch", "bf16", "onnx", "int8")
            ]
            sizes = [f"{file.stat().st_size / 1e6:.1f}" if file.exists() else "–" for file in (path, small)]
            small.unlink(missing_ok=True)
            rows.append((title, f"{difference:.1e}", f"{own:.1e}", spread, *times, *sizes))
    columns = (
        "",
        "ONNX − torch, at most",
        "torch − float64",
        "spread of the scores",
        "torch, ms",
        "torch bf16",
        "ONNX",
        "ONNX int8",
        "MB",
        "int8, MB",
    )
    show(f"Exported nets (ONNX Runtime {onnxruntime.__version__})", columns, rows)


if __name__ == "__main__":
    main()
