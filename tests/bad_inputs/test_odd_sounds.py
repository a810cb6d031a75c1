"""Sounds that are odd but valid."""

import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.bad_inputs.arrange import patched, stored, tone, write_rows
from tests.bad_inputs.cases import PREPARE, RATE, Capture, Case, Places, check


@dataclass(frozen=True)
class OddSound:
    """A file that is to be read like any other.

    Attributes:
        name: what is odd about it.
        make: writes the file at a path.
        samples: what it is at 16 kHz, mono, float64 ``[samples]``.
        within: how far a sample may be off; None: half a step of 16 bits at the clip's own scale.
        margin: samples at both ends that are not compared (a resampler's filter has no past there).
    """

    name: str
    make: Callable[[Path], object]
    samples: np.ndarray
    within: float | None = None
    margin: int = 0
    file: str = "odd.wav"


def integer_wav(values: np.ndarray, width: int) -> Callable[[Path], object]:
    """Whole numbers as PCM of ``width`` bytes, by Python's own `wave`: soundfile must not be the judge of itself."""

    def make(path: Path) -> None:
        content = (
            (values + 128).astype(np.uint8).tobytes()
            if width == 1
            else b"".join(int(v).to_bytes(width, "little", signed=True) for v in values)
        )
        with wave.open(str(path), "wb") as file:
            file.setparams((1, width, RATE, 0, "NONE", ""))
            file.writeframes(content)

    return make


def whole_numbers(width: int) -> np.ndarray:
    """The tone in steps of ``width`` bytes, with the least and the greatest that there is."""
    reach = 2 ** (8 * width - 1)
    values = np.rint(tone() * reach)
    values[:2] = -reach, reach - 1
    return values


def integer_case(width: int) -> OddSound:
    values = whole_numbers(width)
    exact = 0.0 if width <= 2 else None
    return OddSound(f"{8 * width}-bit", integer_wav(values, width), values / 2 ** (8 * width - 1), exact)


def by_soundfile(samples: np.ndarray, rate: int = RATE, **how: str) -> Callable[[Path], object]:
    return lambda path: soundfile.write(path, samples, rate, **how)


def chain(path: Path) -> None:
    """Two sounds in one file."""
    soundfile.write(path, tone(0.5), RATE, format="OGG")
    path.write_bytes(2 * path.read_bytes())


SIX = np.outer(tone(), np.arange(1, 7) / 6)  # six channels, from quiet to loud
STEPS_16 = whole_numbers(2)

ODD_SOUNDS = (
    OddSound("one sample", integer_wav(np.array([16384]), 2), np.array([0.5]), 0.0),
    OddSound("silence", integer_wav(np.zeros(100), 2), np.zeros(100), 0.0),
    *(integer_case(width) for width in (1, 2, 3, 4)),
    OddSound("float", by_soundfile(tone(), subtype="FLOAT"), tone()),
    OddSound("double", by_soundfile(tone(), subtype="DOUBLE"), tone()),
    OddSound("over-full: peak 3", by_soundfile(6 * tone(), subtype="FLOAT"), 6 * tone()),
    OddSound("very quiet: peak 1e-6", by_soundfile(2e-6 * tone(), subtype="FLOAT"), 2e-6 * tone()),
    OddSound("six channels", by_soundfile(SIX, subtype="FLOAT"), SIX.mean(axis=1)),
    OddSound("192 kHz", by_soundfile(tone(0.5, 192000), 192000, subtype="FLOAT"), tone(0.5), 1e-4, 500),
    OddSound("44.1 kHz", by_soundfile(tone(1.0, 44100), 44100, subtype="FLOAT"), tone(1.0), 1e-4, 500),
    OddSound("8 kHz", by_soundfile(tone(0.5, 8000), 8000, subtype="FLOAT"), tone(0.5), 1e-4, 500),
    OddSound("FLAC", by_soundfile(STEPS_16.astype(np.int16), format="FLAC"), STEPS_16 / 32768, 0.0, file="odd.flac"),
    OddSound("FLAC named WAV", by_soundfile(STEPS_16.astype(np.int16), format="FLAC"), STEPS_16 / 32768, 0.0),
    OddSound("Ogg", by_soundfile(tone(0.5), format="OGG"), tone(0.5), 0.02, 500, file="odd.ogg"),
    OddSound("chained Ogg", chain, np.tile(tone(0.5), 2), 0.05, 500, file="odd.ogg"),
    OddSound("ending in capitals", by_soundfile(tone(), format="WAV", subtype="FLOAT"), tone(), file="ODD.WAV"),
    OddSound(  # as a recorder leaves it that does not know the length yet
        "length not known",
        lambda path: (
            patched(4, b"\xff" * 4)(path),
            path.write_bytes(path.read_bytes()[:40] + b"\xff" * 4 + path.read_bytes()[44:]),
        ),
        np.rint(tone() * 32768) / 32768,
        1 / 32768,
    ),
)


def half_a_step(samples: np.ndarray) -> float:
    """Of 16 bits at the least power of two that the clip does not pass; the topmost step is missing above zero."""
    reach = max(samples.max() * 32768 / 32767, -samples.min())
    return 2.0 ** np.ceil(np.log2(reach)) / 65536 * 1.01  # 1 % for float32's own rounding


@pytest.mark.parametrize("odd", ODD_SOUNDS, ids=lambda odd: odd.name)
def test_odd_sound_is_stored_as_it_is(odd: OddSound, places: Places, capsys: Capture) -> None:
    here = places["here"]
    odd.make(here / odd.file)
    write_rows(here / "m.csv", (odd.file, "x"))
    check(Case(odd.name, PREPARE, "", status=0), places, capsys)
    clips = stored(here / "store")
    found = clips.samples(0).astype(np.float64)
    assert clips.clip_id.tolist() == [odd.file]
    assert len(found) == len(odd.samples)
    inner = slice(odd.margin, len(found) - odd.margin)
    allowed = half_a_step(odd.samples) if odd.within is None else odd.within
    assert np.abs(found - odd.samples)[inner].max() <= allowed
    if not odd.margin:
        assert clips.peak[0] == pytest.approx(np.abs(odd.samples).max(), rel=1e-6)
    out = check(Case("tag", f"tag {{here}}/{odd.file} --model {{bundle}} --format csv", "", status=0), places, capsys)
    assert len(out.splitlines()) == 4  # the header and three labels
