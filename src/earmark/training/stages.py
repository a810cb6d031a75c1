"""The graph of a run: stages (nets and pseudo labels), each with the stages that must be made before it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from earmark.recipe import Recipe
from earmark.training.splits import PARTS, learns_from_unverified


@dataclass(frozen=True)
class Stage:
    """A node of the run's graph.

    Attributes:
        kind: ``net`` (a member's net for one fold), ``pseudo`` (pseudo labels of unverified clips) or ``agreement`` (what their given
            labels probably should be).
        name: name of the member, of the pseudo labels or of the agreement.
        fold: the fold that the stage is for; None for pseudo labels that all folds share.
        needs: stages that must be made before this one.
        part: of a net that judges a part of the labels: that part, which it is not trained on; see `splits.parts`.
    """

    kind: Literal["net", "pseudo", "agreement"]
    name: str
    fold: int | None
    needs: tuple["Stage", ...]
    part: int | None = None

    @property
    def title(self) -> str:
        """The stage's name for people: ``A fold 2``, ``A fold 2 part 3``, ``pseudo labels of-A``."""
        fold = "" if self.fold is None else f" fold {self.fold}"
        part = "" if self.part is None else f" part {self.part}"
        return {"net": "", "pseudo": "pseudo labels ", "agreement": "agreement "}[self.kind] + f"{self.name}{fold}{part}"


def plan_stages(
    recipe: Recipe,
    members: Sequence[str],
    folds: Sequence[int],
    all_folds: Sequence[int],
    verified_suffice: bool = True,
    unverified_labels: bool = True,
) -> list[Stage]:
    """The stages that make the nets of these members and folds, in an order in which they can be made.

    A net that starts from another member's weights takes those of the same fold, and pseudo labels for one fold come from nets
    of that fold, so that none of these nets is trained on the fold's validation clips. Pseudo labels with ``folds: all`` need the
    member's nets of all folds.

    An agreement for one fold judges the labels of the other folds' clips. Where its member learns from such labels, the clips have
    parts, and a net of its own judges each part, trained without it.

    Args:
        recipe: the recipe.
        members: names of the members to train.
        folds: numbers of the folds to train.
        all_folds: numbers of all folds of the data.
        verified_suffice: whether members with ``clips: trusted`` learn from the verified clips alone; see `splits.verified_suffice`.
        unverified_labels: whether the data has any; else an agreement has nothing to judge, and needs no nets.
    """
    stages: dict[tuple[str, str, int | None, int | None], Stage] = {}

    def net(name: str, fold: int, part: int | None = None) -> Stage:
        if (key := ("net", name, fold, part)) not in stages:
            member = recipe.members[name]
            needs = [net(member.start_from, fold, part)] if member.start_from else []
            if member.soft:
                needs.append(pseudo(member.soft.labels, fold))
            if member.agreement:
                needs.append(agreement(member.agreement, fold))
            stages[key] = Stage("net", name, fold, tuple(needs), part)
        return stages[key]

    def agreement(name: str, fold: int) -> Stage:
        if (key := ("agreement", name, fold, None)) not in stages:
            member = recipe.agreements[name].member
            if not unverified_labels:
                needs = []
            elif learns_from_unverified(recipe.members[member], verified_suffice):
                needs = [net(member, fold, part) for part in range(PARTS)]
            else:
                needs = [net(member, fold)]
            stages[key] = Stage("agreement", name, fold, tuple(needs))
        return stages[key]

    def pseudo(name: str, fold: int) -> Stage:
        settings = recipe.pseudo_labels[name]
        for_fold = fold if settings.folds == "same" else None
        if (key := ("pseudo", name, for_fold, None)) not in stages:
            net_folds: Iterable[int] = [fold] if settings.folds == "same" else all_folds
            stages[key] = Stage("pseudo", name, for_fold, tuple(net(settings.member, net_fold) for net_fold in net_folds))
        return stages[key]

    for name in members:
        for fold in folds:
            net(name, fold)
    return list(stages.values())  # a stage is added after the stages that it needs
