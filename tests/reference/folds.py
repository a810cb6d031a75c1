"""The greedy assignment of groups to folds, with nothing remembered between two groups: everything is counted anew."""

from earmark.data.manifest import Clip


def strata(clip: Clip) -> list[tuple[str, bool]]:
    return [(label, clip.verified) for label in clip.labels] if clip.labels else [("", clip.verified)]


def assign(clips: list[Clip], folds: list[int], order: list[str]) -> dict[str, int]:
    """Fold by group; ``order`` is the order in which the groups choose."""
    home: dict[str, int] = {}

    def clips_in(fold: int) -> list[Clip]:
        return [clip for clip in clips if home.get(clip.group) == fold]

    for group in order:
        crowding = {}
        for fold in folds:
            total = 0.0
            for clip in clips:
                if clip.group != group:
                    continue
                for stratum in strata(clip):
                    there = sum(strata(other).count(stratum) for other in clips_in(fold))
                    everywhere = sum(strata(other).count(stratum) for other in clips)
                    total += there / everywhere
            crowding[fold] = round(total, 9)
        home[group] = min(folds, key=lambda fold: (crowding[fold], len(clips_in(fold)), fold))
    return home
