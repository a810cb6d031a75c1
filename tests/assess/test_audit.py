"""The list of an audit, on clips with known truth: its order, what it suggests and why."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.assess.audit import Judged, judge, make_audit
from earmark.assess.audit_result import Audit
from earmark.assess.duplicates import Duplicate
from tests.assess.worlds import World, table_of, world


def audit_of(judged: Judged, duplicates: list[Duplicate] | None = None, leaning: np.ndarray | None = None) -> Audit:
    leaning = np.zeros(len(judged.clips.labels), bool) if leaning is None else leaning
    return make_audit(
        judged, duplicates or [], leaning, run=Path("run"), store=Path("store"), strategy="By ear.", notes=["A note."]
    )


def rows_of(made: World, audit: Audit) -> np.ndarray:
    """The clips in the list's order, as indices."""
    place = {clip: row for row, clip in enumerate(made.clips.clip_id.tolist())}
    return np.array([place[clip] for clip in audit.suspects.clip_id.tolist()])


def names_of(made: World, row: int) -> tuple[str, ...]:
    return tuple(np.array(made.clips.labels.names)[made.truth[row]].tolist())


@pytest.fixture(scope="module")
def clear() -> tuple[World, Judged, Audit]:
    """Judges that hear well; a fifth of the labels that are not verified is wrong."""
    made = world(1000, 5, 0.4, 0.2, seed=1, clear=4.0)
    judged = judge(made.clips, [made.guesses])
    return made, judged, audit_of(judged)


def test_wrong_labels_come_first_and_what_is_suggested_is_right(clear: tuple[World, Judged, Audit]) -> None:
    made, _, audit = clear
    rows, wrong = rows_of(made, audit), int(made.wrong.sum())
    assert sorted(rows.tolist()) == list(range(1000))
    assert made.wrong[rows[:wrong]].mean() > 0.95 and made.wrong[rows[: wrong // 2]].all()
    first = range(wrong // 2)
    assert np.mean([audit.suspects.suggested[i] == names_of(made, rows[i]) for i in first]) > 0.95
    assert all(audit.suspects.reasons[i] == ("wrong label",) for i in first)
    assert all(audit.suspects.suggested[i] != audit.suspects.given[i] for i in first)
    assert not any(audit.suspects.reasons[500:]) and audit.suspects.suggested[-1] == audit.suspects.given[-1]
    assert (np.diff(audit.suspects.score) <= 0).all()
    np.testing.assert_allclose(audit.suspects.probability, 1 / (1 + np.exp(-audit.suspects.score)))


def test_the_cut_is_where_labels_are_as_probably_wrong_as_right(clear: tuple[World, Judged, Audit]) -> None:
    made, _, audit = clear
    unverified = audit.suspects.unverified
    assert audit.cut == int((audit.suspects.probability[unverified] >= 0.5).sum())
    assert abs(audit.cut - made.wrong.sum()) < 0.1 * made.wrong.sum()


def test_promises_are_of_unverified_clips_and_no_more_than_there_are(clear: tuple[World, Judged, Audit]) -> None:
    made, _, audit = clear
    unverified = int((~made.clips.verified).sum())
    assert [promise.first for promise in audit.promise] == [50, 100, 200, 500]
    assert audit.whole is not None and audit.whole.first == unverified == audit.curve[-1].first
    assert all(promise.low - 1 < promise.wrong < promise.high + 1 for promise in audit.curve)
    firsts = [promise.first for promise in audit.curve]
    assert firsts == sorted(set(firsts)) and firsts[0] == 1
    assert audit.whole.low <= made.wrong.sum() <= audit.whole.high


def test_shares_and_mix_ups_of_classes(clear: tuple[World, Judged, Audit]) -> None:
    made, _, audit = clear
    unverified = ~made.clips.verified
    assert [row.wrong for row in audit.classes] == sorted((row.wrong for row in audit.classes), reverse=True)
    for row in audit.classes:
        k = made.clips.labels.names.index(row.label)
        own = unverified & made.clips.positive[:, k]
        assert row.clips == own.sum() and row.verified == (made.clips.verified & made.clips.positive[:, k]).sum()
        assert row.low <= row.wrong <= row.high and abs(row.wrong - made.wrong[own].mean()) < 0.06
        assert row.note == ""
    names = made.clips.labels.names
    for mix_up in audit.mix_ups:
        own = unverified & made.clips.positive[:, names.index(mix_up.given)]
        true_count = int((made.truth[own, names.index(mix_up.right)]).sum())
        assert abs(mix_up.clips - true_count) < 4 and mix_up.share == pytest.approx(mix_up.clips / own.sum())
        assert mix_up.right != mix_up.given
    assert [row.clips for row in audit.mix_ups] == sorted((row.clips for row in audit.mix_ups), reverse=True)


def test_the_order_does_not_depend_on_the_pieces(clear: tuple[World, Judged, Audit], monkeypatch: pytest.MonkeyPatch) -> None:
    made, judged, _ = clear
    monkeypatch.setattr("earmark.assess.audit.AT_ONCE", 37)
    again = judge(made.clips, [made.guesses])
    np.testing.assert_allclose(again.odds, judged.odds, atol=1e-4)
    np.testing.assert_allclose(again.probable, judged.probable, atol=1e-5)


def test_what_sounds_like_no_class_is_suggested_to_be_none() -> None:
    made = world(600, 5, 0.5, 0.3, seed=2, clear=3.0)
    guesses, strange = made.guesses.copy(), np.flatnonzero(~made.clips.verified)[:20]
    guesses[strange] = 0.2
    labels = made.clips.positive[strange].argmax(axis=1)
    guesses[strange, labels], guesses[strange, (labels + 1) % 5] = 0.05, 0.35
    audit = audit_of(judge(made.clips, [guesses]))
    places = {int(row): place for place, row in enumerate(rows_of(made, audit).tolist())}
    doubted = [places[row] for row in strange.tolist() if audit.suspects.probability[places[row]] >= 0.5]
    assert len(doubted) >= 10
    assert all(audit.suspects.reasons[place] == ("none of these",) and audit.suspects.suggested[place] == () for place in doubted)
    nobody = replace(made.clips, verified=np.zeros(600, bool))
    assert ("none of these",) not in audit_of(
        judge(nobody, [guesses])
    ).suspects.reasons  # nothing says how unsure right guesses are


def test_unlabelled_clips_come_last_least_sure_first() -> None:
    made = world(300, 4, 0.5, 0.2, seed=3)
    bare = np.arange(300) >= 290
    positive = made.clips.positive & ~bare[:, None]
    clips = replace(made.clips, positive=positive, verified=made.clips.verified & ~bare)
    judged = judge(clips, [made.guesses])
    audit = audit_of(judged)
    assert audit.suspects.unlabelled.tolist() == [False] * 290 + [True] * 10
    rows = rows_of(made, audit)[290:]
    best = np.sort(judged.guesses[rows], axis=1)
    assert (np.diff(best[:, -1] - best[:, -2]) >= 0).all()
    for place, row in zip(range(290, 300), rows.tolist(), strict=True):
        assert audit.suspects.reasons[place] == ("unlabelled",) and audit.suspects.given[place] == ()
        assert audit.suspects.suggested[place] == (clips.labels.names[int(judged.guesses[row].argmax())],)
    assert np.isnan(audit.suspects.score[290:]).all() and np.isfinite(audit.suspects.score[:290]).all()
    assert f"unlabelled: {10} clips" in audit.lines()


def test_verified_none_of_these_stay_so() -> None:
    made = world(300, 4, 0.5, 0.2, seed=4)
    none = np.arange(300) < 5
    clips = replace(made.clips, positive=made.clips.positive & ~none[:, None], verified=made.clips.verified | none)
    suspects = audit_of(judge(clips, [made.guesses])).suspects
    for clip in clips.clip_id[none].tolist():
        place = suspects.clip_id.tolist().index(clip)
        assert suspects.suggested[place] == () == suspects.given[place] == suspects.reasons[place]
        assert suspects.probability[place] <= 0.01 and suspects.verified[place]


def test_verified_labels_that_are_wrong_are_doubted_too() -> None:
    made = world(600, 4, 0.5, 0.0, seed=5, clear=3.5)
    row = int(np.flatnonzero(made.clips.verified)[7])
    positive = made.clips.positive.copy()
    positive[row] = np.roll(positive[row], 1)
    audit = audit_of(judge(replace(made.clips, positive=positive), [made.guesses]))
    assert audit.suspects.clip_id[0] == made.clips.clip_id[row]
    assert audit.suspects.doubtful_verified[0] and audit.suspects.suggested[0] == names_of(made, row)
    assert audit.suspects.shown(1, audit.suspects.doubtful_verified)[0].clip_id == made.clips.clip_id[row]


def test_several_labels_wrong_ones_and_missing_ones_are_told_apart() -> None:
    made = world(1500, 5, 0.4, 0.0, seed=6, clear=4.0, several=True)
    unverified = np.flatnonzero(~made.clips.verified)
    positive = made.clips.positive.copy()
    single = [row for row in unverified.tolist() if made.truth[row].sum() == 1]
    double = [row for row in unverified.tolist() if made.truth[row].sum() == 2]
    added, dropped = single[:40], double[:40]
    for row in added:
        positive[row, (int(made.truth[row].argmax()) + 1) % 5] = True
    for row in dropped:
        positive[row, int(made.truth[row].argmax())] = False
    planted = replace(made, clips=replace(made.clips, positive=positive))
    judged = judge(planted.clips, [made.guesses])
    audit = audit_of(judged)
    assert audit.several and not judged.exclusive
    rows = rows_of(planted, audit)
    assert planted.wrong[rows[:60]].mean() > 0.9
    for chosen, reason in ((added, "wrong label"), (dropped, "missing label")):
        places = [place for place, row in enumerate(rows[:80].tolist()) if row in chosen]
        assert len(places) > 25
        assert np.mean([audit.suspects.reasons[place] == (reason,) for place in places]) > 0.9
        assert np.mean([audit.suspects.suggested[place] == names_of(planted, rows[place]) for place in places]) > 0.9


def test_without_a_verified_clip_it_still_ranks() -> None:
    made = world(800, 5, 0.0, 0.2, seed=7, clear=3.0)
    audit = audit_of(judge(made.clips, [made.guesses]), leaning=np.ones(5, bool))
    wrong = int(made.wrong.sum())
    assert made.wrong[rows_of(made, audit)[:wrong]].mean() > 0.9
    assert {row.note for row in audit.classes} == {"no clip of it is verified: judged by labels that may be wrong"}
    assert not any(line.startswith("verified") for line in audit.lines())


def test_classes_with_few_verified_clips_say_so() -> None:
    made = world(300, 4, 1.0, 0.0, seed=8, clear=3.0)
    label = made.clips.positive.argmax(axis=1)
    verified = np.zeros(300, bool)
    for k, count in enumerate((12, 9, 2, 0)):
        verified[np.flatnonzero(label == k)[:count]] = True
    leaning = np.array([False, False, True, True])
    notes = {
        row.label: row.note
        for row in audit_of(judge(replace(made.clips, verified=verified), [made.guesses]), leaning=leaning).classes
    }
    assert notes == {
        "label 0": "",
        "label 1": "only 9 verified clips: a rough figure",
        "label 2": "too few recordings of it are verified: judged by labels that may be wrong",
        "label 3": "no clip of it is verified: judged by labels that may be wrong",
    }


def test_a_class_that_nobody_has_stands_last_without_a_figure() -> None:
    made = world(200, 4, 0.5, 0.2, seed=9)
    wide = table_of(np.hstack([made.clips.positive, np.zeros((200, 1), bool)]), made.clips.verified)
    guesses = np.hstack([made.guesses * 0.99, np.full((200, 1), 0.01, np.float32)])
    audit = audit_of(judge(wide, [guesses]))
    last = audit.classes[-1]
    assert (last.label, last.clips, last.known) == ("label 4", 0, False)
    assert ("label 4",) not in audit.suspects.suggested[:20]


@pytest.mark.parametrize(("given", "verified"), [(True, True), (False, False), (True, False)])
def test_nothing_to_hear_and_hardly_a_clip_are_no_fault(given: bool, verified: bool) -> None:
    """All verified; no label at all; a single label."""
    positive = np.zeros((4, 2), bool)
    positive[: 4 if verified else 1, 0] = given
    clips = table_of(positive, np.full(4, verified))
    audit = audit_of(judge(clips, [np.full((4, 2), 0.5, np.float32)]))
    assert len(audit.suspects) == 4 and len(audit.lines()) >= 2
    if given and not verified:
        assert audit.whole is not None and [promise.first for promise in audit.promise] == [1]
    else:
        assert audit.whole is None and audit.promise == audit.curve == [] and audit.cut == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("several", [False, True])
def test_guesses_of_exactly_0_and_1_break_nothing(several: bool) -> None:
    made = world(200, 3, 0.3, 0.3, seed=10, several=several)
    sure = (made.guesses >= made.guesses.max(axis=1, keepdims=True)).astype(np.float32)
    audit = audit_of(judge(made.clips, [sure, sure]))
    assert np.isfinite(audit.suspects.score).all()
    assert all(0 <= promise.low <= promise.high <= promise.first for promise in audit.curve)


def test_more_judges_are_better_than_either() -> None:
    made, other = world(800, 5, 0.3, 0.3, seed=11), world(800, 5, 0.3, 0.3, seed=11)
    rng = np.random.default_rng(12)
    odds = rng.normal(size=other.truth.shape) * 1.5 + other.truth * 2.25
    second = (np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)).astype(np.float32)
    wrong, found = int(made.wrong.sum()), []
    for guesses in ([made.guesses], [second], [made.guesses, second]):
        rows = rows_of(made, audit_of(judge(made.clips, guesses)))
        rows = rows[~made.clips.verified[rows]]
        found.append(float(made.wrong[rows[:wrong]].mean()))
    assert found[2] > max(found[:2]) + 0.02


def test_duplicates_are_further_reasons_each_of_them_once(clear: tuple[World, Judged, Audit]) -> None:
    _, judged, before = clear
    first, last = str(before.suspects.clip_id[0]), str(before.suspects.clip_id[-1])
    same = Duplicate("same sound", (first, last), (0, 1), ("label 0", "label 1"), True, True)
    parts = replace(same, kind="one recording", two_labels=False)
    audit = audit_of(judged, [same, parts])
    assert audit.suspects.reasons[0] == ("wrong label", "duplicate", "two folds", "two labels")
    assert audit.suspects.reasons[-1] == ("duplicate", "two folds", "two labels")
    assert audit_of(judged, [parts]).suspects.reasons[-1] == ("two folds",)
    assert audit.duplicates == [same, parts]
    assert "duplicates: 1; sounds that lie in two folds: 1; sounds under two labels: 1" in audit.lines()
    assert audit.lines()[:2] == ["By ear.", "A note."]


def test_no_label_and_a_single_label_are_told_as_such(clear: tuple[World, Judged, Audit]) -> None:
    audit = clear[2]
    for cut, said in ((0, "no label is"), (1, "the first is"), (1200, "the first 1,200 are")):
        assert f"{said} wrong rather than right" in replace(audit, cut=cut).lines()
