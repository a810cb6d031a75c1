"""Media files that libsndfile cannot read and PyAV can: what they are, by their bytes and by their names."""

import os
from dataclasses import dataclass

from earmark.audio.mp3 import behind_id3, is_frame
from earmark.audio.opening import OpenFile
from earmark.errors import AudioError


@dataclass(frozen=True)
class Kind:
    """A kind of media files.

    Attributes:
        name: what they are called.
        endings: of their names, in lower case.
        demuxer: FFmpeg's name of what reads them; empty if nothing does.
        marks: the bytes by which they are known, and the position of these.
        says_length: whether their headers say how long the sound is.
    """

    name: str
    endings: tuple[str, ...]
    demuxer: str = ""
    marks: tuple[tuple[int, bytes], ...] = ()
    says_length: bool = False


_BOXES = tuple((4, name) for name in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))
_ENDINGS_OF_MP4 = (".m4a", ".m4b", ".m4p", ".m4r", ".f4a", ".mp4", ".m4v", ".f4v", ".mov", ".qt", ".3gp", ".3gpp", ".3g2", ".aax")

KINDS = (
    Kind("MP4", _ENDINGS_OF_MP4, "mov", _BOXES, True),
    Kind("AAC", (".aac", ".adts"), "aac", ((0, b"\xff\xf0"), (0, b"\xff\xf1"), (0, b"\xff\xf8"), (0, b"\xff\xf9"))),
    Kind("AMR", (".amr", ".awb"), "amr", ((0, b"#!AMR"),)),
    Kind("Windows Media", (".wma", ".asf", ".wmv"), "asf", ((0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),), True),
    Kind("Matroska", (".mkv", ".mka", ".webm", ".weba"), "matroska", ((0, b"\x1aE\xdf\xa3"),), True),
    Kind("AVI", (".avi",), "avi", ((8, b"AVI "),), True),
    Kind("Flash video", (".flv",), "flv", ((0, b"FLV\1"),), True),
    Kind("MPEG video", (".mpg", ".mpeg", ".vob"), "mpeg", ((0, b"\0\0\1\xba"),)),
    Kind("MPEG transport stream", (".m2ts",), "mpegts", ((0, b"G@"), (4, b"G@"))),
    Kind("Dolby audio", (".ac3", ".eac3", ".ec3"), "ac3", ((0, b"\x0bw"),)),
    Kind("DTS", (".dts",), "dts", ((0, b"\x7f\xfe\x80\x01"), (0, b"\xfe\x7f\x01\x80"))),
    Kind("Ogg video", (".ogv", ".ogm"), "ogg", ((28, b"\x80theora"), (28, b"fishead\0"), (28, b"\1video"))),
    Kind("Speex", (".spx",), "ogg", ((28, b"Speex   "),)),
    Kind("Monkey's Audio", (".ape",), "ape", ((0, b"MAC "),), True),
    Kind("WavPack", (".wv",), "wv", ((0, b"wvpk"),), True),
    Kind("True Audio", (".tta",), "tta", ((0, b"TTA1"),), True),
    Kind("TAK", (".tak",), "tak", ((0, b"tBaK"),), True),
    Kind("Musepack", (".mpc", ".mpp"), "mpc8", ((0, b"MPCK"),)),
    Kind("Musepack", (), "mpc", ((0, b"MP+"),)),
    Kind("RealMedia", (".ra", ".rm", ".rmvb"), "rm", ((0, b".RMF"), (0, b".ra\xfd"))),
    Kind("DSD", (".dsf", ".dff"), "dsf", ((0, b"DSD "),)),
    Kind("DSD", (), "iff", ((0, b"FRM8"),)),
    Kind("GSM", (".gsm",)),
)
#: What a file is by the ending of its name, in lower case.
FOREIGN = {ending: kind for kind in KINDS for ending in kind.endings}

#: Files that libsndfile reads, but not with every codec that they may hold.
UNDECODED = (
    Kind("WAV", (), "wav", ((8, b"WAVE"),), True),
    Kind("CAF", (), "caf", ((0, b"caff"),), True),
    Kind("AIFF", (), "aiff", ((8, b"AIF"),), True),
    Kind("Ogg", (), "ogg", ((0, b"OggS"),)),
)
_OF_LIBSNDFILE = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b".snd", b"caff")


def kind_of(file: OpenFile) -> Kind | None:
    """What a file is, if libsndfile cannot read it. Its bytes decide, and not the ending of its name.

    Raises:
        AudioError: by its name it would be a media file that libsndfile cannot read, and its bytes are none: in those, a decoder of MP3
            might still find frames.
    """
    file.data.seek(0)
    head = file.data.read(64)
    if head[:3] == b"ID3":  # before AAC there may be tags
        file.data.seek(behind_id3(file.data))
        head = file.data.read(64)
    if kind := marked(head, KINDS):
        return kind
    named = FOREIGN.get(os.path.splitext(file.path)[1].lower())
    if named and head and not head.startswith(_OF_LIBSNDFILE) and not is_frame(head):
        raise AudioError(f"not readable as audio (by its name {named.name}, by its bytes nothing that is known)")
    return None


def marked(head: bytes, kinds: tuple[Kind, ...]) -> Kind | None:
    """The kind that has its mark in the first bytes of a file."""
    for kind in kinds:
        if any(head[place : place + len(mark)] == mark for place, mark in kind.marks):
            return kind
    return None
