"""Jeong & Lim, equations (3)–(7), one example at a time."""

import math


def masked_loss(
    scores: list[list[float]], targets: list[list[float]], verified: list[bool], alpha: float
) -> tuple[float, list[int]]:
    losses = []
    for y, t in zip(scores, targets, strict=True):
        losses.append(-sum(t_c * math.log(max(y_c, 1e-7)) for y_c, t_c in zip(y, t, strict=True)))
    threshold = alpha * max(losses)
    mask = []
    for loss, checked in zip(losses, verified, strict=True):
        if checked or loss < threshold:
            mask.append(1)
        else:
            mask.append(0)
    return sum(m * c for m, c in zip(mask, losses, strict=True)) / len(losses), mask
