"""Mel spectrograms: earmark's two front ends compared with librosa, torchlibrosa and a plain torch.stft, on the same sounds.

    python benchmarks/mel.py STORE         a store of any clips at 16,000 and 44,100 Hz

Every contender computes the power in mel bands (no decibels) of five-second sounds and may use all cores; librosa gets one sound
for each thread. The last column is the largest difference from librosa's power, divided by librosa's largest power.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import librosa
import numpy as np
import torch
from measure import options, show, take_turns

from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.machine import keep_freed_memory
from earmark.nets.frontends import LogMel, StandardisedLogMel
from earmark.nets.mel import mel_filter_bank

CORES = os.cpu_count() or 1
SECONDS = 5
SIZES = {"2019": (44100, 2560, 347, 128, 20.0), "2018": (16000, 1024, 128, 64, 0.0)}  # rate, FFT, hop, bands, lowest frequency


def sounds(store: Store | None, rate: int, count: int) -> np.ndarray:
    """Sounds of the store, or noise without one, float32 ``[count, SECONDS * rate]``."""
    if store is None:
        return np.random.default_rng(0).normal(0, 0.1, (count, SECONDS * rate)).astype(np.float32)
    clips = load_clips(store, rate)
    return np.stack([np.resize(clips.samples(i), SECONDS * rate) for i in range(min(count, len(clips)))])


def contenders(system: str, batch: torch.Tensor) -> dict[str, Callable[[], torch.Tensor]]:
    """Functions that compute the mel power ``[B, bands, frames]`` of the batch, with frames centred on multiples of the hop."""
    rate, n_fft, hop, bands, lowest = SIZES[system]
    filters, window = mel_filter_bank(rate, n_fft, bands, lowest), torch.hann_window(n_fft)

    def librosa_power() -> torch.Tensor:
        def sound_power(sound: np.ndarray) -> np.ndarray:
            return librosa.feature.melspectrogram(
                y=sound, sr=rate, n_fft=n_fft, hop_length=hop, n_mels=bands, fmin=lowest, pad_mode="reflect"
            )

        with ThreadPoolExecutor(CORES) as pool:
            return torch.from_numpy(np.stack(list(pool.map(sound_power, batch.numpy()))))

    def stft_power() -> torch.Tensor:
        spectrum = torch.stft(batch, n_fft, hop, window=window, center=True, pad_mode="reflect", return_complex=True)
        return filters @ spectrum.abs().square()

    functions = {"librosa": librosa_power, "torch.stft": stft_power}
    try:
        import torchlibrosa

        spectrogram = torchlibrosa.Spectrogram(n_fft=n_fft, hop_length=hop)
        bank = torchlibrosa.LogmelFilterBank(sr=rate, n_fft=n_fft, n_mels=bands, fmin=lowest, is_log=False)
        functions["torchlibrosa"] = lambda: bank(spectrogram(batch))[:, 0].transpose(1, 2)
    except ModuleNotFoundError:
        pass
    if system == "2019":
        net = StandardisedLogMel(rate)
        return {**functions, "earmark": lambda: net.power(batch)}
    first = LogMel(rate)
    padded = torch.nn.functional.pad(batch, (n_fft // 2, n_fft // 2), mode="reflect")
    return {
        **functions,
        "earmark, the bands alone": lambda: first.mel_power(padded.unfold(1, n_fft, hop)).transpose(1, 2),
        "earmark, with its trained normalisation": lambda: first.power(batch),
    }


@torch.inference_mode()
def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--count", type=int, default=64, help="sounds at once")
    given = parser.parse_args()
    keep_freed_memory()
    store = None if given.smoke else Store.open(given.root)
    for system, (rate, n_fft, hop, bands, _) in SIZES.items():
        batch = torch.from_numpy(sounds(store, rate, 2 if given.smoke else given.count))
        functions = contenders(system, batch)
        seconds = take_turns(functions, 1 if given.smoke else given.runs)
        truth = functions["librosa"]()
        rows = []
        for name, run in functions.items():
            power = run()
            difference = "–"
            # With trained normalisation it is the power of another signal, and has another number of frames.
            if power.shape == truth.shape and "trained" not in name:
                difference = f"{float((power - truth).abs().max() / truth.max()):.1e}"
            rows.append((name, len(batch) / seconds[name], seconds["librosa"] / seconds[name], difference))
        title = f"{len(batch)} sounds of {SECONDS} s: FFT {n_fft:,}, hop {hop}, {bands} bands at {rate:,} Hz ({system})"
        show(title, ("", "sounds/s", "times librosa", "difference"), rows)


if __name__ == "__main__":
    main()
