import pytest
import torch

from earmark.errors import RecipeError
from earmark.nets.member import new_net, planned_net
from earmark.nets.memory import in_words, scoring_bytes, step_bytes
from earmark.recipe import load_recipe

TINY = load_recipe("tiny").members["logmel"]


def test_what_a_step_keeps_is_counted_layer_by_layer() -> None:
    """One dense module on 64 bands and 63 frames, by hand."""
    settings = load_recipe("tiny", ["members.*.backbone.growth=[4]", "members.*.head.heads=1"]).members["logmel"]
    net, place = planned_net(settings, 10), 64 * 63
    after_stem = 7 * place
    module = (8 + 4 + 4 + 4) * place  # normalised, narrowed, normalised, convolved
    weights = sum(weight.numel() for weight in net.parameters())
    sound = 16000 + place
    assert step_bytes(net, 5, 16000, states=2) == 4 * (weights * 4 + 5 * (sound + after_stem + module))
    assert step_bytes(net, 5, 16000, states=1, number=2) == 4 * (weights * 3 + 5 * sound) + 2 * 5 * (after_stem + module)
    assert scoring_bytes(net, 16000) == 4 * (weights + 16000 + 8 * place)
    assert scoring_bytes(net, 16000, padding=10) == 4 * (weights + 16000 + 8 * 64 * 83)


def test_no_more_is_counted_than_a_step_takes() -> None:
    """What autograd keeps for the backward pass, as PyTorch hands it out: no less than what is counted."""
    net = new_net(TINY, 10).train()
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net(torch.randn(2, 16000)).sum()
    weights = sum(weight.numel() for weight in net.parameters())
    counted = step_bytes(planned_net(TINY, 10), 2, 16000, states=2) - 4 * 4 * weights
    assert 0.3 * sum(kept.values()) < counted < sum(kept.values()) + 4 * 2 * 16000


def test_numbers_beyond_any_machine_are_counted_too() -> None:
    assert step_bytes(planned_net(TINY, 10), 10**9, 10**6, states=2) > 10**15


def test_a_length_that_the_net_cannot_take_is_told() -> None:
    with pytest.raises(RecipeError, match="the net cannot take"):
        scoring_bytes(planned_net(TINY, 10), 2**60)


def test_bytes_in_words() -> None:
    assert [in_words(count) for count in (1, 10**6, 999_999_999, 10**9)] == ["0.0 MB", "1.0 MB", "1,000.0 MB", "1.0 GB"]
