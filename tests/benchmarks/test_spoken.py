"""The rendered words of benchmarks/digits.py, with a voice that needs no espeak-ng."""

import sys
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.data.manifest import read_manifest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import spoken

pytestmark = pytest.mark.slow


def beep(voice: str, speed: int, pitch: int, word: str) -> audio.Samples:
    seconds = np.arange(spoken.RATE * 30 // speed) / spoken.RATE
    return (np.sin(2 * np.pi * (200 + 10 * pitch) * seconds) * (len(voice) + len(word)) / 100).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoken.render_words(beep, tmp_path_factory.mktemp("words"), takes=1, seed=1).parent


def test_every_word_in_every_voice_and_no_voice_in_two_folds(folder: Path) -> None:
    clips = read_manifest(folder / "manifest.csv").clips
    assert len(clips) == 200
    assert {(clip.group, clip.labels[0]) for clip in clips} == {(voice, word) for voice in spoken.VOICES for word in spoken.WORDS}
    fold_of = {(clip.group, clip.fold) for clip in clips}
    assert len(fold_of) == len(spoken.VOICES) and {fold for _, fold in fold_of} == set(range(spoken.FOLDS))


def test_clips_differ_in_level_and_length_and_are_the_same_again(folder: Path, tmp_path: Path) -> None:
    sounds = [audio.read(path)[0][0] for path in sorted(folder.glob("*.wav"))]
    peaks = 20 * np.log10([np.abs(sound).max() for sound in sounds])
    assert spoken.LEVEL[0] - 0.1 <= peaks.min() < -15 and -9 < peaks.max() <= spoken.LEVEL[1] + 0.1
    assert len({len(sound) for sound in sounds}) > 100
    again = spoken.render_words(beep, tmp_path / "again", takes=1, seed=1).parent
    other = spoken.render_words(beep, tmp_path / "other", takes=1, seed=2).parent
    name = "07-seven-0.wav"
    assert (again / name).read_bytes() == (folder / name).read_bytes() != (other / name).read_bytes()


def test_without_espeak_there_is_no_speaker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert spoken.speaker() is None
