import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import earmark
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
