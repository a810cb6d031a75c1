from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark import audio
from earmark.data.clips import load_clips
from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.errors import AudioError, WindowError
from earmark.scoring.ensemble import combine
from earmark.tagging.streams import ArraySound, file_opener
from earmark.tagging.tagger import Tagger
from earmark.tagging.windows import in_one_piece


def test_tags_are_the_ensembles_best_labels_whatever_form_the_sound_comes_in(finished_run: Path, rendered: Path) -> None:
    tagger = earmark.load(finished_run)
    path = rendered.parent / "audio" / "0003.wav"
    samples, rate = soundfile.read(path, dtype="float32")
    tags = tagger.tag(path)
    assert tags == tagger.tag(str(path)) == tagger.tag(samples, rate)
    assert tagger.tag(np.stack([samples, samples]), rate) == tags  # stereo
    scores = tagger.scores(samples[None], rate)[0]
    assert [tag.score for tag in tags] == sorted(scores.tolist(), reverse=True)[:3]
    assert tags[0].label == tagger.labels.names[int(scores.argmax())]
    import torch

    waveform = audio.model_input(samples, 16000)
    with torch.inference_mode():
        nets = (scorer.net for scorer in Tagger.load(finished_run, runtime="torch").scorers)
        each = [net(torch.from_numpy(waveform[None]))[0].numpy() for net in nets]
    assert np.allclose(combine(each, [1, 1], "geometric_mean"), scores, atol=1e-6)


def test_louder_is_not_different(finished_run: Path, rendered: Path) -> None:
    tagger = earmark.load(finished_run)
    samples, rate = soundfile.read(rendered.parent / "audio" / "0010.wav", dtype="float32")
    assert np.allclose(tagger.scores(samples[None], rate), tagger.scores(samples[None] * 0.01, rate), atol=1e-4)


def test_bfloat16_changes_the_third_digit(finished_run: Path, rendered: Path) -> None:
    exact, fast = earmark.load(finished_run), Tagger.load(finished_run, "bfloat16")
    sounds = [soundfile.read(path, dtype="float32")[0] for path in sorted((rendered.parent / "audio").glob("*.wav"))[:8]]
    for samples in sounds:
        one, other = exact.scores(samples[None], 16000), fast.scores(samples[None], 16000)
        assert other.dtype == np.float32
        assert not np.array_equal(one, other)
        assert np.allclose(one, other, atol=0.02)


def test_a_sound_is_heard_as_the_store_keeps_it(finished_run: Path, tmp_path: Path) -> None:
    """What is left of a float sound at another rate after 16 bits is the same for tagging as for learning and evaluating."""
    rng = np.random.default_rng(5)
    sounds = [rng.normal(0, spread, (2, 22050)).astype(np.float32) for spread in (1e-4, 0.1, 2.0)]
    clips = [Clip(f"{number}.wav", ("Noise",)) for number in range(len(sounds))]
    for clip, samples in zip(clips, sounds, strict=True):
        soundfile.write(tmp_path / clip.file_name, samples.T, 22050, subtype="FLOAT")
    write_manifest(tmp_path / "manifest.csv", clips)
    store = prepare(read_manifest(tmp_path / "manifest.csv"), "here", tmp_path / "store", [16000]).store
    kept, tagger = load_clips(store, 16000), earmark.load(finished_run)
    for number, samples in enumerate(sounds):
        (heard,) = in_one_piece(ArraySound(audio.to_mono(samples), 22050), tagger.sample_rates)
        np.testing.assert_array_equal(heard.sound[16000], kept.samples(number))
        with file_opener(tmp_path / f"{number}.wav")() as stream:
            (read,) = in_one_piece(stream, [16000])
        np.testing.assert_allclose(read.sound[16000], heard.sound[16000], atol=np.abs(samples).max() / 16384)
        assert not np.array_equal(heard.sound[16000], audio.resample(audio.to_mono(samples), 22050, 16000))


def long_sound(folder: Path, seconds: float) -> np.ndarray:
    """Rendered clips one after the other, 16 kHz."""
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted(folder.glob("*.wav"))]
    return np.resize(np.concatenate(clips), round(seconds * 16000))


def scores_alone(tagger: Tagger, samples: np.ndarray) -> np.ndarray:
    """What the nets say of samples that go through them in one piece and alone."""
    return tagger.combined([{16000: audio.of_16_bits(samples)}])[0]


def test_a_timeline_is_what_the_slices_of_the_sound_get_by_themselves(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    tagger = earmark.load(finished_run)
    samples = long_sound(rendered.parent / "audio", 10.4)
    soundfile.write(tmp_path / "long.wav", samples, 16000, subtype="FLOAT")
    for hop, starts in ((None, [0, 3, 6, 9]), (1.5, [0, 1.5, 3, 4.5, 6, 7.5])):
        timeline = tagger.timeline(samples, 3, hop, top_k=10, sample_rate=16000)
        assert [part.start for part in timeline] == starts
        for part in timeline:
            truth = scores_alone(tagger, samples[round(part.start * 16000) : round(part.end * 16000)])
            assert {tag.label: tag.score for tag in part.tags} == pytest.approx(
                dict(zip(tagger.labels.names, truth.tolist(), strict=True)), abs=1e-5
            )
        assert timeline[-1].end == 10.4
        read = tagger.timeline(tmp_path / "long.wav", 3, hop, top_k=10)
        assert [part.tags[0].label for part in read] == [part.tags[0].label for part in timeline]
    best = tagger.timeline(samples, 3, top_k=1, sample_rate=16000)
    runs = tagger.timeline(samples, 3, top_k=1, sample_rate=16000, merge=True)
    changes = [k for k in range(1, 4) if best[k].tags[0].label != best[k - 1].tags[0].label]
    assert [run.start for run in runs] == [0, *(3 * k for k in changes)]


def test_a_long_sound_has_the_mean_scores_of_its_pieces(finished_run: Path, rendered: Path) -> None:
    tagger = earmark.load(finished_run)
    samples = long_sound(rendered.parent / "audio", 70)
    pieces = [(0, 30), (30, 50), (50, 70)]
    truth = sum((end - start) / 70 * scores_alone(tagger, samples[start * 16000 : end * 16000]) for start, end in pieces)
    np.testing.assert_allclose(tagger.scores(samples[None], 16000)[0], truth, atol=1e-5)
    minute = samples[: 60 * 16000]
    np.testing.assert_allclose(tagger.scores(minute[None], 16000)[0], scores_alone(tagger, minute), atol=1e-6)
    assert tagger.scores(np.zeros((0, 100), np.float32), 16000).shape == (0, 10)


def test_a_threshold_is_for_every_label_or_for_each(finished_run: Path, rendered: Path) -> None:
    tagger = earmark.load(finished_run)
    samples, rate = soundfile.read(rendered.parent / "audio" / "0003.wav", dtype="float32")
    best, second, third = tagger.tag(samples, rate)
    assert tagger.tag(samples, rate, threshold=(second.score + third.score) / 2) == [best, second]
    assert tagger.tag(samples, rate, threshold=tagger.thresholds(second.score)) == [best, second]
    limits = np.array([np.inf if name == best.label else second.score for name in tagger.labels.names], np.float32)
    assert tagger.tag(samples, rate, threshold=limits) == [second]


def test_what_is_no_sound_and_what_is_no_window_is_refused(finished_run: Path, tmp_path: Path) -> None:
    tagger = earmark.load(finished_run)
    second = np.zeros(16000, np.float32)
    with pytest.raises(ValueError, match="samples need their sample_rate"):
        tagger.tag(second)
    with pytest.raises(ValueError, match="a file brings its own sample rate"):
        tagger.tag(tmp_path / "a.wav", 16000)
    with pytest.raises(ValueError, match=r"samples of shape \(16000, 2\)"):
        tagger.timeline(np.zeros((16000, 2)), 0.5, sample_rate=16000)
    with pytest.raises(AudioError, match="no such file"):
        tagger.timeline(tmp_path / "a.wav", 0.5)
    with pytest.raises(AudioError, match="NaN"):
        tagger.tag(second * np.nan, 16000)
    with pytest.raises(AudioError, match="no samples"):
        tagger.tag(second[:0], 16000)
    with pytest.raises(WindowError, match="a window of 0 s"):
        tagger.timeline(second, 0, sample_rate=16000)
