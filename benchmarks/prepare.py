"""Preparing: how fast a store is made, compared with librosa and with decoding and resampling alone.

    python benchmarks/prepare.py esc50 ESC-50

Contenders: a loop over `librosa.load` on one core; decoding (soundfile, and PyAV where it is installed) and resampling (soxr)
and nothing else on all cores; `earmark prepare`. Then `earmark prepare` of 16-bit WAV files at the store's sample rate, compared with
copying those files; and the most memory that `earmark prepare` takes for a tenth of the clips and for all clips.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
from measure import options, rendered, show, take_turns

from earmark import audio
from earmark.data.manifest import Manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.sources import scan

CORES = os.cpu_count() or 1


def bare_soundfile(path: Path, rate: int) -> int:
    samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)
    return len(soxr.resample(samples.mean(axis=1), file_rate, rate))


def bare_pyav(path: Path, rate: int) -> int:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        file_rate = stream.rate
    samples = np.concatenate(frames, axis=1).astype(np.float32)
    return len(soxr.resample(samples.mean(axis=0), file_rate, rate))


def in_threads(paths: list[Path], work: object, rate: int) -> None:
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda path: work(path, rate), paths))  # type: ignore[operator]


def into_store(manifest: Manifest, rate: int, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    prepare(manifest, "benchmark", out, [rate])


def peak_memory(manifest: Path, rate: int, out: Path) -> float:
    """The most memory that the command `earmark prepare` takes, in MB."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "earmark", "prepare", "manifest", str(manifest), "--out", str(out), "--sample-rate", str(rate)]
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        # Not resource.getrusage, whose result also depends on the process that started the command.
        while process.poll() is None:
            with contextlib.suppress(OSError, StopIteration):  # the process has just ended
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                most = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
            time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return most / 1024


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("source", nargs="?", default="manifest")
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("--rate", type=int, default=16000)
    given = parser.parse_args()
    rate, runs = given.rate, 1 if given.smoke else given.runs
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        root = rendered(folder / "sounds") if given.smoke else given.root
        manifest = scan(given.source, root, ",")
        paths = [manifest.path(clip) for clip in manifest.clips]
        contenders = {
            "librosa.load, one after the other": lambda: [librosa.load(path, sr=rate) for path in paths],
            f"soundfile + soxr alone, {CORES} threads": lambda: in_threads(paths, bare_soundfile, rate),
            "earmark prepare": lambda: into_store(manifest, rate, folder / "store"),
        }
        try:
            import av  # noqa: F401

            contenders[f"PyAV + soxr alone, {CORES} threads"] = lambda: in_threads(paths, bare_pyav, rate)
        except ModuleNotFoundError:
            sys.stderr.write("PyAV is not installed: pip install '.[bench]'\n")
        seconds = take_turns(contenders, runs)
        ours = seconds["earmark prepare"]
        show(
            f"{len(paths):,} files → a store at {rate:,} Hz",
            ("", "files/s", "earmark is … times as fast"),
            [(name, len(paths) / time_taken, time_taken / ours) for name, time_taken in seconds.items()],
        )

        wavs = folder / "wav"
        wavs.mkdir()
        for number, path in enumerate(paths):
            samples, file_rate = audio.read(path)
            soundfile.write(wavs / f"{number}.wav", audio.resample(audio.to_mono(samples), file_rate, rate), rate, subtype="PCM_16")
        clips = [replace(clip, file_name=f"{number}.wav") for number, clip in enumerate(manifest.clips)]
        write_manifest(wavs / "manifest.csv", clips)
        in_wav = scan("manifest", wavs / "manifest.csv", ",")
        megabytes = sum(path.stat().st_size for path in wavs.glob("*.wav")) / 1e6
        seconds = take_turns(
            {
                "copying the files": lambda: shutil.copytree(wavs, folder / "copy", dirs_exist_ok=True),
                "earmark prepare": lambda: into_store(in_wav, rate, folder / "store"),
            },
            runs,
        )
        ours = seconds["earmark prepare"]
        show(
            f"{len(paths):,} WAV files at {rate:,} Hz already, {megabytes:,.0f} MB",
            ("", "MB/s", "earmark is … times as fast"),
            [(name, megabytes / time_taken, time_taken / ours) for name, time_taken in seconds.items()],
        )
        write_manifest(wavs / "few.csv", few := clips[::10])
        used = [
            (len(chosen), peak_memory(wavs / name, rate, folder / "store"))
            for chosen, name in ((few, "few.csv"), (clips, "manifest.csv"))
        ]
        show("The most memory of earmark prepare", ("clips", "MB"), used)


if __name__ == "__main__":
    main()
