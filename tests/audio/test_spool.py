import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.audio import spool
from earmark.errors import AudioError, MachineError


def sound(path: Path, form: str = "WAV") -> bytes:
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 100_000), 16000, format=form)
    return path.read_bytes()


def samples_of(path: Path | str) -> np.ndarray:
    with audio.streamed(path) as stream:
        return np.concatenate([block[16000] for block in stream.mono((16000,))])


def fed(write_to: int | Path, content: bytes, wait: float = 0.0) -> threading.Thread:
    """A thread that writes to a pipe, half of it after a while."""

    def feed() -> None:
        with open(write_to, "wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            time.sleep(wait)
            file.write(content[len(content) // 2 :])

    thread = threading.Thread(target=feed)
    thread.start()
    return thread


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_pipe_has_the_samples_that_its_file_has(form: str, tmp_path: Path) -> None:
    content = sound(tmp_path / "x", form)
    os.mkfifo(tmp_path / "pipe")
    writer = fed(tmp_path / "pipe", content, 0.3)
    samples = samples_of(tmp_path / "pipe")
    writer.join()
    np.testing.assert_array_equal(samples, samples_of(tmp_path / "x"))


def test_stdin_and_open_pipes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = sound(tmp_path / "x")
    for name in ("-", Path("-"), "/dev/fd/{}"):
        out, into = os.pipe()
        monkeypatch.setattr(spool, "_STDIN_NUMBER", out)
        writer = fed(into, content)
        np.testing.assert_array_equal(samples_of(name if isinstance(name, Path) else name.format(out)), samples_of(tmp_path / "x"))
        writer.join()
        os.close(out)


def test_stdin_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound(tmp_path / "x")
    with (tmp_path / "x").open("rb") as file:
        monkeypatch.setattr(spool, "_STDIN_NUMBER", file.fileno())
        assert len(samples_of("-")) == 100_000
        with pytest.raises(AudioError, match=r"^the file is empty$"):  # it has been read
            samples_of("-")


def test_stdin_that_is_no_sound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    out, into = os.pipe()
    os.close(into)
    monkeypatch.setattr(spool, "_STDIN_NUMBER", out)
    with pytest.raises(AudioError, match=r"^the file is empty$"):
        samples_of("-")
    os.close(out)
    with pytest.raises(AudioError, match=r"^stdin is closed; give it a sound: earmark tag - --model M < FILE$"):
        samples_of("-")
    main, terminal = os.openpty()
    monkeypatch.setattr(spool, "_STDIN_NUMBER", terminal)
    with pytest.raises(AudioError, match=r"^stdin is a terminal; give it a sound"):
        samples_of("-")
    os.close(main)
    os.close(terminal)


def test_a_device_is_neither_file_nor_pipe() -> None:
    with pytest.raises(AudioError, match=r"^is no ordinary file$"):
        samples_of("/dev/zero")


def test_nothing_is_left_of_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = sound(tmp_path / "x")
    (tmp_path / "room").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    os.mkfifo(tmp_path / "pipe")
    writer = fed(tmp_path / "pipe", content)
    with audio.streamed(tmp_path / "pipe") as stream:
        next(stream.mono((16000,)))
        assert not list((tmp_path / "room").iterdir())
    writer.join()


def test_no_room_for_temporary_files_is_not_the_sounds_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with pytest.raises(MachineError, match=r"pipe: nowhere to keep its bytes meanwhile: No usable temporary directory"):
        samples_of(tmp_path / "pipe")


WAITING = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from earmark import audio
from earmark.interrupts import Interrupts

Interrupts().listen()
def wait():
    print("waiting", flush=True)
    with audio.streamed(sys.argv[1]):
        pass
with ThreadPoolExecutor(1) as pool:
    pool.submit(wait).result() if sys.argv[2] == "thread" else wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["main", "thread"])
def test_waiting_for_somebody_to_write_can_be_stopped(where: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", WAITING, tmp_path / "pipe", where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) != 0
        assert process.stderr.read().rstrip().endswith("KeyboardInterrupt")
