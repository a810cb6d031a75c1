"""Odd inputs for `earmark tag`: what is said of each, and with which exit status.

    python benchmarks/odd_inputs.py --model RUN

Files in every container and with every codec that is claimed, whole and cut off at every tenth of their bytes; files with wrong endings,
names and headers; stdin, pipes, folders, links. It fails if a run crashes, takes more than a minute, or leaves a file. Runs are calls
in this process, but for those about the process itself.
"""

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import soundfile
from measure import show
from tag import untrained_bundle
from trial import Trial

from earmark.audio.mp3 import find_frames
from tests.audio.media import MEDIA, Medium, tone, write

RATE = 16000
LINKS = 10_000  # to a file; file systems allow some 65,000
TENTHS = range(1, 10)
SMOKE_TENTHS, SMOKE_MEDIA = (5,), ("aac.m4a", "opus.webm")


#: Formats of libsndfile: the name of a file, and how it is written.
FORMATS: dict[str, dict[str, str]] = {
    "pcm16.wav": {"format": "WAV", "subtype": "PCM_16"},
    "adpcm.wav": {"format": "WAV", "subtype": "MS_ADPCM"},
    "x.rf64": {"format": "RF64", "subtype": "PCM_16"},
    "x.w64": {"format": "W64", "subtype": "PCM_16"},
    "x.flac": {"format": "FLAC", "subtype": "PCM_16"},
    "vorbis.ogg": {"format": "OGG", "subtype": "VORBIS"},
    "x.opus": {"format": "OGG", "subtype": "OPUS"},
    "x.mp3": {"format": "MP3"},
    "x.aiff": {"format": "AIFF", "subtype": "PCM_16"},
    "x.au": {"format": "AU", "subtype": "PCM_16"},
    "pcm.caf": {"format": "CAF", "subtype": "PCM_16"},
}


def sound_of(rate: int = RATE, channels: int = 1, seconds: float = 2.0) -> np.ndarray:
    """A tone: float32 ``[samples, channels]``."""
    return np.tile(tone(rate, seconds)[:, None], (1, channels))


def try_formats(trial: Trial, smoke: bool) -> None:
    """Every container and codec, whole and cut off."""
    media = [medium for medium in MEDIA if not smoke or medium.name in SMOKE_MEDIA]
    made = [write(trial.inputs, medium, 2.0) for medium in media]
    for name, how in FORMATS.items():
        soundfile.write(trial.path(name), sound_of(), RATE, **how)
        made.append(trial.path(name))
    for path in made:
        trial.add(path.name, trial.tag(path))
        content, cut = path.read_bytes(), trial.path(f"cut-{path.name}")
        outcomes = []
        for tenth in SMOKE_TENTHS if smoke else TENTHS:
            cut.write_bytes(content[: len(content) * tenth // 10])
            outcomes.append((tenth, trial.tag(cut)))
        trial.add_tenths(f"{path.name} cut off", outcomes)
        cut.unlink()
        path.unlink()


def try_samples(trial: Trial) -> None:
    """Sample formats, rates and channels."""
    for title, samples, rate, how in (
        ("8 bits", sound_of(), RATE, {"subtype": "PCM_U8"}),
        ("24 bits", sound_of(), RATE, {"subtype": "PCM_24"}),
        ("32 bits", sound_of(), RATE, {"subtype": "PCM_32"}),
        ("float64", sound_of(), RATE, {"subtype": "DOUBLE"}),
        ("float32 that goes to 30", 75 * sound_of(), RATE, {"subtype": "FLOAT"}),
        ("192 kHz", sound_of(192_000), 192_000, {}),
        ("100 Hz", sound_of(100), 100, {}),
        ("99 Hz", sound_of(99), 99, {}),
        ("8 channels", sound_of(channels=8), RATE, {}),
        ("1,000 channels", sound_of(channels=1000, seconds=0.1), RATE, {}),
        ("a sample", sound_of()[:1], RATE, {}),
        ("no sample", sound_of()[:0], RATE, {}),
        ("silence", 0 * sound_of(), RATE, {}),
        ("a NaN", np.full((9, 1), np.nan), RATE, {"subtype": "FLOAT"}),
        ("an infinite sample", np.full((9, 1), np.inf), RATE, {"subtype": "FLOAT"}),
    ):
        soundfile.write(trial.path("x.wav"), samples, rate, **how)
        trial.add(f"WAV: {title}", trial.tag(trial.path("x.wav")))


def encoded(form: str, rate: int = RATE, **how: object) -> bytes:
    """A tone in a format of libsndfile."""
    with io.BytesIO() as file:
        soundfile.write(file, sound_of(rate), rate, format=form, **how)
        return file.getvalue()


def try_headers(trial: Trial) -> None:
    """Headers that lie, and files that are no sounds."""
    wav, mp3, ogg = encoded("WAV", subtype="PCM_16"), encoded("MP3", bitrate_mode="VARIABLE"), encoded("OGG")
    place = max(mp3.find(b"Xing"), mp3.find(b"Info")) + 8

    def counted(factor: float) -> bytes:
        return mp3[:place] + int(int.from_bytes(mp3[place : place + 4], "big") * factor).to_bytes(4, "big") + mp3[place + 4 :]

    contents = {
        "MP3 whose header counts half of its frames": ("x.mp3", counted(0.5)),
        "MP3 whose header counts twice its frames": ("x.mp3", counted(2)),
        "MP3 without that header": ("x.mp3", mp3[find_frames(io.BytesIO(mp3)).begin :]),
        "MP3 behind a picture and before 5,000 zeros": ("x.mp3", b"ID3\4\0\0\0\0\x7f\0" + b"\xff\xfb" * 8128 + mp3 + bytes(5000)),
        "WAV whose header says 0 bytes of samples": ("x.wav", wav[:40] + bytes(4) + wav[44:]),
        "WAV whose header says -1 bytes of samples": ("x.wav", wav[:40] + b"\xff" * 4 + wav[44:]),
        "WAV of 4 GB by its header": ("x.wav", wav[:40] + (0xFFFFFE00).to_bytes(4, "little") + wav[44:]),
        "WAV of 0 channels": ("x.wav", wav[:22] + bytes(2) + wav[24:]),
        "WAV of 0 Hz": ("x.wav", wav[:24] + bytes(4) + wav[28:]),
        "WAV of 2 GHz": ("x.wav", wav[:24] + b"\xff\xff\xff\x7f" + wav[28:]),
        "chained Ogg": ("x.ogg", 3 * ogg),
        "chained Ogg of two rates": ("x.ogg", ogg + encoded("OGG", 8000)),
        "WAV named .mp3": ("x.mp3", wav),
        "MP3 named .wav": ("x.wav", mp3),
        "FLAC named .ogg": ("x.ogg", encoded("FLAC")),
        "WAV named .m4a": ("x.m4a", wav),
        "text named .wav": ("x.wav", b"this is no sound\n" * 9),
        "text named .m4a": ("x.m4a", b"this is no sound\n" * 9),
        "a list of addresses named .aac": ("x.aac", b"#EXTM3U\nhttp://127.0.0.1:9/x.ts\n"),
        "PNG named .mp3": ("x.mp3", b"\x89PNG\r\n\x1a\n" + bytes(5000)),
        "noise named .mp3": ("x.mp3", np.random.default_rng(0).bytes(20_000)),
        "noise named .aac": ("x.aac", np.random.default_rng(1).bytes(20_000)),
        "zeros named .wav": ("x.wav", bytes(20_000)),
        "an empty file": ("x.wav", b""),
        "an empty file named .m4a": ("x.m4a", b""),
    }
    for title, (name, content) in contents.items():
        trial.path(name).write_bytes(content)
        trial.add(title, trial.tag(trial.path(name)))
        trial.path(name).unlink()
    for name in ("m4a", "webm"):
        medium = next(medium for medium in MEDIA if medium.name.endswith(name))
        made = write(trial.inputs, medium, 2.0)
        made.rename(trial.path("x.wav"))
        trial.add(f"{name} named .wav", trial.tag(trial.path("x.wav")))
    with_pictures, mute = Medium("film.mp4", "aac", "mp4"), Medium("mute.mp4", "aac", "mp4")
    trial.add("a video", trial.tag(write(trial.inputs, with_pictures, 2.0, pictures=True)))
    trial.add("a video without sound", trial.tag(write(trial.inputs, mute, 2.0, pictures=True, sound=False)))


def try_places(trial: Trial, entries: int) -> None:
    """Names, links, folders, and what is no file."""
    good = encoded("WAV", subtype="PCM_16")
    names = (
        "line\nbreak.wav",
        'it\'s "quoted".wav',
        "-leading.wav",
        "--model.wav",
        "a  b.wav",
        "Ünïcode 鳥.wav",
        "n" * 251 + ".wav",
    )
    for name in names:
        trial.path(name).write_bytes(good)
        shown = name if len(name) < 50 else "a name of 255 letters"
        trial.add(f"named {shown}", trial.tag(trial.path(name)))
        trial.path(name).unlink()
    odd = os.fsdecode(b"latin-\xe9.wav")
    trial.path(odd).write_bytes(good)
    trial.add("a name that is no UTF-8", trial.tag(trial.path(odd)))
    trial.path(odd).unlink()
    trial.path("loop.wav").symlink_to("loop.wav")
    trial.add("a link to itself", trial.tag(trial.path("loop.wav")))
    trial.path("nowhere.wav").symlink_to("missing.wav")
    trial.add("a link to nothing", trial.tag(trial.path("nowhere.wav")))
    trial.add("no such file", trial.tag(trial.path("missing.wav")))
    trial.add("below a file", trial.tag(trial.path("x.wav") / "y.wav"))
    trial.add("a device", trial.tag("/dev/zero"))
    for url in ("https://example.org/clip.wav", "s3://bucket/clip.wav"):
        trial.add(f"the URL {url}", trial.tag(url))
    trial.path("locked.wav").write_bytes(good)
    trial.path("locked.wav").chmod(0)
    locked = trial.tag(trial.path("locked.wav"))
    trial.add("no permission" + (" (but as root)" if os.geteuid() == 0 else ""), locked)
    shutil.rmtree(trial.inputs)
    trial.inputs.mkdir()
    trial.add("an empty folder", trial.tag(trial.inputs))
    folder = trial.path("many")
    folder.mkdir()
    soundfile.write(folder / "0.wav", sound_of(seconds=0.1), RATE)
    for i in range(1, entries):
        if i % LINKS == 1:
            original = folder / f"{i}.txt"
            original.write_bytes(good)
        else:
            os.link(original, folder / f"{i}.txt")  # in the folder, but no sound by its name
    os.mkfifo(folder / "1.wav")
    (folder / "2.wav").write_bytes(b"")
    trial.add(f"a folder of {entries + 2:,} entries, a sound, a pipe and an empty file among them", trial.tag(folder))
    shutil.rmtree(folder)


def try_streams(trial: Trial) -> None:
    """Stdin and pipes, each in a process of its own."""
    for name, content in {
        "good.wav": encoded("WAV", subtype="PCM_16"),
        "good.mp3": encoded("MP3"),
        "bad.wav": b"this is no sound\n",
        "cut.flac": encoded("FLAC")[:2000],
    }.items():
        trial.path(name).write_bytes(content)
    write(trial.inputs, next(medium for medium in MEDIA if medium.name == "aac.m4a"), 2.0)
    os.mkfifo(trial.path("pipe"))
    tag = "$TAG {} --model $MODEL"
    for command in (
        f"{tag.format('-')} < good.wav",
        f"cat good.mp3 | {tag.format('-')}",
        f"cat aac.m4a | {tag.format('-')}",
        f"{tag.format('-')} < bad.wav",
        f"cat cut.flac | {tag.format('-')}",
        f"{tag.format('-')} < /dev/null",
        f"{tag.format('-')} <&-",
        f"(cat good.wav > pipe &) ; {tag.format('pipe')}",
        f"(sleep 1; cat good.wav > pipe) & {tag.format('pipe')}",
        tag.format("<(cat good.wav)"),
        tag.format("<(cat good.wav) <(cat bad.wav)"),
        "$TAG --model $MODEL -- good.wav -leading.wav",
    ):
        trial.add(command.replace("$TAG", "earmark tag").replace(" --model $MODEL", ""), trial.shell(command))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a bundle, or a run with one; by default an untrained net")
    parser.add_argument("--entries", type=int, default=100_000, help="of the large folder")
    parser.add_argument("--smoke", action="store_true", help="fewer files: shows that it runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = given.model.resolve() if given.model else folder / "model"
        if not given.model:
            untrained_bundle(model, "tiny", "logmel", ["members.*.backbone.growth=[4, 8, 8]"])
        trial = Trial(folder, model)
        steps: tuple[Callable[[], None], ...] = (
            lambda: try_formats(trial, given.smoke),
            lambda: try_samples(trial),
            lambda: try_headers(trial),
            lambda: try_places(trial, 100 if given.smoke else given.entries),
            lambda: try_streams(trial),
        )
        for step in steps[:4] if given.smoke else steps:
            step()
    show(f"{trial.count:,} runs on odd inputs, {trial.seconds:.0f} s", ("input", "exit status", "line"), trial.rows)
    for fault in trial.faults:
        sys.stderr.write(f"fault: {fault}\n")
    sys.exit(1 if trial.faults else 0)


if __name__ == "__main__":
    main()
