"""Audio files → float32 samples: finding and reading files, mixing to mono, resampling, filling to a length."""

from earmark.audio.decode import Samples, Steps, full_scale, read, read_stored
from earmark.audio.faults import judged
from earmark.audio.find import SUFFIXES, find_files
from earmark.audio.limits import HIGHEST_RATE
from earmark.audio.opening import OpenFile, content_hash, opened
from earmark.audio.shape import (
    model_input,
    of_16_bits,
    pad_to,
    peak_normalised,
    resample,
    silent_ends,
    sounding_part,
    to_16_bits,
    to_mono,
)
from earmark.audio.spool import STDIN
from earmark.audio.stream import Stream, streamed

__all__ = [
    "HIGHEST_RATE",
    "OpenFile",
    "Samples",
    "Steps",
    "STDIN",
    "SUFFIXES",
    "Stream",
    "content_hash",
    "find_files",
    "full_scale",
    "judged",
    "model_input",
    "of_16_bits",
    "opened",
    "pad_to",
    "peak_normalised",
    "read",
    "read_stored",
    "resample",
    "silent_ends",
    "sounding_part",
    "streamed",
    "to_16_bits",
    "to_mono",
]
