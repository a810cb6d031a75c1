import numpy as np
import pytest

from earmark.data.manifest import Clip, make_manifest
from earmark.data.prepare import prepare
from earmark.data.table import ClipTable, load_table
from earmark.labels import LabelSet


def table_of(positive: list[list[int]], verified: list[int], scored: list[int] | None = None) -> ClipTable:
    count = len(positive)
    return ClipTable(
        labels=LabelSet(("x", "y", "z")),
        clip_id=np.array([f"{i}.wav" for i in range(count)]),
        positive=np.array(positive, bool),
        verified=np.array(verified, bool),
        fold=np.arange(count),
        test=np.zeros(count, bool),
        scored=np.array(scored or [1] * count, bool),
        group=np.array([f"recording {i}" for i in range(count)]),
        usage=np.array([""] * count),
    )


# One label, two, none of these (checked by a person), unlabelled, and labels that the data set keeps back.
FIVE = table_of([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]], [0, 1, 1, 0, 1], [1, 1, 1, 1, 0])


def test_a_clip_without_labels_is_none_of_these_only_where_a_person_has_checked_it() -> None:
    assert FIVE.labelled.tolist() == [True, True, True, False, True]
    assert FIVE.none_of_these.tolist() == [False, False, True, False, False]
    assert FIVE.judgeable.tolist() == [True, True, False, False, False]


def test_labels_share_1_and_none_of_these_is_uniform() -> None:
    targets = FIVE.targets
    assert targets.dtype == np.float32
    third = pytest.approx(1 / 3)
    assert targets.tolist() == [[1, 0, 0], [0, 0.5, 0.5], [third] * 3, [0, 0, 0], [0, 1, 0]]


def test_multi_hot_labels_do_not_share_and_none_of_these_is_what_the_activation_can_say() -> None:
    third = pytest.approx(1 / 3)
    plain = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert FIVE.multi_hot("sigmoid").tolist() == plain
    assert FIVE.multi_hot("softmax").tolist() == [*plain[:2], [third] * 3, *plain[3:]]
    assert FIVE.multi_hot("softmax").dtype == np.float32


def test_every_column_of_chosen_clips_goes_with_them() -> None:
    for choice in (np.array([False, True, False, False, True]), np.array([1, 4])):
        chosen = FIVE[choice]
        assert len(chosen) == 2
        assert chosen.clip_id.tolist() == ["1.wav", "4.wav"]
        assert chosen.group.tolist() == ["recording 1", "recording 4"]
        assert chosen.positive.tolist() == [[False, True, True], [False, True, False]]
        assert (chosen.verified.tolist(), chosen.fold.tolist(), chosen.scored.tolist()) == ([True, True], [1, 4], [True, False])
        assert chosen.labels == FIVE.labels
    assert FIVE[np.array([3, 0, 3])].fold.tolist() == [3, 0, 3]
    both = FIVE[np.array([4])].followed_by(FIVE[np.array([0, 1])])
    assert both.clip_id.tolist() == ["4.wav", "0.wav", "1.wav"]
    assert both.positive.tolist() == FIVE.positive[[4, 0, 1]].tolist()
    assert both.usage.tolist() == [""] * 3


def test_a_stores_table_says_what_the_manifest_said(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import soundfile

    clips = [
        Clip("a.wav", ("Жук", "bell"), verified=True, fold=1, group="r"),
        Clip("b.wav", (), verified=True, fold=0, group="b.wav"),
        Clip("c.wav", ("bell",), split="test", group="c.wav", scored=False, extra={"usage": "Private"}),
    ]
    for clip in clips:
        soundfile.write(tmp_path / clip.file_name, [0.5, 0.25], 8000)
    store = prepare(make_manifest("manifest", tmp_path, clips, "m"), "m", tmp_path / "store", [8000]).store
    table = load_table(store)
    assert table.labels.names == ("bell", "Жук")
    assert table.clip_id.tolist() == ["a.wav", "b.wav", "c.wav"]
    assert table.positive.tolist() == [[True, True], [False, False], [True, False]]
    assert (table.verified.tolist(), table.fold.tolist()) == ([True, True, True], [1, 0, -1])
    assert (table.test.tolist(), table.scored.tolist()) == ([False, False, True], [True, True, False])
    assert (table.group.tolist(), table.usage.tolist()) == (["r", "b.wav", "c.wav"], ["", "", "Private"])
    table.fold[0] = 7  # a column is the table's own
    assert load_table(store).fold[0] == 1


def test_columns_of_the_manifest_and_of_the_store_do_not_replace_one_another(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import soundfile

    extra = {"offset": "from the manifest", "offset_given": "too", "tags": ("p, q", "r")}
    clips = [Clip("a.wav", ("x",), extra=extra), Clip("b.wav", ("x",), extra=extra | {"tags": ()})]
    for clip in clips:
        soundfile.write(tmp_path / clip.file_name, [0.5, 0.25], 8000)
    store = prepare(make_manifest("manifest", tmp_path, clips, "m"), "m", tmp_path / "store", [8000]).store
    columns = store.rows(8000).to_pydict()
    assert columns["offset"] == [0, 2]
    assert columns["offset_given"] == ["from the manifest"] * 2
    assert columns["offset_given_given"] == ["too"] * 2
    assert columns["tags"] == [["p, q", "r"], []]
