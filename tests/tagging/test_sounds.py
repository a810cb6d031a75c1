import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.errors import AudioError, BundleError, MachineError
from earmark.labels import LabelSet, Tag
from earmark.recipe import InputSettings
from earmark.scoring.scorer import Scorer, Scores
from earmark.tagging.sounds import GROUP_SAMPLES, WAITING_SAMPLES, Request, TaggedSound, tag_sounds
from earmark.tagging.streams import ArraySound
from earmark.tagging.tagger import Tagger

RATE = 8000
LABELS = LabelSet(("loud", "up", "down"))


class Measures(Scorer):
    """Scores that can be computed by hand: the mean loudness, and the shares of samples above and below 0."""

    def __init__(self, rate: int = RATE) -> None:
        super().__init__(InputSettings(sample_rate=rate, window=1, peak_normalised=False), 3, 1, "sigmoid")
        self.groups: list[tuple[int, int]] = []  # sounds and samples of each
        self.threads: set[int] = set()

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        self.groups.append((len(waveforms), sum(map(len, waveforms))))
        self.threads.add(threading.get_ident())
        return np.stack([np.stack([measured(waveform) for waveform in waveforms])] * len(views))


def measured(samples: np.ndarray) -> np.ndarray:
    return np.array([np.abs(samples).mean(), (samples > 0).mean(), (samples < 0).mean()], np.float32)


def tagger_of(*scorers: Scorer) -> Tagger:
    members = [SimpleNamespace(input=scorer.input, views=["whole"], weight=1.0) for scorer in scorers]
    config: Any = SimpleNamespace(members=members, rule="arithmetic_mean", labels=list(LABELS.names), calibration=None)
    return Tagger(config, LABELS, scorers)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.uniform(0.1, 0.9, int(seconds) + 1), RATE)[: round(seconds * RATE)]
    return (rng.uniform(-1, 1, len(loudness)) * loudness).astype(np.float32)


def written(folder: Path, *seconds: float) -> list[Path]:
    """Files of noise, 16 bits, so that what is read is what is scored."""
    paths = [folder / f"{number}.wav" for number in range(len(seconds))]
    for number, path in enumerate(paths):
        soundfile.write(path, noise(seconds[number], number), RATE, subtype="PCM_16")
    return paths


def tags_of(samples: np.ndarray) -> dict[str, float]:
    return dict(zip(LABELS.names, measured(samples).tolist(), strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_files_are_scored_as_slices_of_them_are_by_hand(threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.tagging.sounds.WAITING_SAMPLES", 50_000)  # many batches
    paths = written(tmp_path, 3.0, 70.0, 0.5, 3.0, 130.3)
    arrays = [soundfile.read(path, dtype="float32")[0] for path in paths]
    whole = tag_sounds(tagger_of(Measures()), paths, Request(), threads)
    for path, samples, sound in zip(paths, arrays, whole, strict=True):
        assert isinstance(sound, TaggedSound)
        assert (sound.file, sound.seconds, sound.high) == (str(path), len(samples) / RATE, RATE / 2)
        (part,) = sound.parts
        assert (part.start, part.end) == (0, sound.seconds)
        assert dict(part.tags) == pytest.approx(
            tags_of(samples), abs=1e-5
        )  # measures of equal parts have the measures of the whole
    parts = tag_sounds(tagger_of(Measures()), paths, Request(window=2.0, hop=1.5), threads)
    for samples, sound in zip(arrays, parts, strict=True):
        assert isinstance(sound, TaggedSound)
        assert [part.start for part in sound.parts] == [1.5 * number for number in range(len(sound.parts))]
        assert len(sound.parts) == max(int(np.ceil((len(samples) / RATE - 2) / 1.5)), 0) + 1
        for part in sound.parts:
            assert dict(part.tags) == pytest.approx(tags_of(samples[round(part.start * RATE) : round(part.end * RATE)]), abs=1e-5)


def test_a_request_says_which_labels(tmp_path: Path) -> None:
    paths = written(tmp_path, 6.0)
    tagger = tagger_of(Measures())
    (every,) = tag_sounds(tagger, paths, Request(window=2.0))
    (best,) = tag_sounds(tagger, paths, Request(top_k=1, window=2.0))
    limits = np.array([0, np.inf, 0], np.float32)
    (some,) = tag_sounds(tagger, paths, Request(threshold=limits, window=2.0))
    (merged,) = tag_sounds(tagger, paths, Request(threshold=limits, window=2.0, merge=True))
    for sound in (every, best, some, merged):
        assert isinstance(sound, TaggedSound)
    assert [part.tags for part in best.parts] == [part.tags[:1] for part in every.parts]
    assert {tag.label for part in some.parts for tag in part.tags} == {"loud", "down"}
    highest = {label: max(dict(part.tags)[label] for part in every.parts) for label in ("loud", "down")}
    assert sorted((part.start, part.end, *part.tags[0]) for part in merged.parts) == sorted(
        (0, 6, label, score) for label, score in highest.items()
    )


def test_sounds_of_one_length_and_windows_of_all_files_are_scored_together(tmp_path: Path) -> None:
    paths = written(tmp_path, 1.0, 2.0, 1.0, 1.0, 2.0)
    scorer = Measures()
    tag_sounds(tagger_of(scorer), paths, Request())
    assert sorted(scorer.groups) == [(2, 4 * RATE), (3, 3 * RATE)]
    scorer.groups.clear()
    tag_sounds(tagger_of(scorer), paths, Request(window=0.5))
    assert scorer.groups == [(14, 7 * RATE)]
    scorer.groups.clear()
    tag_sounds(tagger_of(scorer), paths, Request(window=0.5), group_samples=2 * RATE)
    assert scorer.groups == [(4, 2 * RATE), (4, 2 * RATE), (4, 2 * RATE), (2, RATE)]
    assert scorer.threads == {threading.get_ident()}
    tag_sounds(tagger_of(scorer), paths, Request(), threads=2)
    assert len(scorer.threads) == 2


def test_nets_of_several_rates_hear_the_same_seconds(tmp_path: Path) -> None:
    samples = np.concatenate([np.full(RATE, level, np.float32) for level in (0.1, 0.2, 0.3, 0.4)])
    soundfile.write(tmp_path / "steps.wav", samples, RATE, subtype="FLOAT")
    (sound,) = tag_sounds(tagger_of(Measures(4000), Measures(16000)), [tmp_path / "steps.wav"], Request(window=1.0))
    assert isinstance(sound, TaggedSound)
    assert sound.high == RATE / 2  # of the file, since a net hears more
    assert [dict(part.tags)["loud"] for part in sound.parts] == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.005)
    (sound,) = tag_sounds(tagger_of(Measures(4000)), [tmp_path / "steps.wav"], Request())
    assert isinstance(sound, TaggedSound) and sound.high == 2000


class Faulty(ArraySound):
    """A sound whose later blocks cannot be read."""

    def __init__(self, seconds: float, error: Exception) -> None:
        super().__init__(noise(seconds), RATE)
        self.error = error

    def mono(self, rates: Sequence[int]) -> Iterator[Mapping[int, audio.Samples]]:
        yield from super().mono(rates)
        raise self.error


@pytest.fixture
def sounds(monkeypatch: pytest.MonkeyPatch) -> dict[str, ArraySound]:
    """What is read instead of files, by name."""
    fakes: dict[str, ArraySound] = {}

    @contextmanager
    def streamed(path: Path) -> Iterator[ArraySound]:
        yield fakes[str(path)]

    monkeypatch.setattr(audio, "streamed", streamed)
    return fakes


@pytest.mark.parametrize("request_", [Request(), Request(window=0.5)])
def test_a_bad_sound_has_no_tags_and_the_others_have_theirs(
    request_: Request, sounds: dict[str, ArraySound], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earmark.tagging.sounds.WAITING_SAMPLES", RATE)  # parts are scored before the damage is met
    loud = noise(2)
    loud[-10:] = 100.0
    sounds |= {
        "good": ArraySound(noise(2), RATE),
        "damaged late": Faulty(90, AudioError("damaged at 90 s")),
        "loud": ArraySound(loud, RATE),
        "loud and damaged": Faulty(0.5, AudioError("damaged at 2 s")),
        "empty": ArraySound(noise(0), RATE),
        "last": ArraySound(noise(1), RATE),
    }
    sounds["loud and damaged"].samples = loud
    tagger = tagger_of(Limited())
    tagged = tag_sounds(tagger, list(map(Path, sounds)), request_)
    assert isinstance(tagged[0], TaggedSound) and isinstance(tagged[5], TaggedSound)
    assert [str(error) for error in tagged[1:5]] == [
        "damaged at 90 s",
        "its scores are not finite: its loudest sample is 100 times full scale",
        "damaged at 2 s",
        "no samples",
    ]


class Limited(Measures):
    """Its scores of sounds that are too loud are no numbers."""

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        scores = super().score_group(waveforms, views)
        scores[:, [np.abs(waveform).max() > 10 for waveform in waveforms]] = np.nan
        return scores


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fault_of_the_system_or_of_the_model_stops_the_work(threads: int, sounds: dict[str, ArraySound]) -> None:
    sounds |= {"good": ArraySound(noise(2), RATE), "disk": Faulty(2, MachineError("a disk error"))}
    with pytest.raises(MachineError, match="a disk error"):
        tag_sounds(tagger_of(Measures()), [Path("good"), Path("disk"), Path("good")], Request(), threads)
    sounds["system"] = Faulty(2, OSError(5, "Input/output error"))
    with pytest.raises(MachineError, match="Input/output error"):
        tag_sounds(tagger_of(Measures()), [Path("system")], Request(), threads)
    broken = replace(tagger_of(Broken()), folder=Path("model"))
    with pytest.raises(BundleError, match=r"model: .* whatever the sound"):
        tag_sounds(broken, [Path("good")], Request(), threads)


class Broken(Measures):
    """Its scores are never numbers."""

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        return super().score_group(waveforms, views) * np.float32(np.nan)


def test_memory_does_not_grow_with_the_length(sounds: dict[str, ArraySound]) -> None:
    """An hour and a quarter of sound, of which a net hears a part at a time while the next ones are read."""

    class Endless(ArraySound):
        ahead = 0

        def mono(self, rates: Sequence[int]) -> Iterator[Mapping[int, audio.Samples]]:
            block, self.seconds = noise(10), 0.0
            for _ in range(450):
                self.seconds += 10
                scored = sum(samples for _, samples in scorer.groups) / RATE
                self.ahead = max(self.ahead, self.seconds - scored)
                yield dict.fromkeys(rates, block)

    scorer = Measures()
    sounds["endless"] = endless = Endless(noise(1), RATE)
    for request_ in (Request(), Request(window=5.0)):
        scorer.groups.clear()
        endless.ahead = 0
        (sound,) = tag_sounds(tagger_of(scorer), [Path("endless")], request_)
        assert isinstance(sound, TaggedSound) and sound.seconds == 4500
        # Four batches: one that is scored, two that wait, one that is made; and what is read of the next parts.
        assert endless.ahead <= 4 * WAITING_SAMPLES / RATE + 3 * 60 + 10
        assert max(samples for _, samples in scorer.groups) <= GROUP_SAMPLES


def test_a_program_that_was_asked_to_stop_reads_no_sound_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])  # nobody asks a fourth time
    monkeypatch.setattr("earmark.tagging.sounds.interrupted", lambda: next(answers))
    with pytest.raises(KeyboardInterrupt):
        tag_sounds(tagger_of(Measures()), written(tmp_path, 60.0), Request(window=1.0))


def test_nothing_is_asked_of_no_files() -> None:
    assert tag_sounds(tagger_of(Measures()), [], Request()) == []
    assert Request().threshold == 0.0 and Tag("loud", 1.0).label == "loud"
