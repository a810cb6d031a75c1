import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark import audio
from earmark.scoring.ensemble import combine
from earmark.tagging.bulk import find_audio, tag_files
from earmark.tagging.formats import TaggedFile, header, render
from earmark.tagging.tagger import Tag, Tagger


def test_a_bundle_has_no_pickle_and_its_card_says_what_it_is(finished_run: Path) -> None:
    bundle = finished_run / "bundle"
    names = sorted(path.name for path in bundle.iterdir())
    assert names == ["README.md", "config.json", "logmel-fold0.safetensors", "logmel-fold1.safetensors"]
    config = json.loads((bundle / "config.json").read_text())
    assert config["labels"][:2] == ["bell", "chirps"]
    assert {(m["fold"], m["activation"], m["weight"], tuple(m["views"])) for m in config["members"]} == {
        (0, "softmax", 0.5, ("whole",)),
        (1, "softmax", 0.5, ("whole",)),
    }
    card = (bundle / "README.md").read_text()
    assert "10 classes" in card
    assert "2 nets" in card


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


@pytest.mark.parametrize("name", ["plain.wav", "two words.wav", 'quote".wav', "new\nline.wav", "comma,.wav", "Жук-é.wav"])
def test_every_name_survives_csv_and_jsonl(name: str) -> None:
    found = TaggedFile(name, 0.0, 1.25, [Tag("Bark, loud", 0.5), Tag("Meow", 0.25)])
    rows = list(csv.DictReader(io.StringIO(header("csv") + render(found, "csv"))))
    assert [(row["file"], row["label"], row["end"]) for row in rows] == [(name, "Bark, loud", "1.250"), (name, "Meow", "1.250")]
    line = render(found, "jsonl")
    assert line.count("\n") == 1
    assert json.loads(line)["file"] == name
    assert render(found, "table").count("\n") == 1


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


def test_bfloat16_changes_the_third_digit(finished_run: Path, rendered: Path) -> None:
    exact, fast = earmark.load(finished_run), Tagger.load(finished_run, "bfloat16")
    sounds = [soundfile.read(path, dtype="float32")[0] for path in sorted((rendered.parent / "audio").glob("*.wav"))[:8]]
    for samples in sounds:
        one, other = exact.scores(samples[None], 16000), fast.scores(samples[None], 16000)
        assert other.dtype == np.float32
        assert not np.array_equal(one, other)
        assert np.allclose(one, other, atol=0.02)
