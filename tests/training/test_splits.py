"""What may train where: every mask against a loop over clips, written from the words of the contract."""

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.manifest import NO_FOLD
from earmark.data.table import ClipTable
from earmark.errors import EarmarkWarning, RunError
from earmark.labels import LabelSet
from earmark.recipe import MemberSettings, Recipe, load_recipe
from earmark.training import splits

OTHER_FOLDS, EVERYWHERE = load_recipe("akiyama2019", ["unverified=other_folds"]), load_recipe("akiyama2019")
# By what they are taught: verified clips; those and unverified ones as a second task; those and pseudo labels; all labelled ones.
MEMBERS = {name: EVERYWHERE.members[name] for name in ("row1", "A", "row6")} | {
    "2018": load_recipe("cochlear2018").members["logmel-16k"]
}
LABELS = LabelSet(("x", "y"))


@dataclass(frozen=True)
class Clip:
    """One row, in words."""

    labels: str  # of "xy"
    verified: bool
    fold: int | None  # None: of the test split
    recording: str
    scored: bool = True

    @property
    def unlabelled(self) -> bool:
        """It has no label; who checked it and gave it none said *none of these*, which is a label, too."""
        return not self.labels and not self.verified


def table_of(clips: list[Clip]) -> ClipTable:
    return ClipTable(
        labels=LABELS,
        clip_id=np.array([str(number) for number in range(len(clips))]),
        positive=np.array([[name in clip.labels for name in "xy"] for clip in clips], bool).reshape(-1, 2),
        verified=np.array([clip.verified for clip in clips], bool),
        fold=np.array([NO_FOLD if clip.fold is None else clip.fold for clip in clips], np.int64),
        test=np.array([clip.fold is None for clip in clips], bool),
        scored=np.array([clip.scored for clip in clips], bool),
        group=np.array([clip.recording for clip in clips], np.str_),
        usage=np.array([""] * len(clips), np.str_),
    )


CLIPS = st.lists(
    st.builds(Clip, st.sampled_from(["", "x", "y", "xy"]), st.booleans(), st.sampled_from([None, 0, 1, 2]), st.sampled_from("abcde"), st.booleans()),
    min_size=1, max_size=12,
)  # fmt: skip
FOLDS = st.sampled_from([0, 1, 2])
RECIPES = st.sampled_from([OTHER_FOLDS, EVERYWHERE])


def may_train(clip: Clip, fold: int | None, recipe: Recipe, clips: list[Clip]) -> bool:
    if clip.fold is None:
        return False
    if fold is None or clip.fold != fold:
        return True
    judged = any(other.verified and other.fold == fold and other.recording == clip.recording for other in clips)
    return recipe.unverified == "all" and not clip.verified and not judged


def teaches(clip: Clip, member: MemberSettings) -> bool:
    """By any of the member's tasks."""
    first = clip.verified or (member.clips == "labelled" and not clip.unlabelled)
    return first or bool(member.noisy and not clip.unlabelled) or bool(member.soft)


def chosen(mask: np.ndarray) -> list[int]:
    assert mask.dtype == bool
    return np.flatnonzero(mask).tolist()


@given(CLIPS, FOLDS | st.none(), RECIPES)
def test_clips_of_other_folds_may_train_and_unverified_ones_of_recordings_that_are_not_judged(
    clips: list[Clip], fold: int | None, recipe: Recipe
) -> None:
    allowed = [i for i, clip in enumerate(clips) if may_train(clip, fold, recipe, clips)]
    assert chosen(splits.allowed(table_of(clips), fold, recipe)) == allowed
    assert chosen(splits.unverified(table_of(clips), fold, recipe)) == [i for i in allowed if not clips[i].verified]


@given(CLIPS, FOLDS, RECIPES, st.sampled_from(list(MEMBERS)))
def test_each_task_takes_its_own_of_the_clips_that_may_train(clips: list[Clip], fold: int, recipe: Recipe, name: str) -> None:
    table, member = table_of(clips), MEMBERS[name]
    labelled = [i for i, clip in enumerate(clips) if may_train(clip, fold, recipe, clips) and not clip.unlabelled]
    assert chosen(splits.labelled(table, fold, recipe)) == labelled
    first = [i for i in labelled if clips[i].verified or name == "2018"]
    assert chosen(splits.first_task(table, fold, recipe, member)) == first
    assert chosen(splits.noisy_task(table, fold, recipe)) == [i for i in labelled if not clips[i].verified]


@given(CLIPS, FOLDS)
def test_a_net_is_validated_on_verified_clips_of_its_fold_with_labels_that_may_be_judged(clips: list[Clip], fold: int) -> None:
    judged = [i for i, clip in enumerate(clips) if clip.fold == fold and clip.verified and clip.labels and clip.scored]
    assert chosen(splits.validation(table_of(clips), fold)) == judged


@given(CLIPS, FOLDS, RECIPES, st.sampled_from(list(MEMBERS)))
def test_held_out_is_of_the_fold_and_never_what_the_net_was_taught_by(
    clips: list[Clip], fold: int, recipe: Recipe, name: str
) -> None:
    table, member = table_of(clips), MEMBERS[name]
    held_out = chosen(splits.held_out(table, fold, recipe, member))
    for i, clip in enumerate(clips):
        if i in held_out:
            assert clip.fold == fold
            assert not (may_train(clip, fold, recipe, clips) and teaches(clip, member))
        elif clip.fold == fold:  # left out: an unverified clip that is heard in its own fold
            assert recipe.unverified == "all"
            assert not clip.verified
    assert set(chosen(splits.validation(table, fold))) <= set(held_out)


def test_what_is_held_out_where_the_folds_own_unverified_clips_train() -> None:
    """By name, so that nothing is left to the loops above."""
    clips = {
        "verified": Clip("x", True, 0, "a"),
        "none of these": Clip("", True, 0, "b"),
        "of a judged recording": Clip("x", False, 0, "a"),
        "unverified": Clip("x", False, 0, "c"),
        "unlabelled": Clip("", False, 0, "d"),
        "test": Clip("x", True, None, "e"),
        "of another fold": Clip("x", True, 1, "f"),
    }
    table, names = table_of(list(clips.values())), list(clips)

    def held_out(recipe: Recipe, member: str) -> set[str]:
        return {names[i] for i in chosen(splits.held_out(table, 0, recipe, MEMBERS[member]))}

    own = {"verified", "none of these", "of a judged recording", "unverified", "unlabelled"}
    for member in MEMBERS:
        assert held_out(OTHER_FOLDS, member) == own
    assert held_out(EVERYWHERE, "A") == own - {"unverified"}
    assert held_out(EVERYWHERE, "2018") == own - {"unverified"}
    assert held_out(EVERYWHERE, "row6") == own - {"unverified", "unlabelled"}  # it has learned from guessed labels of both
    trained = chosen(splits.allowed(table, 0, EVERYWHERE))
    assert {names[i] for i in trained} == {"unverified", "unlabelled", "of another fold"}


def test_folds_are_told_in_order_and_only_those_that_are_there_can_be_chosen() -> None:
    table = table_of([Clip("x", True, fold, "a") for fold in (10, 2, None, 0, 2)])
    assert splits.folds_of(table) == [0, 2, 10]
    assert splits.choose_folds([0, 2, 10], None) == [0, 2, 10]
    assert splits.choose_folds([0, 2, 10], [10, 0, 10]) == [0, 10]
    with pytest.raises(RunError, match=r"^no fold 1, 3; the store has the folds 0, 2, 10$"):
        splits.choose_folds([0, 2, 10], [3, 2, 1])


X, Y = Clip("x", True, 1, "a"), Clip("y", True, 1, "b")


@pytest.mark.parametrize(
    ("clips", "recipe", "member", "said"),
    [
        ([X, Clip("y", True, 0, "b")], "cochlear2018", "logmel-16k", "fold 0: no training clip outside it has the label 'y'; give"),
        (
            [X, Clip("y", False, 1, "b")],
            "akiyama2019",
            "row1",
            "fold 0: no verified training clip outside it has the label 'y'; give",
        ),
        ([X, Y], "akiyama2019", "A", "fold 0: member A has a noisy task, and no unverified clip with labels is there to train on"),
        (
            [X, Y, Clip("", False, 1, "c")],
            "akiyama2019",
            "A",
            "fold 0: member A has a noisy task, and no unverified clip with labels",
        ),
        (
            [X, Y, Clip("x", True, 0, "c"), Clip("x", False, 0, "c")],
            "akiyama2019",
            "A",
            "member A has a noisy task",
        ),  # it is judged
        ([X, Y, Clip("x", False, None, "c")], "akiyama2019", "row6", "fold 0: member row6 has a noisy task"),
    ],
)
def test_what_a_member_cannot_be_taught_is_refused(clips: list[Clip], recipe: str, member: str, said: str) -> None:
    with pytest.raises(RunError, match=re.escape(said)):
        splits.refuse_unlearnable(table_of(clips), 0, load_recipe(recipe), member)


def test_a_class_whose_clips_are_judged_together_is_refused_where_batches_are_balanced() -> None:
    clips = table_of([X, Clip("y", False, 1, "b"), *(Clip(f"x{number}", False, 1, f"g{number}") for number in range(8))])
    tiny, quick = load_recipe("tiny"), load_recipe("quick")
    part = int(splits.parts(clips)[1])  # that of the only clip of its class
    for other in range(splits.PARTS):
        splits.refuse_unlearnable(clips, 0, quick, "second", other)
        if other != part:
            splits.refuse_unlearnable(clips, 0, tiny, "logmel", other)
    with pytest.raises(
        RunError, match=r"^fold 0: logmel judges a quarter of the labels by nets that learn from the others, and none"
    ):
        splits.refuse_unlearnable(clips, 0, tiny, "logmel", part)


def test_clips_of_a_single_recording_are_not_judged_by_nets_that_learn_from_nothing() -> None:
    clips = table_of([Clip(label, False, fold, f"g{fold}") for label in "xy" for fold in (0, 1)])
    part = int(splits.parts(clips)[1])
    with pytest.raises(RunError, match="the clips outside the fold are of too few recordings"):
        splits.refuse_unlearnable(clips, 0, load_recipe("quick"), "second", part)
    splits.refuse_unlearnable(clips, 0, load_recipe("quick"), "second", (part + 1) % splits.PARTS)


@pytest.mark.parametrize(
    ("clips", "recipe", "member"),
    [
        ([X, Clip("y", False, 1, "b")], "cochlear2018", "logmel-16k"),  # an unverified label will do there
        ([X, Y, Clip("x", False, 0, "c")], "akiyama2019", "A"),  # of the fold itself
        ([Clip("xy", True, 1, "a"), Clip("x", False, 2, "c")], "akiyama2019", "row6"),
    ],
)
def test_what_a_member_can_be_taught_is_not(clips: list[Clip], recipe: str, member: str) -> None:
    splits.refuse_unlearnable(table_of(clips), 0, load_recipe(recipe), member)


def test_folds_that_hold_nothing_out_are_told_before_the_training() -> None:
    """With ``unverified: all`` a fold's own unverified clips train."""
    clips = [
        Clip("x", True, 0, "a"),
        Clip("y", True, 0, "b"),
        Clip("x", False, 1, "c"),
        Clip("", True, 2, "d"),
        Clip("y", True, 2, "e", False),
    ]
    table = table_of(clips)
    nets = [(name, fold) for name in ("row1", "A") for fold in (0, 1, 2)]
    with pytest.warns(EarmarkWarning) as caught:
        splits.warn_of_nothing_to_score(table, EVERYWHERE, nets)
    said = "no clip with labels is held out to score row1 fold 1, row1 fold 2, A fold 1, A fold 2 with"
    assert [str(warning.message) for warning in caught] == [said]
    with pytest.warns(EarmarkWarning, match="A fold 1 with; the run will have no figures at all$"):
        splits.warn_of_nothing_to_score(table, EVERYWHERE, [("A", 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits.warn_of_nothing_to_score(table, EVERYWHERE, [("A", 0)])


QUICK = load_recipe("quick")
#: y has no verified clip outside fold 1.
FEW = [
    Clip("x", True, 0, "a"),
    Clip("x", True, 1, "b"),
    Clip("y", True, 1, "c"),
    Clip("y", False, 0, "d"),
    Clip("x", False, 0, "e"),
    Clip("y", False, 1, "f"),
    Clip("y", False, None, "g"),
]


@pytest.mark.parametrize(("fold", "expected"), [(0, [1, 2, 5]), (1, [0, 3])])
def test_trusted_clips_are_the_verified_and_those_of_classes_that_these_cannot_teach(fold: int, expected: list[int]) -> None:
    table = table_of(FEW)
    assert splits.not_verified(table).tolist() == [False, True]
    assert np.flatnonzero(splits.first_task(table, fold, QUICK, QUICK.members["teacher"])).tolist() == expected
    with pytest.warns(EarmarkWarning, match=r"^too few verified clips of 'y': teacher learns from unverified labels of theirs too"):
        splits.warn_of_few_verified(table, QUICK, list(QUICK.members))
    nothing = table_of([Clip(clip.labels, False, clip.fold, clip.recording) for clip in FEW])
    assert np.flatnonzero(splits.first_task(nothing, 1, QUICK, QUICK.members["teacher"])).tolist() == [0, 3, 4]
    with pytest.warns(EarmarkWarning, match="^no class has verified clips enough: teacher"):
        splits.warn_of_few_verified(nothing, QUICK, list(QUICK.members))


@given(CLIPS)
def test_a_net_that_judges_labels_has_not_learned_them_and_learns_all_that_are_verified(clips: list[Clip]) -> None:
    table = table_of(clips)
    part_of = splits.parts(table)
    for part in range(splits.PARTS):
        assert splits.beside(table, part).tolist() == [
            clip.verified or number != part for clip, number in zip(clips, part_of, strict=True)
        ]
    assert splits.beside(table, None).all()
