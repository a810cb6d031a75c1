"""The log-mel image of kapre 0.1.3.1, which Jeong & Lim used, as its formula has it: float64, one frame and one bin at a time."""

import math

import numpy as np


def hz_of(mel: float) -> float:
    """Slaney's scale: 200/3 Hz a mel up to 1 kHz, from there a factor of 6.4 in 27 mels."""
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def mel_of(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def filters(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Triangles of unit area over Hz, from 0 to half the sample rate: ``[n_mels, n_fft // 2 + 1]``."""
    top = mel_of(sample_rate / 2)
    edges = [hz_of(top * i / (n_mels + 1)) for i in range(n_mels + 2)]
    found = np.zeros((n_mels, n_fft // 2 + 1))
    for band in range(n_mels):
        low, middle, high = edges[band : band + 3]
        for k in range(n_fft // 2 + 1):
            hz = k * sample_rate / n_fft
            slope = min((hz - low) / (middle - low), (high - hz) / (high - middle))
            found[band, k] = max(slope, 0.0) * 2 / (high - low)
    return found


def mel_power(waveform: np.ndarray, sample_rate: int, n_fft: int, hop: int, n_mels: int) -> np.ndarray:
    """Of one waveform ``[n_mels, N]``; *same* padding: as many frames as hops begin in the waveform, zeros on both sides."""
    count = math.ceil(len(waveform) / hop)
    padding = max((count - 1) * hop + n_fft - len(waveform), 0)
    padded = np.concatenate([np.zeros(padding // 2), waveform, np.zeros(padding - padding // 2)])
    angle = 2 * math.pi * np.arange(n_fft) / n_fft
    hann = 0.5 - 0.5 * np.cos(angle)
    frames = [padded[f * hop : f * hop + n_fft] * hann for f in range(count)]
    power = np.zeros((n_fft // 2 + 1, count))
    for k in range(n_fft // 2 + 1):
        real, imaginary = np.cos(k * angle), np.sin(k * angle)
        for f, frame in enumerate(frames):
            power[k, f] = np.dot(frame, real) ** 2 + np.dot(frame, imaginary) ** 2
    return filters(sample_rate, n_fft, n_mels) @ power


def decibels(mel: np.ndarray, reference: str, amin: float = 1e-10, dynamic_range: float = 80.0) -> np.ndarray:
    """Mel power ``[B, n_mels, N]`` → dB of the same shape (``power_melgram=1.0``, then ``amplitude_to_decibel``).

    Args:
        mel: of a batch.
        reference: ``batch``: ``K.max(log_spec)``, of all there is; ``example``: of each example alone, as from February 2019 on.
        amin: smallest value, of the square root.
        dynamic_range: in dB.
    """
    level = 10 * np.log10(np.maximum(np.sqrt(mel), amin))
    loudest = level.max() if reference == "batch" else level.max(axis=(1, 2), keepdims=True)
    return np.maximum(level - loudest, -dynamic_range)
