"""A system that has no more open files or no more memory: the work stops, and no sound is blamed for it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.bad_inputs.arrange import bytes_of, prepare, read_rows, tone, write_rows, write_wav
from tests.bad_inputs.cases import Places

# Imports first, which need open files and memory of their own.
LIMITED = """
import os, resource, sys
from pathlib import Path
import earmark.cli, earmark.data.prepare, earmark.data.sources.manifest, earmark.commands.prepare, earmark.commands.tag
import earmark.tagging.tagger, earmark.tagging.bulk, earmark.quiet, rich.progress, rich.console
which, limit, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
if arguments[0] == "tag":
    load = earmark.tagging.tagger.Tagger.load
    tagger = load(Path(arguments[arguments.index("--model") + 1]))
    earmark.tagging.tagger.Tagger.load = lambda *_: tagger
if which == "files":
    limit += len(os.listdir("/proc/self/fd")) - 1
    number = resource.RLIMIT_NOFILE
else:
    limit += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    number = resource.RLIMIT_AS
resource.setrlimit(number, (limit, limit))
status = earmark.cli.run(arguments)
sys.stderr.flush()
os._exit(status)
"""


def limited(which: str, limit: int, *arguments: str) -> tuple[int, str]:
    """Runs a command that may open so many files, or take so much memory, more than it has at its beginning."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, which, str(limit), *arguments],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=one_thread, text=True, timeout=100,
    )  # fmt: skip
    assert "Traceback" not in result.stderr
    return result.returncode, result.stderr


@pytest.fixture
def sounds(places: Places) -> Path:
    here: Path = places["here"]
    for i in range(30):
        write_wav(here / f"{i}.wav", tone()[i:])
    return write_rows(here / "m.csv", *((f"{i}.wav", "xy"[i % 2]) for i in range(30)))


@pytest.mark.slow
def test_prepare_without_open_files_blames_no_sound_and_goes_on(sounds: Path, places: Places) -> None:
    here = places["here"]
    assert prepare(sounds, here / "never-stopped") == 0
    to_store = ("prepare", "manifest", str(sounds), "--out", str(here / "store"), "--sample-rate", "16000", "--jobs", "4")
    seen = set()
    for limit in range(9):
        status, said = limited("files", limit, *to_store)
        seen.add(status)
        if status == 0:
            break
        assert status == 2
        assert said.startswith("error: ") and "Too many open files" in said and said.count("\n") == 1, said
        assert not (here / "store").exists()
    assert seen == {0, 2}
    assert read_rows(here / "store/bad.csv") == []
    assert bytes_of(here / "store") == bytes_of(here / "never-stopped")


@pytest.mark.slow
def test_tag_without_open_files_blames_no_sound(sounds: Path, places: Places) -> None:
    out = places["here"] / "tags.csv"
    for limit in range(8):
        status, said = limited(
            "files", limit, "tag", str(sounds.parent), "--model", str(places["bundle"]), "--out", str(out), "--threads", "4"
        )
        assert not Path(f"{out}.bad.csv").exists()
        if status == 0:
            break
        assert status == 2
        assert said.startswith("error: ") and "Too many open files" in said and said.count("\n") == 1, said
    assert status == 0
    assert limit > 0


@pytest.mark.slow
def test_prepare_without_memory_names_the_sound_and_goes_on(places: Places) -> None:
    here = places["here"]
    write_wav(here / "a.wav")
    soundfile.write(here / "long.wav", np.zeros((20_000_000, 2), np.int16), 44100)
    write_rows(here / "m.csv", ("a.wav", "x"), ("long.wav", "y"))
    to_store = ("prepare", "manifest", str(here / "m.csv"), "--out", str(here / "store"), "--sample-rate", "16000", "--jobs", "1")
    status, said = limited("memory", 250_000_000, *to_store)
    assert status == 2
    assert said.startswith(f"error: {here}/long.wav: not enough memory to decode it") and said.count("\n") == 1, said
    assert prepare(here / "m.csv", here / "store") == 0
