"""Media files that libsndfile cannot read: what they are, and what would make them readable. Reading them would begin here."""

import os
from pathlib import Path

from earmark.errors import AudioError

_KINDS = {
    "AAC in MP4": ".m4a .m4b .m4p .m4r .f4a",
    "MP4": ".mp4 .m4v .f4v",
    "QuickTime": ".mov .qt",
    "3GPP": ".3gp .3gpp .3g2",
    "AAC": ".aac .adts",
    "AMR": ".amr .awb",
    "Windows Media": ".wma .asf .wmv",
    "WebM": ".webm .weba",
    "Matroska": ".mkv .mka",
    "AVI": ".avi",
    "Flash video": ".flv",
    "MPEG video": ".mpg .mpeg .vob .m2ts",
    "Ogg video": ".ogv .ogm",
    "Speex": ".spx",
    "Dolby audio": ".ac3 .eac3 .ec3",
    "DTS": ".dts",
    "Monkey's Audio": ".ape",
    "WavPack": ".wv",
    "True Audio": ".tta",
    "TAK": ".tak",
    "Musepack": ".mpc .mpp",
    "RealMedia": ".ra .rm .rmvb",
    "DSD": ".dsf .dff",
    "GSM": ".gsm",
    "Audible": ".aax",
}
#: What a file is by the ending of its name, in lower case.
FOREIGN = {ending: kind for kind, endings in _KINDS.items() for ending in endings.split()}


def refuse_foreign(path: Path | str) -> None:
    """Refuses a media file that cannot be read here. The ending decides: in the bytes of AAC, a decoder of MP3 may find frames.

    Raises:
        AudioError: it cannot be read; the message says how to convert it.
    """
    if kind := FOREIGN.get(os.path.splitext(path)[1].lower()):
        raise AudioError(f"{kind} cannot be read here; convert it, for example with ffmpeg -i FILE FILE.flac")
