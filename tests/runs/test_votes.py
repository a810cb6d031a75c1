"""Who votes in an ensemble, with what share: counted by hand from the papers, and added up for any settings."""

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.recipe import Recipe, VoterSettings, load_recipe
from earmark.runs.votes import Vote, ensemble_votes, member_votes, needed_scores, weights_and_views

FIVE = range(5)
PAPER = load_recipe("akiyama2019")
TWO_VIEWS = load_recipe("akiyama2019", ["members.A.views=[pad4, whole]"]).members["A"]


def all_votes(recipe: Recipe, ensemble: str) -> list[Vote]:
    return ensemble_votes(recipe, ensemble, list(recipe.voters(ensemble)), FIVE)


@st.composite
def voters(draw: st.DrawFn) -> VoterSettings:
    """Any part that model A, which takes eight snapshots, can have in an ensemble."""
    numbers = draw(st.none() | st.lists(st.integers(1, 8), min_size=1, max_size=8, unique=True))
    weights = draw(st.sampled_from([None, "snapshots"] if numbers else [None, "best", "last", "snapshots"]))
    views = draw(st.none() | st.lists(st.sampled_from(["whole", "pad8", "pad32", "pad64"]), min_size=1, unique=True))
    return VoterSettings(weight=draw(st.floats(0.01, 100)), weights=weights, snapshots=numbers, views=views)


@given(voters(), st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_a_members_weight_is_shared_equally_by_its_folds_weights_and_views(voter: VoterSettings, folds: list[int]) -> None:
    votes = member_votes("A", TWO_VIEWS, folds, voter)
    weights = {"best": 1, "last": 1}.get(voter.weights or "", len(voter.snapshots or range(8)))
    assert len(votes) == len(folds) * weights * len(voter.views or ("pad4", "whole"))
    assert sum(vote.share for vote in votes) == pytest.approx(voter.weight)
    assert len({vote.share for vote in votes}) == 1
    assert len({(vote.fold, vote.weights, vote.view) for vote in votes}) == len(votes)  # nobody votes twice
    assert Counter(vote.fold for vote in votes) == dict.fromkeys(folds, len(votes) // len(folds))


@pytest.mark.parametrize(
    ("keep", "voter", "ways"),
    [
        ("snapshots", {}, [(n, view) for n in "12345678" for view in ("pad4", "whole")]),
        ("best", {}, [("best", "pad4"), ("best", "whole")]),
        ("last", {}, [("last", "pad4"), ("last", "whole")]),
        ("snapshots", {"weights": "best", "views": ["whole"]}, [("best", "whole")]),
        ("snapshots", {"weights": "last", "views": ["whole"]}, [("last", "whole")]),
        ("best", {"weights": "snapshots", "views": ["pad8"]}, [(n, "pad8") for n in "12345678"]),
        ("last", {"snapshots": [7, 2], "views": ["pad8", "pad32"]}, [("7", "pad8"), ("7", "pad32"), ("2", "pad8"), ("2", "pad32")]),
        ("best", {"weights": "snapshots", "snapshots": [8]}, [("8", "pad4"), ("8", "whole")]),
    ],
)
def test_an_ensemble_says_which_weights_and_views_and_else_the_member_does(
    keep: str, voter: dict[str, Any], ways: list[tuple[str, str]]
) -> None:
    kept = TWO_VIEWS.validation.model_copy(update={"keep": keep})
    member = TWO_VIEWS.model_copy(update={"validation": kept})
    assert weights_and_views(member, VoterSettings(**voter)) == ways


def test_an_ensemble_that_names_no_members_is_of_all_with_weight_1() -> None:
    recipe = load_recipe("cochlear2018", ["ensembles={all: {}}"])
    votes = ensemble_votes(recipe, "all", list(recipe.voters("all")), [0, 3])
    assert votes == [Vote(name, fold, "best", "whole", 0.5) for name in recipe.members for fold in (0, 3)]
    assert len(votes) == 12


def test_a_member_that_an_ensemble_does_not_name_votes_as_it_would_by_itself() -> None:
    """So it is where none of a run's own ensemble is finished, but another member is."""
    votes = ensemble_votes(PAPER, "submission1", ["row3", "F"], [2])
    assert votes[0] == Vote("row3", 2, "best", "whole", 1.0)
    assert [(vote.member, vote.weights, vote.view) for vote in votes[1:]] == [
        ("F", n, view) for n in "79" for view in ("pad8000", "pad32000")
    ]


def test_the_shares_of_the_2018_ensemble_are_as_1_and_a_half_to_1() -> None:
    """Section 3.4: 30 nets, of which those on log-mel weigh 1.5."""
    recipe = load_recipe("cochlear2018")
    votes = all_votes(recipe, "all")
    assert len(votes) == 30
    assert {(vote.member.split("-")[0], vote.weights, vote.view, round(vote.share, 9)) for vote in votes} == {
        ("logmel", "best", "whole", 0.3),
        ("waveform", "best", "whole", 0.2),
    }
    assert Counter((vote.member, vote.fold) for vote in votes) == Counter((name, fold) for name in recipe.members for fold in FIVE)
    # The other cells of table 1: 5 nets of a rate and kind, 10 of a rate, 15 of a kind.
    counts = Counter(len(all_votes(recipe, name)) for name in recipe.ensembles)
    assert counts == {30: 1, 5: 6, 10: 3, 15: 2}


@pytest.mark.parametrize(("ensemble", "predictions"), [("submission1", 170), ("submission2", 95), ("leak-free", 170)])
def test_the_submissions_of_2019_have_the_papers_predictions_and_weights(ensemble: str, predictions: int) -> None:
    """Section 3.6: A : B : C : D : E : F = 3 : 4 : 3 : 1 : 1 : 1."""
    votes = all_votes(PAPER, ensemble)
    assert len(votes) == predictions
    weight: dict[str, float] = defaultdict(float)
    for vote in votes:
        weight[vote.member] += vote.share
    second = "row6" if ensemble == "leak-free" else "B"
    assert weight == pytest.approx({"A": 3, second: 4, "C": 3, "D": 1, "E": 1, "F": 1})


@pytest.mark.parametrize(
    ("ensemble", "predictions"),
    [  # of five folds: rows of tables 1 and 2 are of one file of weights each; table 3's are cycles × two paddings
        ("table1-1", 5),
        ("table2-8", 5),
        ("table3-1", 8 * 2 * 5),
        ("table3-2", 7 * 2 * 5),
        ("table3-6", 6 * 2 * 5),
        ("table3-7", (8 + 6) * 2 * 5),
        ("table3-8", (8 + 7 + 6) * 2 * 5),
        ("table3-9", (3 + 5 + 6) * 2 * 5),
    ],
)
def test_the_rows_of_the_tables_have_the_papers_predictions(ensemble: str, predictions: int) -> None:
    assert len(all_votes(PAPER, ensemble)) == predictions


def ways(weights: str, *views: str) -> set[tuple[str, str]]:
    return {(number, view) for number in weights for view in views}


@pytest.mark.parametrize(
    ("member", "needed"),
    [
        ("row2", {("best", "whole")}),  # its own figure and table 1's are of the same scores
        ("row8", {("last", "whole")}),
        # A: its own figure, the submissions, tables 1 and 3.
        ("A", ways("12345678", "whole", "pad8", "pad32") | ways("2478", "pad64") | {("best", "whole")}),
        ("D", ways("123", "whole", "pad8000", "pad32000") | {("best", "whole")}),
        ("row6", ways("1234567", "whole") | ways("1267", "pad8", "pad64") | {("best", "whole")}),
    ],
)
def test_a_member_is_scored_in_every_way_that_anything_needs_and_in_each_once(member: str, needed: set[tuple[str, str]]) -> None:
    scored = needed_scores(PAPER, member)
    assert set(scored) == needed
    assert len(scored) == len(needed)
