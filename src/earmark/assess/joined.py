"""Scores joined with their clips: a run's out-of-fold scores, by member and by ensemble."""

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
    """Clips together with their scores.

    Attributes:
        clips: N clips with their labels.
        scores: the scores of these clips, float32 ``[N, K]``.
    """

    clips: ClipTable
    scores: NDArray[np.float32]

    def chosen(self, mask: NDArray[np.bool_]) -> "Joined":
        """The clips that a mask, bool ``[N]``, selects, with their scores."""
        return Joined(self.clips[mask], self.scores[mask])

    @property
    def judgeable(self) -> "Joined":
        """The judgeable clips: those whose scores can be compared with labels."""
        return self.chosen(self.clips.judgeable)

    def estimates(self) -> dict[str, Estimate] | None:
        """The metrics over the judgeable clips, by name; None if no clip is judgeable."""
        judgeable = self.judgeable
        return estimates(judgeable.scores, judgeable.clips.positive, judgeable.clips.group) if len(judgeable.clips) else None


@dataclass(frozen=True)
class RunScores:
    """A run's out-of-fold scores.

    Attributes:
        members: for each finished member, the mean of its scores over its kept weights and its views.
        ensembles: for each ensemble that can be scored, its combined scores; the run's own ensemble comes first.
        votes: the votes of each of those ensembles.
    """

    members: dict[str, Joined]
    ensembles: dict[str, Joined]
    votes: dict[str, list[Vote]]

    @property
    def main(self) -> Joined:
        """The scores of the run's own ensemble."""
        return next(iter(self.ensembles.values()))


def out_of_fold(run: Run, clips: ClipTable) -> RunScores:
    """A run's out-of-fold scores with their clips. An ensemble has the clips that all its members have scores for.

    Args:
        run: the run.
        clips: all clips of the store that the run was trained on.

    Raises:
        RunError: no net is finished, scores that an ensemble needs are missing, or the clips are those of another store.
    """
    labels, blocks = run.predictions()
    if not all(np.isin(block.clip_id, clips.clip_id).all() for member_blocks in blocks.values() for block in member_blocks):
        raise RunError(f"{run.path}: its clips are not those of the store; it was trained on another one")
    if labels != clips.labels:
        raise RunError(f"{run.path}: its classes are not those of the store; it was trained on other labels")
    recipe, votes = run.recipe, run.votes()
    rule = next(iter(recipe.ensembles.values())).rule
    finished = run.finished()
    members = {
        name: _combined(run, clips, member_blocks, member_votes(name, recipe.members[name], finished[name], VoterSettings()), rule)
        for name, member_blocks in blocks.items()
    }
    all_blocks = [block for member_blocks in blocks.values() for block in member_blocks]
    ensembles = {
        name: _combined(run, clips, all_blocks, ensemble_votes, recipe.ensembles[name].rule)
        for name, ensemble_votes in votes.items()
    }
    return RunScores(members, ensembles, votes)


def _combined(run: Run, clips: ClipTable, blocks: Sequence[Block], votes: Sequence[Vote], rule: str) -> Joined:
    """The votes' scores combined to one score of each clip.

    A member's nets of all folds, with the same weights and view, are one voter here: each clip has scores from the net of its fold.
    """
    shares: dict[tuple[str, str, str], float] = {}
    for vote in votes:
        key = (vote.member, vote.weights, vote.view)
        shares[key] = shares.get(key, 0.0) + vote.share
    voting = {(vote.member, vote.fold, vote.weights, vote.view) for vote in votes}
    blocks_by_key: dict[tuple[str, str, str], list[Block]] = {key: [] for key in shares}
    for block in blocks:
        if (block.member, block.fold, block.weights, block.view) in voting:
            blocks_by_key[block.member, block.weights, block.view].append(block)
    # A net whose fold holds no clip out has no scores at all; that nothing can be scored is no fault.
    scored = {block.member for block in blocks}
    if missing := [" ".join(key) for key, key_blocks in blocks_by_key.items() if not key_blocks and key[0] in scored]:
        raise RunError(f"{run.path}: no scores of {', '.join(missing)} yet; `earmark evaluate {run.path}` makes them")
    order = np.argsort(clips.clip_id)
    scores_by_key, has_all_scores = [], np.ones(len(clips), np.bool_)
    for key_blocks in blocks_by_key.values():
        scores, has_scores = np.zeros((len(clips), len(clips.labels)), np.float32), np.zeros(len(clips), np.bool_)
        for block in key_blocks:
            rows = order[np.searchsorted(clips.clip_id, block.clip_id, sorter=order)]
            scores[rows], has_scores[rows] = block.scores, True
        scores_by_key.append(scores)
        has_all_scores &= has_scores
    if not has_all_scores.any() and all(blocks_by_key.values()):
        raise RunError(f"{run.path}: its members share no clip; train the same folds of each")
    combined = combine((scores[has_all_scores] for scores in scores_by_key), list(shares.values()), rule)
    return Joined(clips[has_all_scores], combined)
