"""Media files made by PyAV: a tone, in the containers and with the codecs that libsndfile cannot read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERTZ = 440


@dataclass(frozen=True)
class Medium:
    """What a media file is made of.

    Attributes:
        name: of the file.
        codec: FFmpeg's name of it.
        container: FFmpeg's name of it.
        rate: sample rate in Hz.
        channels: 1 or 2.
    """

    name: str
    codec: str
    container: str
    rate: int = 44100
    channels: int = 2


#: One for every kind that the extra `formats` claims and that PyAV can write.
MEDIA = (
    Medium("aac.m4a", "aac", "ipod"),
    Medium("alac.m4a", "alac", "ipod"),
    Medium("aac.mp4", "aac", "mp4", 32000),
    Medium("alac.mov", "alac", "mov"),
    Medium("amr.3gp", "libopencore_amrnb", "3gp", 8000, 1),
    Medium("x.aac", "aac", "adts"),
    Medium("x.amr", "libopencore_amrnb", "amr", 8000, 1),
    Medium("wma1.wma", "wmav1", "asf"),
    Medium("wma2.wma", "wmav2", "asf"),
    Medium("opus.webm", "libopus", "webm", 48000),
    Medium("vorbis.webm", "vorbis", "webm"),
    Medium("flac.mkv", "flac", "matroska"),
    Medium("aac.mka", "aac", "matroska", 16000, 1),
    Medium("mp3.avi", "mp3", "avi"),
    Medium("aac.flv", "aac", "flv"),
    Medium("mp2.mpg", "mp2", "mpeg"),
    Medium("aac.ts", "aac", "mpegts"),
    Medium("x.ac3", "ac3", "ac3", 48000),
    Medium("x.eac3", "eac3", "eac3", 48000),
    Medium("x.tta", "tta", "tta"),
    Medium("x.wv", "wavpack", "wv"),
    Medium("x.rm", "real_144", "rm", 8000, 1),
    Medium("g722.wav", "g722", "wav", 16000, 1),
    Medium("ac3.wav", "ac3", "wav", 48000),
    Medium("alac.caf", "alac", "caf"),
    Medium("flac.oga", "flac", "ogg"),
)


def tone(rate: int, seconds: float) -> np.ndarray:
    """A tone of peak 0.4: float32 ``[samples]``."""
    return (0.4 * np.sin(2 * np.pi * HERTZ * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def write(folder: Path, medium: Medium, seconds: float = 3.0, pictures: bool = False, sound: bool = True) -> Path:
    """Writes a tone into a media file, whose name is returned, beside pictures if they are wanted."""
    import av

    path = folder / medium.name
    with av.open(str(path), "w", format=medium.container) as container:
        if pictures:
            video = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        if sound:
            layout = "mono" if medium.channels == 1 else "stereo"
            options = {"strict": "experimental"} if medium.codec == "vorbis" else {}
            stream = container.add_stream(medium.codec, rate=medium.rate, layout=layout, options=options)
            if medium.codec.startswith("wma"):
                stream.bit_rate = 128_000
            samples = np.tile(tone(medium.rate, seconds), (medium.channels, 1))
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = medium.rate, 0
            form = stream.codec_context.codec.audio_formats[-1].name
            fifo = av.AudioFifo()
            for converted in av.AudioResampler(form, layout, medium.rate).resample(frame):
                fifo.write(converted)
            length = stream.codec_context.frame_size or 1024
            while (piece := fifo.read(length)) or (piece := fifo.read(length, partial=True)):
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        if pictures:
            for _ in range(round(10 * seconds)):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
    return path
