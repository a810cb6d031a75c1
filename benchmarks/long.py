"""Timelines of recordings of many hours: how fast `earmark tag` is, how much memory it takes, and whether other programs read the tables.

    python benchmarks/long.py FOLDER --hours 15 --embedding MODEL.onnx

A recording is put together from the sounds of FOLDER, over and over, as WAV and as MP3. A process of its own tags it in windows of five
seconds, while its memory is measured ten times a second. Weights are random: they change neither the speed nor the memory. The tables
are read back by crowsetta (Raven) and by the rules of Audacity's manual.
"""

import csv
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from measure import options, rendered, show
from tag import untrained_bundle

from earmark import audio
from earmark.embedding.opened import open_embedder

RATE = 32_000  # Hz; a WAV file of more than 4 GB needs another header, and 15 hours at this rate have less
LOOP_SECONDS = 600  # of different sounds in the recording
WINDOW = 5  # seconds
TOP_K = 3
EVERY = 0.1  # seconds between looks at the memory


class Work(NamedTuple):
    """What a process needed: seconds, its most memory, and its memory over time, in bytes."""

    seconds: float
    peak: int
    over_time: list[int]


def record(path: Path, clips: list[Path], seconds: float) -> None:
    """Writes a recording of clips, over and over, block by block."""
    sounds = np.zeros(0, np.float32)
    for clip in clips:
        samples, rate = audio.read(clip)
        sounds = np.concatenate([sounds, audio.resample(audio.to_mono(samples), rate, RATE)])
        if len(sounds) >= LOOP_SECONDS * RATE:
            break
    missing = round(seconds * RATE)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        while missing:
            for begin in range(0, len(sounds), RATE):
                block = sounds[begin : begin + min(RATE, missing)]
                file.write(block)
                missing -= len(block)


def bundles(folder: Path, small: bool, embedding: Path | None) -> dict[str, Path]:
    """The models, by what they are: the full log-mel net of 2018, and a head on a pre-trained model if there is one."""
    sets = ["members.*.backbone.growth=[4, 4, 4, 4, 4, 4, 4, 4]"] if small else []
    models = {"the 2018 net": folder / "2018"}
    untrained_bundle(folder / "2018", "cochlear2018", "logmel-16k", sets)
    if embedding is not None:
        model = open_embedder({"model": str(embedding.absolute())}, None)
        facts = {"model": str(embedding.absolute()), "sha256": model.sha256, "size": model.size}
        sets = [f"members.*.frontend.{name}={value}" for name, value in facts.items()]
        sets += [f"members.*.input.{name}={model.sample_rate}" for name in ("sample_rate", "window")]
        models[f"quick on {embedding.stem}"] = folder / "quick"
        untrained_bundle(folder / "quick", "quick", "teacher", sets)
    return models


def run_tag(sound: Path, model: Path, form: str, out: Path, threads: int | None) -> Work:
    """Tags a recording in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "earmark",
        "tag",
        str(sound),
        "--model",
        str(model),
        "--window",
        str(WINDOW),
        "--hop",
        str(WINDOW),
    ]
    command += ["--top-k", str(TOP_K), "--format", form, "--out", str(out)] + (["--threads", str(threads)] if threads else [])
    begun, over_time, peak = time.perf_counter(), [], 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        now, most = memory_of(process.pid)
        over_time.append(now)
        peak = max(peak, most)  # not what wait4 says: that has the memory of the process that started this one in it
        time.sleep(EVERY)
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(f"{' '.join(command)}: {process.stderr.read()}")
    return Work(time.perf_counter() - begun, peak, over_time)


def memory_of(process: int) -> tuple[int, int]:
    """Bytes of memory that a process has now, and has had at most; 0 for a process that has just ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {
        name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines) if name.startswith("Vm")
    }
    return sizes.get("VmRSS", 0), sizes.get("VmHWM", 0)


def csv_rows(out: Path) -> list[tuple[float, float, str]]:
    with out.open(newline="") as file:
        return [(float(row["start"]), float(row["end"]), row["label"]) for row in csv.DictReader(file)]


def table_in(folder: Path) -> Path:
    """The table of the only sound that was tagged: the file itself, or the only one in the folder."""
    if folder.is_file():
        return folder
    (table,) = (path for path in folder.rglob("*.txt"))
    return table


def raven_rows(out: Path) -> list[tuple[float, float, str]]:
    import crowsetta

    boxes = crowsetta.formats.bbox.Raven.from_file(table_in(out)).to_bbox()
    return [(float(box.onset), float(box.offset), box.label) for box in boxes]


def audacity_rows(out: Path) -> list[tuple[float, float, str]]:
    """Labels as Audacity's manual describes them: start, end and text, tabs between them."""
    lines = [line.split("\t") for line in table_in(out).read_text().splitlines()]
    return [(float(start), float(end), label) for start, end, label in lines]


RUNS = (("wav", "raven"), ("mp3", "audacity"), ("mp3", "csv"))  # of every model
READERS = {"csv": csv_rows, "raven": raven_rows, "audacity": audacity_rows}


def refuse_other_rows(rows: list[tuple[float, float, str]], seconds: float, what: str) -> None:
    """Every window must be there once, with its labels, and end where the next begins or the sound ends."""
    parts = math.ceil(seconds / WINDOW)
    starts = [start for start, _, _ in rows]
    ends = [end for _, end, _ in rows]
    expected = np.repeat(np.arange(parts) * WINDOW, TOP_K)
    right = len(rows) == parts * TOP_K and np.allclose(starts, expected, atol=1e-3)
    if not right or not np.allclose(ends, np.minimum(expected + WINDOW, seconds), atol=0.1):  # MP3 adds silence at the ends
        raise SystemExit(f"{what}: {len(rows)} rows, {parts * TOP_K} expected")


def main() -> None:
    parser = options(__doc__, "a folder of sounds")
    parser.add_argument("--hours", type=float, default=15, help="length of the recording")
    parser.add_argument("--embedding", type=Path, help="a pre-trained model (ONNX)")
    parser.add_argument("--threads", type=int, help="of earmark tag; by default as many as there are cores")
    parser.add_argument("--keep", type=Path, help="a folder for the recordings, which are made there once")
    given = parser.parse_args()
    seconds = 20.0 if given.smoke else given.hours * 3600
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kept = given.keep or folder
        root = rendered(folder / "sounds").parent / "audio" if given.smoke else given.root
        clips = sorted(path for path in root.rglob("*") if path.suffix in (".wav", ".ogg", ".flac"))
        rows = []
        for name, model in bundles(folder, given.smoke, given.embedding).items():
            for kind, form in RUNS[: 2 if given.smoke else None]:
                sound = kept / f"{seconds:.0f}-seconds.{kind}"
                if not sound.exists():
                    record(sound, clips, seconds)
                out = folder / f"{name}-{kind}-{form}.txt"  # crowsetta reads no other ending
                work = run_tag(sound, model, form, out, given.threads)
                table = READERS[form](out)
                refuse_other_rows(table, seconds, f"{name}, {kind}, {form}")
                memory = [int(part.max()) for part in np.array_split(np.array(work.over_time), 4)]
                megabytes = [f"{size / 1e6:,.0f}" for size in (work.peak, *memory)]
                rows.append((f"{name}, {kind}, {form}", work.seconds, seconds / work.seconds, *megabytes, f"{len(table):,}"))
        quarters = [f"MB, {part} quarter of the time" for part in ("first", "second", "third", "last")]
        columns = ("", "s", "times real time", "MB at most", *quarters, "rows read back")
        show(f"A recording of {seconds / 3600:,.3g} hours in windows of {WINDOW} s", columns, rows)


if __name__ == "__main__":
    main()
