import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from earmark.nets.heads import CuratedNoisy, MeanOfSoftmax
from earmark.nets.tagnet import parameter_count


def feature_map(channels: int = 6) -> Tensor:
    return torch.randn(3, channels, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("noisy", [False, True])
def test_parameters_of_one_stack_and_of_two(noisy: bool) -> None:
    one = (512 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 80 + 80)  # weights and biases of the three layers
    assert one == 1_656_912
    with torch.device("meta"):
        head = CuratedNoisy(512, 80, noisy=noisy)
    assert parameter_count(head) == (2 * one if noisy else one)
    assert head.tasks == (("curated", "noisy") if noisy else ("curated",))


@pytest.mark.parametrize("task", ["curated", "noisy"])
def test_logits_are_three_layers_on_the_largest_values(task: str) -> None:
    head = CuratedNoisy(6, 3, hidden=7).eval()
    stack = {"curated": head.curated, "noisy": head.noisy}[task]
    first, second = (layer for layer in stack.hidden if isinstance(layer, nn.Linear))
    layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (first, second, stack.last)]
    values = feature_map().numpy().max(axis=(2, 3))
    for number, (weight, bias) in enumerate(layers):
        values = values @ weight.T + bias
        values = np.maximum(values, 0) if number < 2 else values
    assert head.outputs == "logits"
    assert np.allclose(head(feature_map(), task).detach(), values, atol=1e-6)


def test_stacks_of_the_tasks_share_nothing() -> None:
    head = CuratedNoisy(6, 3, hidden=7)
    head(feature_map(), "noisy").square().sum().backward()
    assert all(p.grad is not None for p in head.noisy.parameters())
    assert all(p.grad is None for p in head.curated.parameters())
    assert not torch.equal(head.noisy.last.weight, head.curated.last.weight)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_scores_of_logits(activation: str) -> None:
    logits = torch.tensor([[0.0, 1.0, -2.0], [30.0, 30.0, -30.0]])
    powers = np.exp(logits.double().numpy())
    expected = powers / (1 + powers) if activation == "sigmoid" else powers / powers.sum(axis=1, keepdims=True)
    head = CuratedNoisy(6, 3, activation=activation, hidden=2)  # type: ignore[arg-type]
    assert head.activation == activation
    assert np.allclose(head.activate(logits), expected, atol=1e-6)


def test_probabilities_are_scores_already() -> None:
    head = MeanOfSoftmax(6, 3).eval()
    outputs = head(feature_map())
    assert (head.outputs, head.activation, head.tasks) == ("probabilities", "softmax", ("curated",))
    assert head.activate(outputs) is outputs


def test_dropout_acts_in_training_only_and_at_both_rates() -> None:
    head = CuratedNoisy(6, 3, hidden=4000, dropout=(0.2, 0.5)).eval()
    assert torch.equal(head(feature_map()), head(feature_map()))
    head.train()
    torch.manual_seed(0)
    assert not torch.equal(head(feature_map()), head(feature_map()))
    drops = [layer for layer in head.curated.hidden if isinstance(layer, nn.Dropout)]
    shares = [(drop(torch.ones(1, 4000)) == 0).double().mean().item() for drop in drops]
    assert shares == pytest.approx([0.2, 0.5], abs=0.03)


def test_logits_are_float32_and_the_last_layer_is_exact_under_autocast() -> None:
    head = CuratedNoisy(6, 3, hidden=16).eval()
    with torch.autocast("cpu", torch.bfloat16):
        hidden = head.curated.hidden(feature_map().amax(dim=(2, 3)))
        logits = head(feature_map())
    assert hidden.dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    assert torch.equal(logits, head.curated.last(hidden.float()))


def test_initial_weights_are_pytorchs() -> None:
    """Uniform within 1/√inputs, weights and biases."""
    head = CuratedNoisy(100, 50, hidden=400)
    for parameter in head.parameters():
        nn.init.constant_(parameter, 9.0)
    head.initialise()
    for layer in (layer for layer in head.modules() if isinstance(layer, nn.Linear)):
        limit = 1 / np.sqrt(layer.in_features)
        assert 0.99 * limit < layer.weight.abs().max().item() <= limit
        assert 0.7 * limit < layer.bias.abs().max().item() <= limit


@pytest.mark.parametrize("head", [MeanOfSoftmax(6, 3), CuratedNoisy(6, 3, hidden=2, noisy=False)])
def test_task_that_the_head_has_not_is_refused(head: MeanOfSoftmax | CuratedNoisy) -> None:
    with pytest.raises(ValueError, match=r"no task 'noisy'; the head has curated"):
        copy.deepcopy(head)(feature_map(), "noisy")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"activation": "relu"}, "activation: Input should be 'sigmoid' or 'softmax'"),
        ({"hidden": 0}, "hidden: Input should be greater than or equal to 1"),
        ({"dropout": (0.2, 1.0)}, "dropout.1: Input should be less than 1"),
        ({"dropout": (-0.1, 0.1)}, "dropout.0: Input should be greater than or equal to 0"),
        ({"dropout": (0.2,)}, "dropout.1: Field required"),
        ({"dropout": 0.2}, "dropout: Input should be a valid tuple"),
        ({"dropout": (0.2, float("nan"))}, "dropout.1: Input should be a finite number"),
        ({"hidden": True}, "hidden: a number is needed, not true"),
        ({"noisy": False, "split": "layer3"}, "but noisy is false"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CuratedNoisy(6, 3, **wrong)  # type: ignore[arg-type]
