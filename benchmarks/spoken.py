"""Spoken words, rendered with espeak-ng: by the command if it is on the PATH, else by the library that the package espeakng-loader brings."""

import ctypes
import importlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from earmark import audio
from earmark.data.manifest import Clip, write_manifest

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
#: Accent and timbre of each speaker, as espeak-ng names them.
VOICES = (
    "en+m1", "en+f2", "en+croak", "en+klatt4", "en+Annie",
    "en-us+m3", "en-us+f3", "en-us+klatt2", "en-us+Alex", "en-us+linda",
    "en-gb-scotland+m7", "en-gb-scotland+f5", "en-gb-scotland+edward",
    "en-gb-x-rp+m4", "en-gb-x-rp+f4", "en-gb-x-rp+grandma",
    "en-029+m2", "en-029+f1", "en-gb-x-gbclan+whisper", "en-us-nyc+m5",
)  # fmt: skip
FOLDS = 5
SPEED, PITCH = (110, 250), (15, 85)  # words a minute; espeak-ng's own scale of 0 to 99
LEVEL, NOISE = (-24.0, 0.0), (5.0, 40.0)  # dB of the peak below full scale; dB from the noise up to the word
SILENCE = 0.5  # seconds before and after the word, at most
RATE = 22050  # of espeak-ng, in Hz

Speaker = Callable[[str, int, int, str], audio.Samples]  # voice, speed, pitch, word → samples


def speaker() -> Speaker | None:
    """What speaks here; None if there is no espeak-ng."""
    if command := shutil.which("espeak-ng"):
        return lambda *what: _by_command(command, *what)
    try:
        loader = importlib.import_module("espeakng_loader")
    except ModuleNotFoundError:
        return None
    return _by_library(ctypes.CDLL(loader.get_library_path()), loader.get_data_path())


def render_words(speak: Speaker, folder: Path, takes: int, seed: int) -> Path:
    """Renders every word in every voice, and returns the path of the manifest.

    Args:
        speak: what speaks.
        folder: folder of the clips.
        takes: clips of each word in each voice; all have another speed, pitch, level, noise and place in the clip.
        seed: the same seed renders the same clips.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for number, voice in enumerate(VOICES):
        for word in WORDS:
            for take in range(takes):
                spoken = speak(voice, int(rng.integers(*SPEED)), int(rng.integers(*PITCH)), word)
                name = f"{number:02}-{word}-{take}.wav"
                soundfile.write(folder / name, _in_a_room(spoken, rng), RATE)
                clips.append(Clip(name, (word,), fold=number % FOLDS, group=voice))
    write_manifest(folder / "manifest.csv", clips)
    return folder / "manifest.csv"


def _in_a_room(spoken: audio.Samples, rng: np.random.Generator) -> audio.Samples:
    """A word somewhere in a clip with background noise, at some level."""
    before, after = (int(rng.uniform(0, SILENCE) * RATE) for _ in range(2))
    sound = np.pad(spoken, (before, after)).astype(np.float64)
    spectrum = np.fft.rfft(rng.normal(size=len(sound)))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0, 1)  # from white to brown noise
    noise = np.fft.irfft(spectrum, len(sound))
    loudness = np.sqrt(np.mean(spoken.astype(np.float64) ** 2))
    sound += noise / np.sqrt(np.mean(noise**2)) * loudness * 10 ** (-rng.uniform(*NOISE) / 20)
    peak = 10 ** (rng.uniform(*LEVEL) / 20)
    return (sound / np.abs(sound).max() * peak).astype(np.float32)


def _by_command(command: str, voice: str, speed: int, pitch: int, word: str) -> audio.Samples:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        subprocess.run([command, "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", path, word], check=True)
        samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE, f"espeak-ng speaks at {rate} Hz"
    return samples


def _by_library(library: ctypes.CDLL, data: str) -> Speaker:
    """See espeak-ng's speak_lib.h."""
    synchronous, speed_parameter, pitch_parameter, utf8 = 2, 1, 3, 1
    rate = library.espeak_Initialize(synchronous, 0, data.encode(), 0)
    assert rate == RATE, f"espeak-ng speaks at {rate} Hz"
    blocks: list[audio.Samples] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: int) -> int:  # noqa: ARG001
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)
        return 0

    library.espeak_SetSynthCallback(take)

    def speak(voice: str, speed: int, pitch: int, word: str) -> audio.Samples:
        blocks.clear()
        if library.espeak_SetVoiceByName(voice.encode()):
            sys.exit(f"espeak-ng has no voice {voice}")
        library.espeak_SetParameter(speed_parameter, speed, 0)
        library.espeak_SetParameter(pitch_parameter, pitch, 0)
        text = word.encode()
        library.espeak_Synth(text, len(text) + 1, 0, 1, 0, utf8, None, None)
        return np.concatenate(blocks)

    speak.callback = take  # type: ignore[attr-defined]  # the library calls it as long as there is a speaker
    return speak
