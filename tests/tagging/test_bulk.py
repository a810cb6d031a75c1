import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark import audio
from earmark.data.synth import RATE
from earmark.errors import AudioError, BundleError
from earmark.scoring.scorer import Scorer, Scores
from earmark.tagging.bulk import find_audio, tag_files


def test_a_folder_is_searched_and_bad_files_go_to_the_ledger(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    for name in ("b.wav", "a/x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((rendered.parent / "audio" / "0001.wav").read_bytes())
    (tmp_path / "bad.wav").write_text("no sound")
    out = tmp_path / "tags.csv"
    done = tag_files(earmark.load(finished_run), [tmp_path, tmp_path / "b.wav"], 2, 0.0, "csv", out)
    assert done.tagged == 2
    assert [row["file"] for row in csv.DictReader(out.open())] == [
        str(tmp_path / n) for n in ("a/x.wav", "a/x.wav", "b.wav", "b.wav")
    ]
    ledger = list(csv.DictReader((tmp_path / "tags.csv.bad.csv").open()))
    assert [row["file_name"] for row in ledger] == [str(tmp_path / "bad.wav")]
    (tmp_path / "bad.wav").unlink()
    tag_files(earmark.load(finished_run), [tmp_path], 2, 0.0, "csv", out)
    assert not (tmp_path / "tags.csv.bad.csv").exists()  # an old ledger would name files that are fine now


def test_the_threshold_leaves_out_what_is_below(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    tagger = earmark.load(finished_run)
    path = rendered.parent / "audio" / "0001.wav"
    best, second, _ = tagger.tag(path)
    tag_files(tagger, [path], 3, (best.score + second.score) / 2, "csv", tmp_path / "tags.csv")
    assert [row["label"] for row in csv.DictReader((tmp_path / "tags.csv").open())] == [best.label]


def test_files_are_found_once(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert find_audio([tmp_path / "a.wav", tmp_path]) == [tmp_path / "a.wav"]


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_fault(finished_run: Path, rendered: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "earmark", "tag", str(rendered.parent / "audio" / "0001.wav"), "--model", str(finished_run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_files_are_tagged_together_as_each_by_itself(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    tagger = earmark.load(finished_run)
    paths = sorted((rendered.parent / "audio").glob("*.wav"))[:12]  # of many lengths
    for number in range(4):  # and some of one length
        samples, rate = soundfile.read(paths[number], frames=7000, dtype="float32")
        soundfile.write(tmp_path / f"{number}.wav", samples, rate)
    paths = [*paths[:6], *sorted(tmp_path.glob("*.wav")), *paths[6:]]
    tag_files(tagger, paths, 10, 0.0, "csv", tmp_path / "tags.csv")
    rows = list(csv.DictReader((tmp_path / "tags.csv").open()))
    assert list(dict.fromkeys(row["file"] for row in rows)) == [str(path) for path in paths]
    for path in paths:
        found = {row["label"]: float(row["score"]) for row in rows if row["file"] == str(path)}
        assert found == pytest.approx(dict(tagger.tag(path, top_k=10)), abs=1e-4)


def test_scores_that_are_no_numbers_are_the_files_fault_or_the_models(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    enormous = np.random.default_rng(0).normal(0, 1, RATE).astype(np.float32) * np.float32(1e30)
    soundfile.write(tmp_path / "enormous.wav", enormous, RATE, subtype="FLOAT")
    tagger = earmark.load(finished_run)
    poisoned = replace(tagger, scorers=tuple(Poisoned(scorer, 1e20) for scorer in tagger.scorers))
    good = next(rendered.parent.rglob("*.wav"))
    result = tag_files(poisoned, [good, tmp_path / "enormous.wav"], 3, 0.0, "csv", tmp_path / "tags.csv")
    assert result.tagged == 1
    ((name, reason),) = result.bad
    assert name == str(tmp_path / "enormous.wav")
    assert reason.startswith("its scores are not finite: its loudest sample is ") and "e+30 times full scale" in reason
    assert result.ledger is not None and "enormous.wav" in result.ledger.read_text()
    with pytest.raises(AudioError, match="its scores are not finite"):
        poisoned.tag(tmp_path / "enormous.wav")
    broken = replace(tagger, scorers=tuple(Poisoned(scorer, 0.0) for scorer in tagger.scorers))
    with pytest.raises(BundleError, match=f"{finished_run}/bundle: .*whatever the sound"):
        tag_files(broken, [good], 3, 0.0, "csv", tmp_path / "tags.csv")


class Poisoned(Scorer):
    """A scorer whose scores are no numbers for sounds with a sample above a limit."""

    def __init__(self, inner: Scorer, limit: float) -> None:
        super().__init__(inner.input.model_copy(update={"peak_normalised": False}), inner.classes, inner.hop_length)
        self.inner, self.limit = inner, limit

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        scores = self.inner.score_group([np.clip(waveform, -1, 1) for waveform in waveforms], views)
        scores[:, [np.abs(waveform).max() > self.limit for waveform in waveforms]] = np.nan
        return scores


def test_device_as_output_has_no_ledger_beside_it(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    result = tag_files(earmark.load(finished_run), [tmp_path / "broken.wav"], 3, 0.0, "csv", Path("/dev/null"))
    assert (result.tagged, result.ledger, len(result.bad)) == (0, None, 1)
    assert not Path("/dev/null.bad.csv").exists()
