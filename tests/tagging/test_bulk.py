import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark import audio
from earmark.data.synth import RATE
from earmark.errors import AudioError, BundleError, EarmarkError
from earmark.scoring.scorer import Scorer, Scores
from earmark.tagging import bulk
from earmark.tagging.bulk import Tagged, tag_files
from earmark.tagging.growing import GrowingFile
from earmark.tagging.sink import FileSink
from earmark.tagging.sounds import Request
from tests.tagging.stand_in import TAGGER, StandIn, stand_in

# With a stand-in for the model


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return stand_in(monkeypatch)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ten sounds in ``rec``; 3 and 7 are bad, 5 has no tags."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rec").mkdir()
    for number in range(10):
        (tmp_path / f"rec/{number}.wav").write_text(f"bad {number}" if number in (3, 7) else "" if number == 5 else f"tag {number}")
    return tmp_path


def tag(
    *inputs: str, out: str | None = "tags.csv", form: str = "csv", top_k: int = 3, shard: tuple[int, int] | None = None
) -> Tagged:
    return tag_files(TAGGER, inputs or ["rec"], Request(top_k), form, out, 1, shard)


def labels(out: str = "tags.csv") -> list[str]:
    """What is tagged, in the order of the rows."""
    with open(out, encoding="utf-8", newline="") as file:
        return [row["label"] for row in csv.DictReader(file)]


def ledger(out: str = "tags.csv") -> list[str]:
    path = Path(f"{out}.bad.csv")
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row["reason"] for row in csv.DictReader(file)]


ALL = [f"tag {number}" for number in (0, 1, 2, 4, 6, 8, 9)]
BAD = ["bad 3", "bad 7"]


@pytest.mark.usefixtures("here")
def test_a_run_that_has_ended_is_not_repeated(model: StandIn) -> None:
    first = tag()
    assert (first.tagged, first.bad_count, first.done, first.changed) == (8, 2, 10, True)
    assert (labels(), ledger()) == (ALL, BAD)
    before = Path("tags.csv").read_bytes()
    again = tag()
    assert (again.tagged, again.bad_count, again.done, again.changed) == (8, 2, 0, False)
    assert again.bad == first.bad == (("rec/3.wav", "bad 3"), ("rec/7.wav", "bad 7"))
    assert len(model.read) == 10 and Path("tags.csv").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["rec", "tags.csv", "tags.csv.bad.csv", "tags.csv.journal"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("moment", range(10))
def test_a_run_that_was_stopped_goes_on(model: StandIn, moment: int) -> None:
    model.fails_at = moment
    with pytest.raises(KeyboardInterrupt):
        tag()
    assert tag().done == 10 - moment // 2 * 2  # two are tagged together
    assert (labels(), ledger()) == (ALL, BAD)
    assert not tag().changed


class CrashError(Exception):
    """In place of a process that is killed: nothing is done any more."""


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many steps are left until a crash: before or after a call that changes a file or the journal, or in its middle."""
    countdown = [10**6]

    def step() -> None:
        countdown[0] -= 1
        if countdown[0] < 0:
            raise CrashError

    def crash_around(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: object, **named: object) -> object:
            step()
            result = original(*arguments, **named)
            step()
            return result

        monkeypatch.setattr(owner, name, call)

    for owner, name in (
        (GrowingFile, "_open"),
        (GrowingFile, "replace"),
        (GrowingFile, "append"),
        (GrowingFile, "close"),
        (bulk.Journal, "commit"),
        (bulk.Journal, "record"),
        (bulk.Journal, "drop_old"),
        (FileSink, "finish"),
    ):
        crash_around(owner, name)
    original = GrowingFile._write

    def write_half(file: GrowingFile, content: bytes) -> None:
        countdown[0] -= 1
        if countdown[0] < 0:
            original(file, content[: len(content) // 2])
            raise CrashError
        original(file, content)

    monkeypatch.setattr(GrowingFile, "_write", write_half)
    # A process that is killed does not keep what it has done at its end.
    keep = bulk._Work.keep
    monkeypatch.setattr(bulk._Work, "keep", lambda work: keep(work) if countdown[0] >= 0 else None)
    yield countdown


@pytest.mark.slow
@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("form", ["csv", "raven"])
def test_a_crash_at_any_step_loses_and_doubles_nothing(here: Path, crashing: list[int], form: str) -> None:
    """The first run, then one over changed inputs, which takes rows out, each crashing at every step that there is."""

    def crash_everywhere() -> None:
        last_step = 0
        while True:
            last_step += 1
            crashing[0] = last_step
            try:
                tag(out="out", form=form)
            except CrashError:
                assert last_step < 300
                continue
            crashing[0] = 10**6
            return

    def result() -> tuple[list[str], list[str]]:
        if form == "csv":
            return sorted(labels("out")), sorted(ledger("out"))
        tables = [path.read_text().splitlines() for path in sorted((here / "out").glob("*.txt"))]
        bad = here / "out/bad.csv"
        return [row.split("\t")[-2] for table in tables for row in table[1:]], bad.read_text().splitlines()[
            1:
        ] if bad.exists() else []

    (here / "rec/5.wav").write_text("tag 5")  # a table without a row would not show
    crash_everywhere()
    rows, bad = result()
    assert rows == [f"tag {number}" for number in (0, 1, 2, 4, 5, 6, 8, 9)] and len(bad) == 2
    (here / "rec/0.wav").unlink()
    (here / "rec/7.wav").unlink()
    (here / "rec/4.wav").write_text("another tag")
    (here / "rec/x.wav").write_text("x")
    crash_everywhere()
    rows, bad = result()
    assert sorted(rows) == sorted(["another tag", "x", *(f"tag {number}" for number in (1, 2, 5, 6, 8, 9))])
    assert len(bad) == 1 and "bad 3" in bad[0]
    assert not tag(out="out", form=form).changed


@pytest.mark.usefixtures("here")
def test_after_the_command_there_are_the_rows_of_what_was_asked_for(model: StandIn) -> None:
    tag()
    tag("rec/1.wav", "rec/3.wav", "rec/8.wav")
    assert (labels(), ledger()) == (["tag 1", "tag 8"], ["bad 3"])
    assert len(model.read) == 10
    done = tag("rec/1.wav", "rec/2.wav", "./rec/1.wav")
    assert (labels(), ledger(), done.tagged, done.done, done.ledger) == (["tag 1", "tag 2"], [], 2, 1, None)
    assert not Path("tags.csv.bad.csv").exists()


@pytest.mark.usefixtures("here")
def test_a_file_is_the_same_if_its_size_and_time_are(model: StandIn) -> None:
    tag()
    model.read.clear()
    Path("rec/1.wav").write_text("TAG 1")  # of the same size
    Path("rec/3.wav").write_text("good now")
    Path("rec/4.wav").write_text("bad now")
    before = os.stat("rec/8.wav")
    Path("rec/8.wav").write_text("TAG 8")
    os.utime("rec/8.wav", ns=(before.st_atime_ns, before.st_mtime_ns))  # which nobody can see
    os.utime("rec/9.wav", ns=(0, 10**18))
    tag()
    assert sorted(model.read) == ["1.wav", "3.wav", "4.wav", "9.wav"]
    assert sorted(labels()) == ["TAG 1", "good now", "tag 0", "tag 2", "tag 6", "tag 8", "tag 9"]
    assert ledger() == ["bad 7", "bad now"]


@pytest.mark.usefixtures("here")
def test_missing_files_of_a_list_are_bad_until_they_are_there(model: StandIn) -> None:
    Path("list.txt").write_text("rec/1.wav\nlater.wav\n")
    assert tag("@list.txt").bad == (("later.wav", "no such file"),)
    assert not tag("@list.txt").changed
    Path("later.wav").write_text("late")
    assert tag("@list.txt").bad == ()
    assert labels() == ["tag 1", "late"] and model.read == ["1.wav", "later.wav", "later.wav"]


@pytest.mark.usefixtures("here")
def test_bad_files_are_tried_again_with_other_decoders(model: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    tag()
    model.read.clear()
    monkeypatch.setattr(bulk, "_readers", lambda: "PyAV was installed")
    tag()
    assert model.read == ["3.wav", "7.wav"] and (labels(), ledger()) == (ALL, BAD)
    assert not tag().changed


@pytest.mark.usefixtures("here")
def test_other_settings_after_the_end_begin_anew(model: StandIn) -> None:
    tag("rec/1.wav", "rec/3.wav")
    with open("tags.csv") as file:
        assert next(csv.DictReader(file))["score"] == "0.530000"
    assert tag("rec/1.wav", "rec/3.wav", top_k=5).done == 2
    with open("tags.csv") as file:
        assert [row["score"] for row in csv.DictReader(file)] == ["0.550000"]
    tag("rec/1.wav", form="jsonl", top_k=5)
    assert Path("tags.csv").read_text().count("\n") == 1 and len(model.read) == 5


@pytest.mark.usefixtures("here")
def test_other_settings_in_the_middle_are_refused(model: StandIn) -> None:
    model.fails_at = 6
    with pytest.raises(KeyboardInterrupt):
        tag()
    before = Path("tags.csv").read_bytes()
    with pytest.raises(EarmarkError, match=r"top_k was 3, is 4\).*remove tags.csv.journal") as error:
        tag(top_k=4)
    assert "\n" not in str(error.value) and Path("tags.csv").read_bytes() == before
    Path("tags.csv.journal").unlink()
    tag(top_k=4)
    assert labels() == ALL


@pytest.mark.usefixtures("here", "model")
def test_shards_share_the_sounds_out_and_keep_their_own_places() -> None:
    whole = tag()
    shards = [tag(out=f"tags-{number}.csv", shard=(number, 3)) for number in (1, 2, 3)]
    assert sum(shard.tagged for shard in shards) == whole.tagged
    assert sorted(label for number in (1, 2, 3) for label in labels(f"tags-{number}.csv")) == sorted(ALL)
    assert not tag(out="tags-3.csv", shard=(0, 3)).changed  # 3/3 is 0/3
    for shard in ((2, 3), (1, 4), None):
        with pytest.raises(EarmarkError, match="the tags of another shard are there"):
            tag(out="tags-1.csv", shard=shard)


@pytest.mark.usefixtures("here", "model")
def test_an_empty_shard_is_no_fault() -> None:
    empty = next(number for number in range(50) if tag("rec/1.wav", out=None, shard=(number, 50)).tagged == 0)
    assert tag("rec/1.wav", shard=(empty, 50)).tagged == 0 and Path("tags.csv").read_text() == "file,start,end,label,score\n"


@pytest.mark.usefixtures("here")
def test_output_that_somebody_changed_is_refused_or_made_whole(model: StandIn) -> None:
    tag()
    whole = Path("tags.csv").read_text()
    for edited in (whole + "my own row\n", whole.replace("tag 9", "tag X")):
        Path("tags.csv").write_text(edited)
        with pytest.raises(EarmarkError, match=r"tags.csv has been changed since earmark wrote it"):
            tag()
        assert Path("tags.csv").read_text() == edited
    first_two = whole.index("rec/2.wav")
    for size, again in ((len(whole) - 3, ["9.wav"]), (first_two + 3, ["2.wav", "4.wav", "5.wav", "6.wav", "8.wav", "9.wav"])):
        Path("tags.csv").write_text(whole[:size])  # as after a power cut
        model.read.clear()
        assert tag().changed and labels() == ALL
        assert model.read == again
    Path("tags.csv.bad.csv").unlink()
    Path("tags.csv").write_text(whole[:10])
    model.read.clear()
    tag()
    assert (labels(), ledger()) == (ALL, BAD) and len(model.read) == 10


@pytest.mark.usefixtures("here", "model")
def test_output_without_a_journal_is_replaced_if_the_inputs_are_there() -> None:
    Path("tags.csv").write_text("old\n")
    with pytest.raises(EarmarkError, match="no such file"):
        tag("rec", "nowhere.wav")
    assert Path("tags.csv").read_text() == "old\n" and not Path("tags.csv.journal").exists()
    tag()
    assert labels() == ALL


@pytest.mark.usefixtures("here", "model")
def test_where_output_is_a_link_the_file_that_it_leads_to_is_written() -> None:
    Path("far").mkdir()
    Path("far/tags.csv").write_text("old\n")
    Path("tags.csv").symlink_to("far/tags.csv")
    tag()
    tag("rec/1.wav")
    assert Path("tags.csv").is_symlink() and labels("far/tags.csv") == ["tag 1"]


@pytest.mark.usefixtures("here", "model")
def test_a_sound_is_no_output() -> None:
    os.link("rec/1.wav", "same.wav")
    for inputs in (["rec"], ["rec/1.wav"], ["rec/2.wav", "same.wav"]):
        with pytest.raises(EarmarkError, match=r"--out rec/1.wav is one of the sounds to tag"):
            tag(*inputs, out="rec/1.wav")
    assert Path("rec/1.wav").read_text() == "tag 1" and len(list(Path("rec").iterdir())) == 10


@pytest.mark.usefixtures("here")
def test_stdin_and_pipes_are_new_every_time(model: StandIn) -> None:
    Path("-").touch()  # read by the stand-in
    os.mkfifo("rec/x.wav")
    first = tag("-", "rec")
    assert first.done == 12 and "x.wav" not in model.read
    assert ("rec/x.wav", "is no ordinary file") in first.bad
    model.read.clear()
    assert tag("-", "rec").done == 2 and model.read == ["-"]


@pytest.mark.usefixtures("here", "model")
def test_other_journals_are_refused() -> None:
    Path("tags.csv.journal").write_text("my diary, which is longer than SQLite's header" * 20)
    with pytest.raises(EarmarkError, match=r"tags.csv.journal is damaged, or no journal"):
        tag()
    assert Path("tags.csv.journal").read_text().startswith("my diary")


# With a model


def copied(rendered: Path, *targets: Path) -> None:
    for target in targets:
        target.parent.mkdir(exist_ok=True, parents=True)
        target.write_bytes((rendered.parent / "audio" / "0001.wav").read_bytes())


def test_a_folder_is_searched_and_bad_files_go_to_the_ledger(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    copied(rendered, tmp_path / "b.wav", tmp_path / "a/x.wav")
    (tmp_path / "bad.wav").write_text("no sound")
    out = tmp_path / "tags.csv"
    done = tag_files(earmark.load(finished_run), [str(tmp_path), str(tmp_path / "b.wav")], Request(2), "csv", out)
    assert done.tagged == 2
    assert [row["file"] for row in csv.DictReader(out.open())] == [
        str(tmp_path / n) for n in ("a/x.wav", "a/x.wav", "b.wav", "b.wav")
    ]
    bad = list(csv.DictReader((tmp_path / "tags.csv.bad.csv").open()))
    assert [row["file_name"] for row in bad] == [str(tmp_path / "bad.wav")]
    (tmp_path / "bad.wav").unlink()
    tag_files(earmark.load(finished_run), [str(tmp_path)], Request(2), "csv", out)
    assert not (tmp_path / "tags.csv.bad.csv").exists()  # an old ledger would name files that are fine now


def test_the_threshold_leaves_out_what_is_below(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    tagger = earmark.load(finished_run)
    path = rendered.parent / "audio" / "0001.wav"
    best, second, _ = tagger.tag(path)
    tag_files(tagger, [str(path)], Request(threshold=(best.score + second.score) / 2), "csv", tmp_path / "tags.csv")
    assert [row["label"] for row in csv.DictReader((tmp_path / "tags.csv").open())] == [best.label]


def test_another_model_is_another_run_and_a_copy_of_it_is_not(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    sound, out = str(rendered.parent / "audio" / "0001.wav"), tmp_path / "tags.csv"
    tag_files(earmark.load(finished_run), [sound], Request(), "csv", out)
    shutil.copytree(finished_run / "bundle", tmp_path / "bundle")
    assert not tag_files(earmark.load(tmp_path / "bundle"), [sound], Request(), "csv", out).changed
    first, second = sorted((tmp_path / "bundle").glob("*.safetensors"))
    second.write_bytes(first.read_bytes())
    assert tag_files(earmark.load(tmp_path / "bundle"), [sound], Request(), "csv", out).done == 1


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


@pytest.mark.slow
def test_a_process_that_is_killed_loses_and_doubles_nothing(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    copied(rendered, tmp_path / "rec/0.wav")
    for number in range(1, 400):
        os.link(tmp_path / "rec/0.wav", tmp_path / f"rec/{number}.wav")
    for number in range(0, 400, 40):
        (tmp_path / f"rec/{number}b.wav").write_text("no sound")
    command = [sys.executable, "-m", "earmark", "tag", "rec", "--model", str(finished_run), "--format", "csv", "--out", "tags.csv"]
    kills, statuses = 0, []
    while not statuses or statuses[-1] == -signal.SIGKILL:
        with subprocess.Popen([*command, "--threads", "1"], cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
            before = _size(tmp_path / "tags.csv")
            while kills < 3 and process.poll() is None:
                if _size(tmp_path / "tags.csv") > before:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.002)
        statuses.append(process.returncode)
    assert statuses == [-signal.SIGKILL] * 3 + [3]
    rows = [row["file"] for row in csv.DictReader((tmp_path / "tags.csv").open())]
    assert sorted(rows) == sorted(f"rec/{number}.wav" for number in range(400) for _ in range(3))
    bad = [row["file_name"] for row in csv.DictReader((tmp_path / "tags.csv.bad.csv").open())]
    assert sorted(bad) == sorted(f"rec/{number}b.wav" for number in range(0, 400, 40))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_files_are_tagged_together_as_each_by_itself(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    tagger = earmark.load(finished_run)
    paths = sorted((rendered.parent / "audio").glob("*.wav"))[:12]  # of many lengths
    for number in range(4):  # and some of one length
        samples, rate = soundfile.read(paths[number], frames=7000, dtype="float32")
        soundfile.write(tmp_path / f"{number}.wav", samples, rate)
    paths = [*paths[:6], *sorted(tmp_path.glob("*.wav")), *paths[6:]]
    tag_files(tagger, list(map(str, paths)), Request(10), "csv", tmp_path / "tags.csv")
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
    good = str(next(rendered.parent.rglob("*.wav")))
    result = tag_files(poisoned, [good, str(tmp_path / "enormous.wav")], Request(), "csv", tmp_path / "tags.csv")
    assert result.tagged == 1
    ((name, reason),) = result.bad
    assert name == str(tmp_path / "enormous.wav")
    assert reason.startswith("its scores are not finite: its loudest sample is ") and "e+30 times full scale" in reason
    assert result.ledger is not None and "enormous.wav" in result.ledger.read_text()
    with pytest.raises(AudioError, match="its scores are not finite"):
        poisoned.tag(tmp_path / "enormous.wav")
    broken = replace(tagger, scorers=tuple(Poisoned(scorer, 0.0) for scorer in tagger.scorers))
    with pytest.raises(BundleError, match=f"{finished_run}/bundle: .*whatever the sound"):
        tag_files(broken, [good], Request(), "csv", tmp_path / "tags-2.csv")


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
    result = tag_files(earmark.load(finished_run), [str(tmp_path / "broken.wav")], Request(), "csv", Path("/dev/null"))
    assert (result.tagged, result.ledger, len(result.bad)) == (0, None, 1)
    assert not Path("/dev/null.bad.csv").exists()
