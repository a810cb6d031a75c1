from collections import Counter

import numpy as np
import pyarrow
import pytest

from earmark.web.columns import BLOCK, Lists, UnknownNameError, order_of, split_column, whole_column


def test_order_keeps_blocks_and_lets_recordings_take_turns() -> None:
    rng = np.random.default_rng(0)
    recording = rng.integers(0, 40, 400)
    chosen = np.flatnonzero(rng.random(400) < 0.7)
    order = order_of(chosen, recording)
    expected: list[int] = []
    seen: Counter[int] = Counter()
    for begin in range(0, len(chosen), BLOCK):
        block = chosen[begin : begin + BLOCK].tolist()
        times = {}
        for clip in block:
            times[clip] = seen[recording[clip]]
            seen[recording[clip]] += 1
        expected += sorted(block, key=lambda clip: (times[clip], clip))
    assert order.tolist() == expected


def test_order_of_nothing_is_empty() -> None:
    assert order_of(np.zeros(0, np.int64), np.arange(5)).tolist() == []


def random_lists(rng: np.random.Generator, count: int, kinds: int) -> list[list[int]]:
    return [sorted(rng.choice(kinds, rng.integers(0, kinds), replace=False).tolist()) for _ in range(count)]


def as_lists(plain: list[list[int]]) -> Lists:
    owner = [clip for clip, numbers in enumerate(plain) for _ in numbers]
    numbers = [number for of_clip in plain for number in of_clip]
    return Lists.of_pairs(np.array(owner, np.int64), np.array(numbers, np.int64), len(plain))


def test_lists_answer_as_sets_do() -> None:
    rng = np.random.default_rng(1)
    one, two = random_lists(rng, 60, 5), random_lists(rng, 60, 5)
    lists, chosen = as_lists(one), rng.random(60) < 0.5
    assert [lists.of(clip) for clip in range(60)] == one
    for number in range(5):
        assert lists.have(number).tolist() == [number in of_clip for of_clip in one]
    counted = Counter(number for clip, of_clip in enumerate(one) if chosen[clip] for number in of_clip)
    assert lists.counts(chosen, 6) == [counted[number] for number in range(6)]
    joined = lists.joined(as_lists(two), 5)
    assert [set(joined.of(clip)) for clip in range(60)] == [set(a) | set(b) for a, b in zip(one, two, strict=True)]
    assert len(joined.numbers) == sum(len(set(a) | set(b)) for a, b in zip(one, two, strict=True))


def test_split_column() -> None:
    names = pyarrow.array(["a", "b", "c d"])
    lists = split_column(pyarrow.array(["b;a", "", "c d"]), ";", names)
    assert [lists.of(clip) for clip in range(3)] == [[1, 0], [], [2]]
    with pytest.raises(UnknownNameError) as caught:
        split_column(pyarrow.array(["a", "a;x"]), ";", names)
    assert (caught.value.row, caught.value.text) == (1, "x")


def test_whole_column_of_several_pieces() -> None:
    table = pyarrow.table({"x": pyarrow.chunked_array([[1, 2], [3]])})
    assert whole_column(table, "x").to_pylist() == [1, 2, 3]
    assert whole_column(table.slice(0, 0), "x").to_pylist() == []
