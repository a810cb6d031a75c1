from itertools import pairwise

import numpy as np
import pytest

from earmark.labels import Tag
from earmark.tagging.merge import merged
from earmark.tagging.parts import Part


def timeline(*parts: tuple[float, float, dict[str, float]]) -> list[Part]:
    return [Part(start, end, [Tag(*tag) for tag in tags.items()]) for start, end, tags in parts]


def shown(parts: list[Part]) -> list[tuple[float, float, str, float]]:
    return [(part.start, part.end, tag.label, tag.score) for part in parts for tag in part.tags]


def test_neighbours_with_a_label_become_one_with_the_highest_score() -> None:
    parts = timeline(
        (0, 5, {"Bark": 0.5, "Meow": 0.4}), (5, 10, {"Bark": 0.9, "Rain": 0.8}), (10, 15, {"Bark": 0.7}), (15, 20, {"Meow": 0.6})
    )
    assert shown(merged(parts)) == [(0, 15, "Bark", 0.9), (0, 5, "Meow", 0.4), (5, 10, "Rain", 0.8), (15, 20, "Meow", 0.6)]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (2.5, [(0, 7.5, "Bark", 0.9)]),  # they overlap
        (5 + 1e-9, [(0, 10 + 1e-9, "Bark", 0.9)]),  # they touch
        (5.01, [(0, 5, "Bark", 0.5), (5.01, 10.01, "Bark", 0.9)]),  # between them is a hole
    ],
)
def test_neighbours_touch_or_overlap(second: float, expected: list[tuple[float, float, str, float]]) -> None:
    parts = timeline((0, 5, {"Bark": 0.5}), (second, second + 5, {"Bark": 0.9}))
    assert shown(merged(parts)) == [tuple(map(pytest.approx, row[:2])) + row[2:] for row in expected]


def test_a_part_without_the_label_ends_it_even_where_parts_overlap() -> None:
    parts = timeline((0, 5, {"Bark": 0.5}), (1, 6, {}), (2, 7, {"Bark": 0.6}))
    assert shown(merged(parts)) == [(0, 5, "Bark", 0.5), (2, 7, "Bark", 0.6)]


def test_a_sound_without_tags_is_one_part_without_tags() -> None:
    assert merged(timeline((0, 5, {}), (5, 7, {}))) == [Part(0, 7, ())]
    assert merged([]) == []


def test_every_moment_keeps_its_labels() -> None:
    rng = np.random.default_rng(4)
    labels = "abcd"
    parts = [
        Part(k, k + 1, [Tag(label, float(score)) for label, score in zip(labels, rng.random(4), strict=True) if score > 0.4])
        for k in range(200)
    ]
    runs = merged(parts)
    assert [(run.start, -run.tags[0].score) for run in runs] == sorted((run.start, -run.tags[0].score) for run in runs)
    for label in labels:
        mine = [run for run in runs if run.tags[0].label == label]
        assert all(later.start > earlier.end for earlier, later in pairwise(mine))  # as long as they can be
        covered = {k for run in mine for k in range(int(run.start), int(run.end))}
        assert covered == {k for k, part in enumerate(parts) if label in [tag.label for tag in part.tags]}
        for run in mine:
            inside = [tag.score for part in parts[int(run.start) : int(run.end)] for tag in part.tags if tag.label == label]
            assert run.tags[0].score == max(inside)
