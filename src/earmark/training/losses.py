"""Losses of the examples of a batch, and the mask that leaves examples out."""

import torch
from torch import Tensor

LOG_FLOOR = 1e-7  # the lowest score that the logarithm gets (Keras's epsilon)


def cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each example (Jeong & Lim, equation 4): C_n = −Σ_c t·log y.

    Args:
        scores: y, probabilities ``[B, K]``.
        targets: t, ``[B, K]``.

    Returns:
        ``[B]``, 0 and above.
    """
    return -(targets * scores.clamp(min=LOG_FLOOR).log()).sum(dim=1)


def binary_cross_entropy(logits: Tensor, targets: Tensor, double_sigmoid: bool = False) -> Tensor:
    """Binary cross-entropy of each example, the mean over its classes (Akiyama & Sato §3.5.1).

    Args:
        logits: ``[B, K]``.
        targets: ``[B, K]``, 0..1.
        double_sigmoid: take the sigmoid of the logits for the logits, as in the released code.

    Returns:
        ``[B]``.
    """
    if double_sigmoid:
        logits = logits.sigmoid()
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)


def kl_divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the softmax of each example to its targets, the mean over its classes (§3.5.2).

    The targets are not normalised: the targets of several labels do not add up to 1. t·log t is 0 for t = 0.

    Args:
        logits: ``[B, K]``.
        targets: ``[B, K]``, 0 and above.

    Returns:
        ``[B]``.
    """
    return (torch.xlogy(targets, targets) - targets * logits.log_softmax(dim=1)).mean(dim=1)


def squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    """Squared error of each example, the mean over its classes (Akiyama & Sato §2.2): ``[B, K]`` twice → ``[B]``."""
    return (scores - targets).square().mean(dim=1)


def loss_mask(losses: Tensor, verified: Tensor, alpha: float) -> Tensor:
    """Which examples of a batch are trained on (Jeong & Lim, equations 6 and 7).

    m_n = 1 if the label is verified or C_n < μ, with μ = alpha · max_n C_n over *this* batch. No gradient flows through μ.

    Args:
        losses: C, the loss of each example, ``[B]``.
        verified: whether the label of each example is verified, bool ``[B]``.
        alpha: above 0, at most 1.

    Returns:
        m, bool ``[B]``: False for an example that is left out.

    >>> import torch
    >>> loss_mask(torch.tensor([1.0, 5.0, 5.0]), torch.tensor([False, False, True]), 0.8)
    tensor([ True, False,  True])
    """
    threshold = alpha * losses.detach().max()
    return verified | (losses.detach() < threshold)


def masked_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """The loss of a batch: Σ m_n·C_n (equation 5) divided by B, the masked examples included, as Keras averages."""
    return (losses * mask).mean()
