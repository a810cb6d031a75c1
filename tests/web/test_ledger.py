import numpy as np
import pyarrow

from earmark.web.decisions import UNDO, Decision
from earmark.web.ledger import Ledger, settled

CLIPS = [f"clip {number}" for number in range(6)]
PEOPLE = ["ann", "bo", "cy"]


def random_rows(rng: np.random.Generator, count: int) -> list[Decision]:
    """Decisions and undos as a file may have them."""
    rows: list[Decision] = []
    for number in range(1, count + 1):
        by = PEOPLE[rng.integers(3)]
        undone = {row.undoes for row in rows}
        own = [row for row in rows if row.by == by and row.action != UNDO and row.id not in undone]
        if own and rng.random() < 0.3:
            rows.append(Decision(number, own[-1].clip_id, by, "t", UNDO, ("x",), (), own[-1].id))
            continue
        action = ("keep", "relabel", "none", "unusable")[rng.integers(4)]
        labels = {"keep": ("x",), "relabel": ("y",)}.get(action, ())
        rows.append(Decision(number, CLIPS[rng.integers(6)], by, "t", action, ("x",), labels, None))
    return rows


def standing(rows: list[Decision]) -> dict[str, dict[str, Decision]]:
    """The slow, obvious way: the latest decision of everybody on every clip, without those that were undone."""
    undone = {row.undoes for row in rows if row.action == UNDO}
    latest: dict[str, dict[str, Decision]] = {}
    for row in rows:
        if row.action != UNDO and row.id not in undone:
            latest.setdefault(row.clip_id, {})[row.by] = row
    return latest


def outcome(row: Decision) -> object:
    return "unusable" if row.action == "unusable" else set(row.labels)


def test_ledger_and_table_say_what_the_rows_say() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        rows = random_rows(rng, int(rng.integers(1, 40)))
        ledger = Ledger(pyarrow.array(CLIPS))
        middle = int(rng.integers(len(rows)))
        ledger.take(rows[:middle])
        ledger.take(rows[middle:])
        expected = standing(rows)
        assert ledger.last == len(rows)
        for clip, name in enumerate(CLIPS):
            of_clip = sorted(expected.get(name, {}).values(), key=lambda row: row.id)
            assert ledger.of(clip) == of_clip
            assert ledger.heard[clip] == bool(of_clip)
            assert ledger.changed[clip] == (bool(of_clip) and outcome(of_clip[-1]) != {"x"})
            for by in PEOPLE:
                assert ledger.heard_by(by)[clip] == (by in expected.get(name, {}))
            differ = any(outcome(one) != outcome(two) for one in of_clip for two in of_clip)
            assert (clip in ledger.disagreeing()) == differ
        counts = {by: sum(by in of_clip for of_clip in expected.values()) for by in PEOPLE}
        assert ledger.reviewers() == {by: count for by, count in counts.items() if count}
        table = list(settled(rows))
        assert [made.id for made, _ in table] == sorted(max(row.id for row in of.values()) for of in expected.values())
        for made, others in table:
            of_clip = list(expected[made.clip_id].values())
            assert others == sorted(row.by for row in of_clip if outcome(row) != outcome(made))


def test_clips_that_are_not_in_the_list_are_passed_over() -> None:
    ledger = Ledger(pyarrow.array(CLIPS))
    ledger.take([Decision(1, "elsewhere", "ann", "t", "keep", (), (), None), Decision(2, "elsewhere", "ann", "t", UNDO, (), (), 1)])
    assert (ledger.last, ledger.heard.any(), ledger.reviewers()) == (2, False, {})
