"""The graph of a run: stages (nets and pseudo labels), each with the stages that must be made before it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from earmark.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """A node of the run's graph.

    Attributes:
        kind: ``net`` (a member's net for one fold) or ``pseudo`` (pseudo labels of unverified clips).
        name: name of the member, or of the pseudo labels.
        fold: the fold that the stage is for; None for pseudo labels that all folds share.
        needs: stages that must be made before this one.
    """

    kind: Literal["net", "pseudo"]
    name: str
    fold: int | None
    needs: tuple["Stage", ...]

    @property
    def title(self) -> str:
        """The stage's name for people: ``A fold 2``, ``pseudo labels of-A``."""
        fold = "" if self.fold is None else f" fold {self.fold}"
        return f"{'pseudo labels ' if self.kind == 'pseudo' else ''}{self.name}{fold}"


def plan_stages(recipe: Recipe, members: Sequence[str], folds: Sequence[int], all_folds: Sequence[int]) -> list[Stage]:
    """The stages that make the nets of these members and folds, in an order in which they can be made.

    A net that starts from another member's weights takes those of the same fold, and pseudo labels for one fold come from nets
    of that fold, so that none of these nets is trained on the fold's validation clips. Pseudo labels with ``folds: all`` need the
    member's nets of all folds.

    Args:
        recipe: the recipe.
        members: names of the members to train.
        folds: numbers of the folds to train.
        all_folds: numbers of all folds of the data.
    """
    stages: dict[tuple[str, str, int | None], Stage] = {}

    def net(name: str, fold: int) -> Stage:
        if (key := ("net", name, fold)) not in stages:
            member = recipe.members[name]
            needs = [net(member.start_from, fold)] if member.start_from else []
            if member.soft:
                needs.append(pseudo(member.soft.labels, fold))
            stages[key] = Stage("net", name, fold, tuple(needs))
        return stages[key]

    def pseudo(name: str, fold: int) -> Stage:
        settings = recipe.pseudo_labels[name]
        for_fold = fold if settings.folds == "same" else None
        if (key := ("pseudo", name, for_fold)) not in stages:
            net_folds: Iterable[int] = [fold] if settings.folds == "same" else all_folds
            stages[key] = Stage("pseudo", name, for_fold, tuple(net(settings.member, net_fold) for net_fold in net_folds))
        return stages[key]

    for name in members:
        for fold in folds:
            net(name, fold)
    return list(stages.values())  # a stage is added after the stages that it needs
