"""The description of a data set for people."""

from collections import Counter

from earmark.data.manifest import MADE_FOLDS, Manifest
from earmark.errors import one_line


def describe(manifest: Manifest) -> list[str]:
    """Lines about a data set for people: numbers of clips, verified clips, classes, recordings, folds and test clips; notes."""
    train = [clip for clip in manifest.clips if clip.split == "train"]
    test = [clip for clip in manifest.clips if clip.split == "test"]
    published = sorted({clip.fold for clip in train if clip.fold is not None})
    named = ", ".join(map(str, published)) if len(published) <= 20 else f"{published[0]}–{published[-1]}, {len(published):,} in all"
    folds = f"published folds {named}" if published else f"{MADE_FOLDS} folds made"
    unlabelled = sum(not clip.labels and not clip.verified for clip in train)
    lines = [
        f"{manifest.source}: {len(train):,} train clips, {sum(clip.verified for clip in train):,} verified, "
        f"{len(manifest.labels)} classes, {len({clip.group for clip in train}):,} recordings, {folds}"
    ]
    if unlabelled:
        lines.append(f"{unlabelled:,} train clips are unlabelled")
    if test:
        usage = Counter(one_line(str(clip.extra.get("usage", ""))) for clip in test)
        by_usage = ", ".join(f"{name} {count:,}" for name, count in sorted(usage.items())) if set(usage) != {""} else ""
        lines.append(
            f"{len(test):,} test rows, {sum(clip.scored for clip in test):,} of them scored"
            + (f" ({by_usage})" if by_usage else "")
        )
    return [*lines, *manifest.notes]
