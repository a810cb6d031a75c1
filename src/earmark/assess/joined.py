"""Scores joined with the clips that they are of: a run's out-of-fold scores, by member and by ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earmark.assess.metrics import Estimate, estimates
from earmark.data.table import ClipTable
from earmark.errors import RunError
from earmark.recipe import VoterSettings
from earmark.runs.predictions import Block
from earmark.runs.run import Run
from earmark.runs.votes import Vote, member_votes
from earmark.scoring.ensemble import combine


@dataclass(frozen=True)
class Joined:
    """Clips with scores and the labels to hold them against.

    Attributes:
        clips: N clips.
        scores: float32 ``[N, K]``.
    """

    clips: ClipTable
    scores: NDArray[np.float32]

    def chosen(self, mask: NDArray[np.bool_]) -> "Joined":
        """The clips that a mask chooses."""
        return Joined(self.clips[mask], self.scores[mask])

    @property
    def judgeable(self) -> "Joined":
        """The clips that have labels to hold their scores against."""
        return self.chosen(self.clips.judgeable)

    def estimates(self) -> dict[str, Estimate] | None:
        """The metrics over the judgeable clips; None where there are none."""
        usable = self.judgeable
        return estimates(usable.scores, usable.clips.positive, usable.clips.group) if len(usable.clips) else None


@dataclass(frozen=True)
class RunScores:
    """A run's out-of-fold scores.

    Attributes:
        members: of each finished member: the mean over its kept weights and its views.
        ensembles: of each ensemble that there are scores for, the run's own first.
        votes: of each of those ensembles.
    """

    members: dict[str, Joined]
    ensembles: dict[str, Joined]
    votes: dict[str, list[Vote]]

    @property
    def main(self) -> Joined:
        """The run's own ensemble."""
        return next(iter(self.ensembles.values()))


def out_of_fold(run: Run, clips: ClipTable) -> RunScores:
    """A run's out-of-fold scores with their clips. An ensemble covers the clips that all its members have scores for.

    Raises:
        RunError: nothing is finished, scores that an ensemble needs are missing, or the store is not the one that the run was
            trained on.
    """
    labels, blocks = run.predictions()
    if not all(np.isin(block.clip_id, clips.clip_id).all() for of_member in blocks.values() for block in of_member):
        raise RunError(f"{run.path}: its clips are not those of the store; it was trained on another one")
    if labels != clips.labels:
        raise RunError(f"{run.path}: its classes are not those of the store; it was trained on other labels")
    recipe, votes = run.recipe, run.votes()
    rule = next(iter(recipe.ensembles.values())).rule
    finished = run.finished()
    members = {
        name: _combined(run, clips, of_member, member_votes(name, recipe.members[name], finished[name], VoterSettings()), rule)
        for name, of_member in blocks.items()
    }
    every = [block for of_member in blocks.values() for block in of_member]
    ensembles = {name: _combined(run, clips, every, own, recipe.ensembles[name].rule) for name, own in votes.items()}
    return RunScores(members, ensembles, votes)


def _combined(run: Run, clips: ClipTable, blocks: Sequence[Block], votes: Sequence[Vote], rule: str) -> Joined:
    """The votes' scores as one. Of a member's nets that voted with the same weights and view, a clip has the score of its fold's."""
    shares: dict[tuple[str, str, str], float] = {}
    for vote in votes:
        key = (vote.member, vote.weights, vote.view)
        shares[key] = shares.get(key, 0.0) + vote.share
    wanted = {(vote.member, vote.fold, vote.weights, vote.view) for vote in votes}
    of_key: dict[tuple[str, str, str], list[Block]] = {key: [] for key in shares}
    for block in blocks:
        if (block.member, block.fold, block.weights, block.view) in wanted:
            of_key[block.member, block.weights, block.view].append(block)
    if missing := [" ".join(key) for key, own in of_key.items() if not own]:
        raise RunError(f"{run.path}: no scores of {', '.join(missing)} yet; `earmark evaluate {run.path}` makes them")
    order = np.argsort(clips.clip_id)
    columns, covered = [], np.ones(len(clips), np.bool_)
    for own in of_key.values():
        scores, present = np.zeros((len(clips), len(clips.labels)), np.float32), np.zeros(len(clips), np.bool_)
        for block in own:
            place = order[np.searchsorted(clips.clip_id, block.clip_id, sorter=order)]
            scores[place], present[place] = block.scores, True
        columns.append(scores)
        covered &= present
    if not covered.any():
        raise RunError(f"{run.path}: its members share no clip; train the same folds of each")
    return Joined(clips[covered], combine((scores[covered] for scores in columns), list(shares.values()), rule))
