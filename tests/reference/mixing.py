"""Windows and mixing of Jeong & Lim §3.1, one sample at a time."""


def window(clip: list[float], length: int, position: float) -> list[float]:
    """A cut of a longer clip, or a shorter one among zeros; ``position`` in [0, 1) says where."""
    place = int(position * (abs(len(clip) - length) + 1))
    if len(clip) >= length:
        return [clip[place + t] for t in range(length)]
    return [clip[t - place] if 0 <= t - place < len(clip) else 0.0 for t in range(length)]


def mix(first: list[float], second: list[float], share: float, gain: float) -> list[float]:
    """Equation (2)."""
    peak_first = max(abs(x) for x in first) or 1.0
    peak_second = max(abs(x) for x in second) or 1.0
    return [gain * share * a / peak_first + gain * (1 - share) * b / peak_second for a, b in zip(first, second, strict=True)]
