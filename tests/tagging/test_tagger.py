from pathlib import Path

import numpy as np
import soundfile

import earmark
from earmark import audio
from earmark.data.clips import load_clips
from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.scoring.ensemble import combine
from earmark.tagging.tagger import Tagger


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
        heard = tagger.resampled(audio.to_mono(samples), 22050)[16000]
        np.testing.assert_array_equal(heard, kept.samples(number))
        assert not np.array_equal(heard, audio.resample(audio.to_mono(samples), 22050, 16000))
