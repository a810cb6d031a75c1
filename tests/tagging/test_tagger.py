from pathlib import Path

import numpy as np
import soundfile

import earmark
from earmark import audio
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
        each = [net(torch.from_numpy(waveform[None]))[0].numpy() for net in (scorer.net for scorer in tagger.scorers)]
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
