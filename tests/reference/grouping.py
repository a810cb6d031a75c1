"""Which clips are scored together, from the words of Akiyama & Sato §3.6 and the bounds of their released code."""

from collections.abc import Sequence


def groups_at(rate: float, lengths: Sequence[int], most: int, extra: int) -> list[list[int]]:
    """From the shortest on, a group takes clips until one is too long for its shortest, or the group would be too large."""
    found: list[list[int]] = []
    for clip in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if found:
            group = found[-1]
            alike = lengths[clip] <= lengths[group[0]] * (1 + rate)
            filled_up = (len(group) + 1) * (lengths[clip] + extra)
            if alike and filled_up <= most:
                group.append(clip)
                continue
        found.append([clip])
    return found


def groups(lengths: Sequence[int], patience: float, most: int, extra: int) -> list[list[int]]:
    """With the first rate of 0, 0.01, … that makes few enough groups, or the last that the patience allows."""
    hundredths = [n for n in range(101) if n <= round(100 * patience)]
    tried = [groups_at(n / 100, lengths, most, extra) for n in hundredths]
    few = [found for found in tried if len(found) <= 60 + len(lengths) / 55]
    return few[0] if few else tried[-1]
