"""The graph of a run: nets and pseudo labels, each with what must be there before it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from earmark.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """One thing that a run makes.

    Attributes:
        kind: ``net`` (a member on a fold) or ``pseudo`` (labels guessed for unverified clips).
        name: the member's, or the pseudo labels'.
        fold: that it is for; None for pseudo labels that all folds share.
        needs: the stages that come before it.
    """

    kind: Literal["net", "pseudo"]
    name: str
    fold: int | None
    needs: tuple["Stage", ...]

    @property
    def title(self) -> str:
        """For people: ``A fold 2``, ``pseudo labels of-A``."""
        of_fold = "" if self.fold is None else f" fold {self.fold}"
        return f"{'pseudo labels ' if self.kind == 'pseudo' else ''}{self.name}{of_fold}"


def plan_stages(recipe: Recipe, members: Sequence[str], folds: Sequence[int], all_folds: Sequence[int]) -> list[Stage]:
    """The stages of members on folds, with everything that they need, in an order in which they can be made.

    A net that starts from another member's weights takes those of the same fold, and pseudo labels for one fold come from nets
    of that fold: neither ever saw the fold's validation clips. Pseudo labels of ``folds: all`` need that member on every fold.

    Args:
        recipe: its members' needs have no circle.
        members: asked for.
        folds: asked for.
        all_folds: of the data.
    """
    found: dict[tuple[str, str, int | None], Stage] = {}

    def net(name: str, fold: int) -> Stage:
        if (key := ("net", name, fold)) not in found:
            member = recipe.members[name]
            needs = [net(member.start_from, fold)] if member.start_from else []
            if member.soft:
                needs.append(pseudo(member.soft.labels, fold))
            found[key] = Stage("net", name, fold, tuple(needs))
        return found[key]

    def pseudo(name: str, fold: int) -> Stage:
        settings = recipe.pseudo_labels[name]
        for_fold = fold if settings.folds == "same" else None
        if (key := ("pseudo", name, for_fold)) not in found:
            sources: Iterable[int] = [fold] if settings.folds == "same" else all_folds
            found[key] = Stage("pseudo", name, for_fold, tuple(net(settings.member, source) for source in sources))
        return found[key]

    for name in members:
        for fold in folds:
            net(name, fold)
    return list(found.values())  # a stage is put in only after what it needs
