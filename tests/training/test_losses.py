import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earmark.training.losses import cross_entropy, loss_mask, masked_mean
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
