import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.errors import AudioError
from earmark.web.sounds import Sounds
from tests.web.conftest import RATE, Place

pytestmark = pytest.mark.slow  # together they take seconds


def sounds_of(path: Path) -> Sounds:
    store = Store.open(path)
    return Sounds(store, store.rows(max(store.sample_rates)).combine_chunks())


def file_of(place: Place, row: int) -> Path:
    name = Store.open(place.store).rows(RATE)["file_name"][row].as_py()
    return place.sounds / name


def truth(path: Path) -> np.ndarray:
    """What libsndfile says is in a file, ``[channels, samples]``, in 16-bit steps."""
    return soundfile.read(path, dtype="int16", always_2d=True)[0].T


def played(place_or_sounds: Sounds, row: int) -> np.ndarray:
    sound = place_or_sounds.get(row)
    data = np.frombuffer(sound.part(44, sound.size), "<i2")
    return data.reshape(-1, len(sound.stored)).T


@pytest.mark.parametrize("row", [0, 1, 2, 3, 4, 5])
def test_a_clip_is_its_file_in_all_its_channels(place: Place, row: int) -> None:
    sounds = sounds_of(place.store)
    sound = sounds.get(row)
    assert (sound.origin, sound.why, sound.sample_rate) == ("file", "", RATE)
    expected = truth(file_of(place, row)).astype(int)
    assert np.abs(played(sounds, row) - expected).max() <= 1  # of Ogg the decoder gives float32
    assert sounds.get(row) is sound


def test_a_moved_file_is_played_from_where_it_is(place: Place) -> None:
    path = file_of(place, 3)
    expected = truth(path)
    (place.sounds / "new").mkdir()
    shutil.move(path, place.sounds / "new" / "renamed.wav")
    sounds = sounds_of(place.store)
    sound = sounds.get(3)
    assert (sound.origin, sound.why) == ("moved", "the file is not there")
    assert (played(sounds, 3) == expected).all()


def test_another_file_under_its_name_is_not_played(place: Place) -> None:
    path, other = file_of(place, 3), file_of(place, 9)
    expected = truth(path)
    os.replace(path, place.sounds / "sounds" / "away.wav")
    shutil.copy(other, path)
    sounds = sounds_of(place.store)
    sound = sounds.get(3)
    assert (sound.origin, sound.why) == ("moved", "the file has changed since the store was made")
    assert (played(sounds, 3) == expected).all()


@pytest.mark.parametrize("content", [b"", b"RIFF\xff\xff\x00\x00WAVE", b"no sound at all"])
def test_a_broken_file_is_replaced_by_the_store(place: Place, content: bytes) -> None:
    path = file_of(place, 3)
    mono = truth(path).astype(float).mean(axis=0)
    path.write_bytes(content)
    sounds = sounds_of(place.store)
    sound = sounds.get(3)
    assert (sound.origin, sound.why) == ("store", "the file has changed since the store was made")
    assert np.abs(played(sounds, 3)[0] - mono).max() <= 1
    path.unlink()
    assert sounds.get(3).why == "the file is not there"


def test_a_file_that_comes_back_is_played_again(place: Place) -> None:
    path = file_of(place, 3)
    content = path.read_bytes()
    path.unlink()
    sounds = sounds_of(place.store)
    assert sounds.get(3).origin == "store"
    path.write_bytes(content)
    assert sounds.get(3).origin == "file"
    path.unlink()
    assert sounds.get(3).origin == "file"  # it is kept


@pytest.mark.parametrize("touched", [False, True])
def test_a_large_file_is_read_for_its_hash_only_if_its_state_is_new(
    place: Place, monkeypatch: pytest.MonkeyPatch, touched: bool
) -> None:
    hashed = []
    hash_file = audio.content_hash
    monkeypatch.setattr(audio, "content_hash", lambda file: hashed.append(file.path) or hash_file(file))
    monkeypatch.setattr("earmark.web.sounds.LARGE", 1000)
    path = file_of(place, 3)
    if touched:
        path.touch()
    sounds = sounds_of(place.store)
    assert sounds.get(3).origin == "file"
    assert hashed == [path] * touched
    sounds._kept.clear()
    assert sounds.get(3).origin == "file"
    assert hashed == [path] * touched


def test_quiet_samples_of_the_store_keep_their_loudness(tmp_path: Path) -> None:
    quiet = np.random.default_rng(0).uniform(-0.01, 0.01, RATE)
    soundfile.write(tmp_path / "quiet.wav", quiet, RATE, subtype="FLOAT")
    clips = [Clip("quiet.wav", ("x",), fold=0, group="a")]
    write_manifest(tmp_path / "m.csv", clips)
    prepare(read_manifest(tmp_path / "m.csv"), str(tmp_path / "m.csv"), tmp_path / "store", [RATE])
    (tmp_path / "quiet.wav").unlink()
    sounds = sounds_of(tmp_path / "store")
    assert np.abs(played(sounds, 0)[0] - quiet * 32767).max() <= 1


def test_parts_of_a_file(tmp_path: Path) -> None:
    ramp = np.arange(RATE, dtype=np.int16)
    soundfile.write(tmp_path / "long.wav", ramp, RATE)
    clips = [Clip("long.wav", ("x",), fold=0, group="a", start=begin, end=begin + 0.25) for begin in (0.0, 0.5)]
    write_manifest(tmp_path / "m.csv", clips)
    prepare(read_manifest(tmp_path / "m.csv"), str(tmp_path / "m.csv"), tmp_path / "store", [RATE])
    sounds = sounds_of(tmp_path / "store")
    assert played(sounds, 1)[0].tolist() == ramp[RATE // 2 : RATE // 2 + RATE // 4].tolist()
    shutil.move(tmp_path / "long.wav", tmp_path / "z.wav")
    moved = sounds_of(tmp_path / "store")
    assert moved.get(0).origin == "moved"
    assert played(moved, 0)[0].tolist() == ramp[: RATE // 4].tolist()


def test_clips_of_the_test_split_and_clips_that_are_not_there(place: Place) -> None:
    sounds = sounds_of(place.store)
    for row in (25, 26, -1, 10**12):
        with pytest.raises(KeyError):
            sounds.get(row)


def test_nothing_left_to_play(place: Place) -> None:
    shutil.rmtree(place.sounds)
    (place.store / f"pcm-{RATE}.i16").write_bytes(b"\0" * 100)
    with pytest.raises(AudioError, match=r"the file is not there, and .*pcm-8000\.i16 is shorter"):
        sounds_of(place.store).get(3)
    (place.store / f"pcm-{RATE}.i16").unlink()
    sounds = Sounds(Store.open(place.store), Store.open(place.store).rows(RATE))
    with pytest.raises(AudioError, match="cannot be read"):
        sounds.get(3)


def test_a_store_that_was_prepared_anew_is_not_played(place: Place) -> None:
    sounds = sounds_of(place.store)
    file_of(place, 3).unlink()
    info = json.loads((place.store / "store.json").read_text(encoding="utf-8"))
    (place.store / "store.json").write_text(json.dumps(info | {"fingerprint": "other"}), encoding="utf-8")
    with pytest.raises(AudioError, match="was prepared anew"):
        sounds.get(3)


def test_many_at_once_get_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.web.sounds.ROOM", 1)  # so that every sound makes the one before go
    sounds = sounds_of(place.store)
    expected = [truth(file_of(place, row)) for row in (0, 3, 6)]
    wrong: list[int] = []

    def listen(number: int) -> None:
        for turn in range(20):
            which = (number + turn) % 3
            if not (played(sounds, which * 3) == expected[which]).all():
                wrong.append(which)

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(sounds._kept) == 1
