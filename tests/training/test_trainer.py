"""The optimiser of a net in training, against Adam as Keras and as PyTorch write it, in float64."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.nets.member import load_tensors, save_tensors
from earmark.recipe import load_recipe
from earmark.training.piece import Piece
from earmark.training.trainer import FoldTrainer, make_fabric
from tests.conftest import SMALL

STEPS, BETA_1, BETA_2 = 6, 0.9, 0.999
State = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def clips(store: Store) -> ClipSet:
    stored = load_clips(store, 16000)
    return stored[~stored.test & (stored.fold == 1)]


def stepped(clips: ClipSet, *sets: str) -> tuple[State, list[tuple[float, State]], State]:
    """The first parameters, the rate and gradients of each step, and the last parameters."""
    settings = load_recipe("tiny", [*SMALL, *sets]).members["logmel"]
    piece = Piece("t", Path(), settings, clips, clips[:0], np.random.SeedSequence(3))
    trainer = FoldTrainer(piece, make_fabric("cpu", "float32"))

    def parameters() -> State:
        return {name: value.detach().numpy().astype(np.float64) for name, value in trainer.plain_net.named_parameters()}

    first, steps = parameters(), []
    for number in range(STEPS):
        trainer.step()
        gradients = {name: value.grad.numpy().astype(np.float64) for name, value in trainer.plain_net.named_parameters()}  # type: ignore[union-attr]
        steps.append((trainer.schedule.rate_at(number), gradients))
    return first, steps, parameters()


def by_hand(first: State, steps: list[tuple[float, State]], epsilon: float, before_correction: bool) -> State:
    """Kingma & Ba's Adam; ``before_correction`` as Keras writes it: lr_t = lr·√(1−β₂ᵗ)/(1−β₁ᵗ); p −= lr_t·m/(√v + ε)."""
    last = {}
    for name, value in first.items():
        p, m, v = value.copy(), np.zeros_like(value), np.zeros_like(value)
        for t, (rate, gradients) in enumerate(steps, start=1):
            g = gradients[name]
            m = BETA_1 * m + (1 - BETA_1) * g
            v = BETA_2 * v + (1 - BETA_2) * g**2
            if before_correction:
                p = p - rate * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t) * m / (np.sqrt(v) + epsilon)
            else:
                p = p - rate * (m / (1 - BETA_1**t)) / (np.sqrt(v / (1 - BETA_2**t)) + epsilon)
        last[name] = p
    return last


def farthest(left: State, right: State) -> float:
    return max(float(np.abs(left[name] - right[name]).max()) for name in left)


@pytest.mark.parametrize("epsilon", [1e-7, 1e-3])
@pytest.mark.parametrize("place", ["before_correction", "after_correction"])
def test_epsilon_is_added_where_the_recipe_says(clips: ClipSet, place: str, epsilon: float) -> None:
    sets = [f"members.*.optimiser.epsilon={epsilon}", f"members.*.optimiser.epsilon_added={place}"]
    first, steps, last = stepped(clips, *sets)
    assert farthest(last, by_hand(first, steps, epsilon, place == "before_correction")) < 1e-6
    if epsilon == 1e-3:  # where the two can be told apart
        assert farthest(last, by_hand(first, steps, epsilon, place != "before_correction")) > 1e-3
    assert farthest(first, last) > 1e-3


def test_by_default_epsilon_is_added_as_pytorch_does(clips: ClipSet) -> None:
    first, steps, last = stepped(clips, "members.*.optimiser.epsilon=1.0e-3")
    assert farthest(last, by_hand(first, steps, 1e-3, before_correction=False)) < 1e-6


def test_the_system_of_2018_has_keras_epsilon_in_keras_place_and_that_of_2019_pytorchs() -> None:
    keras, pytorch = load_recipe("cochlear2018"), load_recipe("akiyama2019")
    assert {(m.optimiser.epsilon, m.optimiser.epsilon_added) for m in keras.members.values()} == {(1e-7, "before_correction")}
    adam = [member.optimiser for member in pytorch.members.values() if member.optimiser.name == "adam"]
    assert {(own.epsilon, own.epsilon_added) for own in adam} == {(1e-8, "after_correction")}


def trainer_of(clips: ClipSet, *sets: str) -> FoldTrainer:
    settings = load_recipe("tiny", [*SMALL, *sets]).members["logmel"]
    return FoldTrainer(
        Piece("B fold 3", Path(), settings, clips, clips[:0], np.random.SeedSequence(3)), make_fabric("cpu", "float32")
    )


Tensors, Saved = dict[str, torch.Tensor], dict[str, Any]
SAVED_DAMAGE: dict[str, Callable[[Tensors, Saved], object]] = {
    "no net": lambda tensors, _: [tensors.pop(name) for name in list(tensors) if name.startswith("net.")],
    "no sums": lambda tensors, _: tensors.pop("tally"),
    "sums of another shape": lambda tensors, _: tensors.update(tally=torch.zeros(2)),
    "no optimiser": lambda tensors, _: [tensors.pop(name) for name in list(tensors) if name.startswith("optimiser.")],
    "optimiser of another net": lambda tensors, _: tensors.update({"optimiser.999.exp_avg": torch.zeros(1)}),
    "optimiser with another name": lambda tensors, _: tensors.update({"optimiser.x": torch.zeros(1)}),
    "optimiser of another shape": lambda tensors, _: tensors.update({"optimiser.5.exp_avg": torch.zeros(7, 7)}),
    "weights that are not finite": lambda tensors, _: [
        value.fill_(float("nan")) for name, value in tensors.items() if name.startswith("net.") and value.is_floating_point()
    ],
    "no state": lambda _, state: state.clear(),
    "no streams": lambda _, state: state.update(streams={}),
    "streams without a generator": lambda _, state: state["streams"]["curated"].pop("crops"),
    "a generator without numbers": lambda _, state: state["streams"]["curated"]["crops"].clear(),
    **{f"batch {value!r}": (lambda _, state, value=value: state.update(batch=value)) for value in ("1", -1, 1.5, True, 10**9)},
    **{f"best {value!r}": (lambda _, state, value=value: state.update(best=value)) for value in ("1", [], True)},
}


@pytest.mark.parametrize("damage", list(SAVED_DAMAGE))
def test_a_checkpoint_that_is_damaged_is_refused_in_a_line(damage: str, clips: ClipSet, tmp_path: Path) -> None:
    path, trainer = tmp_path / "fold3" / "checkpoint.safetensors", trainer_of(clips)
    path.parent.mkdir()
    trainer.step()
    trainer.save(path)
    trainer_of(clips).load(path)
    tensors, state = load_tensors(path)
    SAVED_DAMAGE[damage](tensors, state)
    save_tensors(path, tensors, state)
    with pytest.raises(RunError) as caught:
        trainer_of(clips).load(path)
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert str(caught.value).endswith(f"); remove {path.parent} to train this piece again")
    assert str(caught.value).isprintable()


def test_a_training_that_diverges_says_where(clips: ClipSet) -> None:
    trainer = trainer_of(clips)
    trainer.step()
    trainer.refuse_divergence(weights=True)
    weight = next(trainer.plain_net.parameters())
    with torch.no_grad():
        weight.fill_(float("inf"))
    trainer.refuse_divergence()  # the losses are finite as yet
    said = r"^B fold 3: the training diverged by batch 1 of 12: its loss or its weights are not finite, and no clip stands out; train into"
    with pytest.raises(RunError, match=said):
        trainer.refuse_divergence(weights=True)
    trainer.step()
    with pytest.raises(RunError, match="by batch 2 of 12"):
        trainer.refuse_divergence()
