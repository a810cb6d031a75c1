"""Who votes in an ensemble, and with what share: the one place where a member's weight is shared out."""

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.recipe import MemberSettings, Recipe, VoterSettings


@dataclass(frozen=True)
class Vote:
    """The scores of one net on one view, in an ensemble.

    Attributes:
        member: the recipe's.
        fold: that the net did not see.
        weights: of the net: ``best``, ``last``, or a snapshot's number.
        view: ``whole`` or ``padN``.
        share: how much it counts beside the others: a member's weight is shared equally by its folds, weights and views.
    """

    member: str
    fold: int
    weights: str
    view: str
    share: float


def ensemble_votes(recipe: Recipe, ensemble: str, members: Sequence[str], folds: Sequence[int]) -> list[Vote]:
    """The votes of an ensemble.

    Args:
        recipe: complete.
        ensemble: its name.
        members: those of its members that take part; names of others vote as members of no ensemble do, with weight 1.
        folds: whose nets take part.
    """
    voters = recipe.voters(ensemble)
    return [vote for name in members for vote in member_votes(name, recipe.members[name], folds, voters.get(name, VoterSettings()))]


def member_votes(name: str, member: MemberSettings, folds: Sequence[int], voter: VoterSettings) -> list[Vote]:
    """The votes of a member by itself.

    Args:
        name: of the member.
        member: its settings.
        folds: whose nets take part.
        voter: which of their weights and views do, and with what weight together.
    """
    ways = ways_to_score(member, voter)
    share = voter.weight / (len(folds) * len(ways))
    return [Vote(name, fold, weights, view, share) for fold in folds for weights, view in ways]


def ways_to_score(member: MemberSettings, voter: VoterSettings) -> list[tuple[str, str]]:
    """The weights and views that a member votes with in an ensemble."""
    match voter.weights or ("snapshots" if voter.snapshots else member.validation.keep):
        case "snapshots":
            names = [str(number) for number in voter.snapshots] if voter.snapshots else member.snapshot_names
        case kept:
            names = [kept]
    return [(weights, view) for weights in names for view in voter.views or member.views]


def needed_scores(recipe: Recipe, member: str) -> list[tuple[str, str]]:
    """All weights and views of a member that there must be scores of: for its own figures, and for every ensemble."""
    settings = recipe.members[member]
    voters = [VoterSettings(), *(recipe.voters(name)[member] for name in recipe.ensembles if member in recipe.voters(name))]
    return list(dict.fromkeys(way for voter in voters for way in ways_to_score(settings, voter)))
