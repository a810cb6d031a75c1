"""Losses of Akiyama & Sato §2.2 and §3.5, one example and one class at a time; each is an example's mean over its classes."""

import math


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


def bce(logits: list[float], targets: list[float], double_sigmoid: bool = False) -> float:
    total = 0.0
    for x, t in zip(logits, targets, strict=True):
        if double_sigmoid:
            x = math.exp(log_sigmoid(x))
        total -= t * log_sigmoid(x) + (1 - t) * log_sigmoid(-x)
    return total / len(logits)


def kl(logits: list[float], targets: list[float]) -> float:
    highest = max(logits)
    log_sum = highest + math.log(math.fsum(math.exp(x - highest) for x in logits))
    total = 0.0
    for x, t in zip(logits, targets, strict=True):
        if t > 0:
            total += t * (math.log(t) - (x - log_sum))
    return total / len(logits)


def mse(scores: list[float], targets: list[float]) -> float:
    return sum((y - t) ** 2 for y, t in zip(scores, targets, strict=True)) / len(scores)
