"""Losses over a batch."""

from torch import Tensor

LOG_FLOOR = 1e-7  # scores are kept away from 0 by this (Keras's epsilon)


def cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each example (Jeong & Lim, equation 4): C_n = −Σ_c t·log y.

    Args:
        scores: probabilities ``[B, K]``.
        targets: ``[B, K]``.

    Returns:
        ``[B]``, 0 and above.
    """
    return -(targets * scores.clamp(min=LOG_FLOOR).log()).sum(dim=1)


def loss_mask(losses: Tensor, verified: Tensor, alpha: float) -> Tensor:
    """Which examples of a batch count (Jeong & Lim, equations 6 and 7).

    m_n = 1 where the label was verified or C_n < μ, μ = alpha · max_n C_n over *this* batch. No gradient flows through μ.

    Args:
        losses: C ``[B]``.
        verified: bool ``[B]``.
        alpha: above 0, at most 1.

    Returns:
        Bool ``[B]``.

    >>> import torch
    >>> loss_mask(torch.tensor([1.0, 5.0, 5.0]), torch.tensor([False, False, True]), 0.8)
    tensor([ True, False,  True])
    """
    threshold = alpha * losses.detach().max()
    return verified | (losses.detach() < threshold)


def masked_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """Equation (5), Σ m_n·C_n, over the batch's size: the masked examples count as zeros, as Keras averaged them."""
    return (losses * mask).mean()
