"""Which nets vote in an ensemble, and with what share: the only place that divides a member's weight among its nets."""

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.recipe import MemberSettings, Recipe, VoterSettings


@dataclass(frozen=True)
class Vote:
    """One net's scores on one view, as a part of an ensemble.

    Attributes:
        member: name of the net's member in the recipe.
        fold: the fold that the net was not trained on.
        weights: which weights of the net: ``best``, ``last``, or a snapshot's number.
        view: which version of the clips: ``whole``, ``padN`` or ``variedN``.
        share: weight of the vote in the ensemble's mean; all votes of a member have equal shares of the member's weight.
    """

    member: str
    fold: int
    weights: str
    view: str
    share: float


def ensemble_votes(recipe: Recipe, ensemble: str, members: Sequence[str], folds: Sequence[int]) -> list[Vote]:
    """The votes of an ensemble.

    Args:
        recipe: the whole recipe.
        ensemble: name of the ensemble.
        members: names of the members that vote; one that does not belong to the ensemble votes with the default settings.
        folds: the folds whose nets vote.
    """
    voters = recipe.voters(ensemble)
    return [vote for name in members for vote in member_votes(name, recipe.members[name], folds, voters.get(name, VoterSettings()))]


def member_votes(name: str, member: MemberSettings, folds: Sequence[int], voter: VoterSettings) -> list[Vote]:
    """The votes of one member's nets.

    Args:
        name: name of the member.
        member: settings of the member.
        folds: the folds whose nets vote.
        voter: with which weights and views each net votes, and the weight of all the votes together.
    """
    pairs = weights_and_views(member, voter)
    share = voter.weight / (len(folds) * len(pairs))
    return [Vote(name, fold, weights, view, share) for fold in folds for weights, view in pairs]


def weights_and_views(member: MemberSettings, voter: VoterSettings) -> list[tuple[str, str]]:
    """The pairs of weights and view with which each net of a member votes in an ensemble."""
    match voter.weights or ("snapshots" if voter.snapshots else member.validation.keep):
        case "snapshots":
            names = [str(number) for number in voter.snapshots] if voter.snapshots else member.snapshot_names
        case kept:
            names = [kept]
    return [(weights, view) for weights in names for view in voter.views or member.views]


def needed_scores(recipe: Recipe, member: str) -> list[tuple[str, str]]:
    """The pairs of weights and view that a member needs scores for: for its own figures, and for every ensemble."""
    settings = recipe.members[member]
    voters = [VoterSettings(), *(recipe.voters(name)[member] for name in recipe.ensembles if member in recipe.voters(name))]
    return list(dict.fromkeys(pair for voter in voters for pair in weights_and_views(settings, voter)))
