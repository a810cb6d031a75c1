"""Training steps: clips a second of whole training steps, compared with plain code and with the bare arithmetic.

    python benchmarks/step.py STORE [--device cuda]

*plain* is the same net written one operation after the other (tests/reference/densenet.py), in eager float32, on batches that are
made already. The *floor* is the time that the net's multiplications alone would take at the speed of one large matrix product on
this machine. Every other row measures whole steps, from the store to the optimiser's step.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import SMALL, options, show, store_for, take_turns, wait_for
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))
from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.machine import keep_freed_memory
from earmark.recipe import MemberSettings, load_recipe
from earmark.training.piece import Piece
from earmark.training.schedule import batch_size
from earmark.training.trainer import FoldTrainer, make_fabric
from tests.reference.densenet import PlainNet

MEMBERS = {"cochlear2018": ("logmel-16k", "waveform-16k"), "akiyama2019": ("row1", "row8"), "esc50-cpu": ("logmel-16k",)}
SMALL_2019 = ["members.*.backbone.width=10", "members.*.batch.size=4"]
MATRIX = 4096  # rows and columns


def trainer(settings: MemberSettings, store: Store, device: str, precision: str) -> FoldTrainer:
    rate = settings.input.sample_rate if settings.input.sample_rate in store.sample_rates else store.sample_rates[0]
    clips = load_clips(store, rate)  # another rate will do: the numbers of samples are those of the member
    few = clips[:0]
    return FoldTrainer(Piece("benchmark", Path(), settings, clips, few, np.random.SeedSequence(0)), make_fabric(device, precision))


def plain_step(settings: MemberSettings, classes: int, device: str, sound: torch.Tensor, targets: torch.Tensor) -> object:
    arguments, front = settings.backbone.arguments, settings.frontend.arguments
    net = PlainNet(arguments["stem"], arguments["growth"], classes, hop_length=front["hop_length"]).to(device)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)

    def step() -> None:
        optimiser.zero_grad()
        (-(targets * net(sound).clamp(min=1e-7).log()).sum(dim=1)).mean().backward()
        optimiser.step()
        wait_for(device)

    return step


def multiplications(trainer: FoldTrainer) -> int:
    """Floating-point operations of a step's convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        trainer.step()
    return counter.get_total_flops()


def matrix_rate(device: str, precision: str, size: int) -> float:
    """Floating-point operations a second of one large matrix product."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))

    def product() -> None:
        a @ b
        wait_for(device)

    return 2 * size**3 / take_turns({"": product}, 5)[""]


def main() -> None:
    parser = options(__doc__, "a store with labels for at least two classes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--recipes", default=",".join(MEMBERS), help=f"of {', '.join(MEMBERS)}, commas between them")
    given = parser.parse_args()
    keep_freed_memory()
    device, runs = given.device, 1 if given.smoke else given.runs
    with tempfile.TemporaryDirectory() as folder:
        measure(store_for(given, Path(folder)), given.recipes, device, runs, given.smoke)


def measure(store: Store, recipes: str, device: str, runs: int, smoke: bool) -> None:
    rates = {precision: matrix_rate(device, precision, 256 if smoke else MATRIX) for precision in ("float32", "bfloat16")}
    rows = []
    for recipe in recipes.split(","):
        loaded = load_recipe(recipe, [] if not smoke else SMALL_2019 if recipe == "akiyama2019" else SMALL)
        for member in MEMBERS[recipe]:
            settings = loaded.members[member]
            size = batch_size(settings, len(store.labels))
            ours = {precision: trainer(settings, store, device, precision) for precision in ("float32", "bfloat16")}

            def step(precision: str, ours: dict[str, FoldTrainer] = ours) -> None:
                ours[precision].step()
                wait_for(device)

            contenders = {f"earmark, {precision}": lambda p=precision, s=step: s(p) for precision in ours}
            if settings.backbone.name == "densenet_se" and settings.frontend.name == "logmel":
                batch = ours["float32"].streams["curated"].batches.next()
                contenders = {
                    "plain, float32": plain_step(settings, len(store.labels), device, batch.sound, batch.targets),
                    **contenders,
                }
            seconds = take_turns(contenders, runs)
            plain = seconds.get("plain, float32")
            work = multiplications(ours["float32"])
            for name, time_taken in seconds.items():
                floor = work / rates[name.rpartition(", ")[2]]
                rows.append(
                    (
                        f"{recipe} {member}",
                        name,
                        size / time_taken,
                        plain / time_taken if plain else "–",
                        f"{floor / time_taken:.0%}",
                        300_000 * time_taken / 60,
                    )
                )
    columns = ("member", "", "clips/s", "times plain", "of the floor's speed", "minutes for 300,000 batches")
    show(f"Training steps on {device}, {len(store.labels)} classes", columns, rows)
    show("One matrix product", ("", "GFLOP/s"), [(name, rate / 1e9) for name, rate in rates.items()])


if __name__ == "__main__":
    main()
