"""What a sound may be at most. A header may ask for more than any machine can do, so it is looked at before the work begins."""

from earmark.errors import AudioError

LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000  # Hz
MAX_SAMPLES = 1 << 29  # of a clip that is read as a whole, over all its channels: 2 GiB as float32, three hours of mono at 48 kHz


def refuse_rate(rate: int) -> None:
    """Refuses a file whose header gives a sample rate (Hz) that no recording has.

    Raises:
        AudioError: the rate is outside the limits.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"a sample rate of {rate} Hz; {LOWEST_RATE} to {HIGHEST_RATE:,} Hz can be used")


def refuse_size(frames: float, channels: int, rate: int) -> None:
    """Refuses a sound that would take too much memory as a whole.

    Args:
        frames: samples of each channel.
        channels: number of channels.
        rate: sample rate in Hz.

    Raises:
        AudioError: the sound is too long.
    """
    if frames * channels > MAX_SAMPLES:
        of_channels = f", of {channels} channels" if channels > 1 else ""
        raise AudioError(
            f"too long: {frames / rate:,.0f} s at {rate} Hz{of_channels}, more than {MAX_SAMPLES:,} samples: cut it into parts"
        )
