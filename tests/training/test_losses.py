from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from earmark.training.losses import (
    binary_cross_entropy,
    cross_entropy,
    kl_divergence,
    loss_mask,
    masked_mean,
    squared_error,
)
from tests.reference import losses as reference
from tests.reference.masking import masked_loss


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 6), st.sampled_from([0.3, 0.8, 1.0]))
def test_masked_loss_agrees_with_the_equations_one_by_one(seed: int, batch: int, classes: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(classes, 0.3), batch)
    targets = rng.dirichlet(np.ones(classes), batch)
    verified = rng.random(batch) < 0.4
    expected, expected_mask = masked_loss(scores.tolist(), targets.tolist(), verified.tolist(), alpha)

    losses = cross_entropy(torch.from_numpy(scores), torch.from_numpy(targets))
    mask = loss_mask(losses, torch.from_numpy(verified), alpha)

    assert mask.int().tolist() == expected_mask
    assert float(masked_mean(losses, mask)) == pytest.approx(expected)


def test_no_gradient_flows_through_the_threshold_or_into_masked_examples() -> None:
    losses = torch.tensor([1.0, 2.0, 5.0], requires_grad=True)
    masked_mean(losses, loss_mask(losses, torch.zeros(3, dtype=torch.bool), 0.8)).backward()
    assert losses.grad is not None
    assert torch.allclose(losses.grad, torch.tensor([1 / 3, 1 / 3, 0.0]))  # 5 is at its own maximum, which is above 0.8 of it


def test_verified_examples_count_however_large_their_loss() -> None:
    losses = torch.tensor([9.0, 1.0])
    assert loss_mask(losses, torch.tensor([True, False]), 0.8).tolist() == [True, True]


def test_scores_of_zero_give_a_finite_loss() -> None:
    loss = cross_entropy(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    assert torch.allclose(loss, torch.tensor([-np.log(1e-7)], dtype=torch.float32))


# The losses of 2019: each the mean over batch × classes

SEEDS = st.integers(0, 10_000)


def multi_hot(rng: np.random.Generator, batch: int, classes: int) -> np.ndarray:
    """No label, one or many; some targets mixed to parts of a label."""
    targets = (rng.random((batch, classes)) < 0.4) * rng.choice([1.0, 0.3], (batch, 1))
    targets[0] = 0
    return targets


@given(SEEDS, st.integers(1, 6), st.integers(2, 7), st.booleans(), st.sampled_from([1.0, 5.0, 300.0]))
def test_binary_cross_entropy_agrees_with_the_slow_code(seed: int, batch: int, classes: int, double: bool, size: float) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(0, size, (batch, classes)), multi_hot(rng, batch, classes)
    found = binary_cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets), double)
    expected = [reference.bce(x, t, double) for x, t in zip(logits.tolist(), targets.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


@given(SEEDS, st.integers(1, 6), st.integers(2, 7), st.sampled_from([1.0, 5.0, 300.0]))
def test_kl_divergence_agrees_with_the_slow_code(seed: int, batch: int, classes: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(0, size, (batch, classes)), multi_hot(rng, batch, classes)
    found = kl_divergence(torch.from_numpy(logits), torch.from_numpy(targets))
    expected = [reference.kl(x, t) for x, t in zip(logits.tolist(), targets.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


@given(SEEDS, st.integers(1, 6), st.integers(2, 7))
def test_squared_error_agrees_with_the_slow_code(seed: int, batch: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    scores, targets = rng.random((2, batch, classes))
    found = squared_error(torch.from_numpy(scores), torch.from_numpy(targets))
    assert found.tolist() == pytest.approx([reference.mse(y, t) for y, t in zip(scores.tolist(), targets.tolist(), strict=True)])


def test_losses_by_hand() -> None:
    """Three classes: the sums below are divided by 3."""
    one_hot, two_hot = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    even = torch.zeros(1, 3)
    assert binary_cross_entropy(even, two_hot).item() == pytest.approx(np.log(2))  # of each class, whatever its target
    assert kl_divergence(even, one_hot).item() == pytest.approx(np.log(3) / 3)
    assert kl_divergence(even, two_hot).item() == pytest.approx(2 * np.log(3) / 3)  # two labels do not share 1
    assert squared_error(torch.tensor([[0.5, 0.0, 0.1]]), one_hot).item() == pytest.approx((0.25 + 0.01) / 3)
    twice = binary_cross_entropy(even, one_hot, double_sigmoid=True).item()  # logits 0 → 0.5, taken for logits again
    assert twice == pytest.approx((np.log(1 + np.exp(-0.5)) + 2 * np.log(1 + np.exp(0.5))) / 3)


def test_a_clip_without_labels_teaches_a_sigmoid_silence_and_a_softmax_nothing() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5]], requires_grad=True)
    kl_divergence(logits, torch.zeros(1, 3)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0, 0, 0]]
    logits.grad = None
    binary_cross_entropy(logits, torch.zeros(1, 3)).sum().backward()
    assert torch.allclose(logits.grad, logits.detach().sigmoid() / 3)


@pytest.mark.parametrize("loss", [binary_cross_entropy, kl_divergence])
def test_logits_as_large_as_they_come_give_a_finite_loss_and_gradient(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    found = loss(logits, torch.tensor([[0.0, 1.0, 1.0]])).sum()
    found.backward()
    assert logits.grad is not None
    assert found.isfinite() and logits.grad.isfinite().all()


def test_gradients_of_a_masked_loss_are_those_of_the_examples_that_count_over_batch_and_classes() -> None:
    rng = np.random.default_rng(2)
    logits = torch.from_numpy(rng.normal(0, 3, (6, 4))).requires_grad_()
    targets = torch.from_numpy((rng.random((6, 4)) < 0.4).astype(np.float64))
    losses = binary_cross_entropy(logits, targets)
    mask = loss_mask(losses, torch.zeros(6, dtype=torch.bool), 0.6)
    assert 0 < int(mask.sum()) < 6
    masked_mean(losses, mask).backward()
    assert torch.allclose(logits.grad, (logits.detach().sigmoid() - targets) * mask[:, None] / (6 * 4))


def test_gradients_of_kl_are_those_of_its_definition() -> None:
    """d/dx_k of −Σ t·log softmax(x) is softmax_k·Σt − t_k: a clip with two labels pulls twice as hard."""
    rng = np.random.default_rng(3)
    logits = torch.from_numpy(rng.normal(0, 2, (5, 4))).requires_grad_()
    targets = torch.from_numpy(multi_hot(rng, 5, 4))
    masked_mean(kl_divergence(logits, targets), torch.ones(5, dtype=torch.bool)).backward()
    expected = logits.detach().softmax(dim=1) * targets.sum(dim=1, keepdim=True) - targets
    assert torch.allclose(logits.grad, expected / (5 * 4))
