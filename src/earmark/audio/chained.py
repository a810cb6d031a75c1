"""Chained Ogg files: several sounds one after the other in one file, of which libsndfile reads only the first."""

import os

from earmark.audio.intact import RawBytes
from earmark.errors import AudioError

MAX_PAGES = 1 << 22  # a file of more has pages without sound: a day of Ogg has half a million
MAX_GAP = 1 << 24  # bytes between two pages that are no page
FIRST_PAGE = 2  # flag of a page that begins a stream
KNOWN = 1 << 10  # files whose sounds are remembered, at most

_known: dict[tuple[int, ...], list[int]] = {}


def sounds_in(raw: RawBytes) -> list[int]:
    """Where the sounds of a file begin, in bytes: ``[0]`` in all files but chained Ogg.

    Several streams that begin together (a video and its sound) are no chain. In one, a stream begins after pages of another.

    Raises:
        AudioError: the file has millions of pages or of bytes that belong to none.
    """
    raw.seek(0)
    if raw.read(4) != b"OggS":
        return [0]
    try:
        status = os.fstat(raw.fileno())
    except OSError:  # the bytes lie in memory
        return _walk(raw)
    # A long recording is cut into thousands of clips, and going through all its pages takes longer than decoding a clip.
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if key not in _known:
        if len(_known) >= KNOWN:
            _known.clear()
        _known[key] = _walk(raw)
    return _known[key]


def _walk(raw: RawBytes) -> list[int]:
    begins = [0]
    position, at_beginning = 0, True
    for _ in range(MAX_PAGES):
        raw.seek(position)
        page = raw.read(27 + 255)  # the longest header
        if page[:4] != b"OggS":
            position = _next_page(raw, position)
            if position < 0:
                return begins
            continue
        if len(page) < 27:
            return begins
        starts = bool(page[5] & FIRST_PAGE)
        if starts and not at_beginning:
            begins.append(position)
        at_beginning = starts
        position += 27 + page[26] + sum(page[27 : 27 + page[26]])
    raise AudioError(f"more than {MAX_PAGES:,} Ogg pages")


def _next_page(raw: RawBytes, position: int) -> int:
    """The position of the next page behind bytes that are none, such as tags at the end of a file; −1 if there is none."""
    for begin in range(position, position + MAX_GAP, 1 << 16):
        raw.seek(begin)
        block = raw.read((1 << 16) + 3)
        if (place := block.find(b"OggS")) >= 0:
            return begin + place
        if len(block) <= 1 << 16:
            return -1
    raise AudioError(f"damaged: no Ogg page within {MAX_GAP:,} bytes after byte {position:,}")
