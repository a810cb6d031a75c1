"""Checking that an audio file is complete: libsndfile reads files that are cut off without an error."""

import os
from io import BytesIO, FileIO
from typing import Protocol

from earmark.errors import AudioError

RawBytes = BytesIO | FileIO

ASF = bytes.fromhex("3026b2758e66cf11")
OGG_TAIL = 65536 + 512  # bytes: an Ogg page is at most 65,307 long, so the last page begins within them
MAX_CHUNKS = 10_000  # of a WAV file before its samples; behind them libsndfile is left to judge


class Readable(Protocol):
    """Bytes that can be read from any place."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Moves to a position, and returns it."""

    def read(self, count: int = -1, /) -> bytes:
        """The next bytes, all of them by default."""


def refuse_cut_off(raw: Readable) -> None:
    """Refuses a file that is empty or whose end is missing, in the formats whose files say how long they are.

    Args:
        raw: the bytes of the file.

    Raises:
        AudioError: the file is empty or cut off.
    """
    size = raw.seek(0, os.SEEK_END)
    raw.seek(0)
    head = raw.read(28)
    if size == 0:
        raise AudioError("the file is empty")
    _refuse_shorter(size, _promised_size(head))
    raw.seek(12)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        position = 12
        for _ in range(MAX_CHUNKS):
            if len(header := raw.read(8)) < 8:
                return
            name, length = header[:4], int.from_bytes(header[4:], "little")
            position += 8
            if name == b"data":
                # A recorder that does not know the length yet writes 0 or −1.
                if length < 0xFFFFFF00 and position + length > size:
                    raise AudioError(f"cut off: {size - position} of {length} bytes of samples are there")
                return
            position += length + length % 2
            raw.seek(position)
    elif head[4:8] == b"ftyp":
        _refuse_missing_boxes(raw, size)
    elif head[:4] == b"\x1aE\xdf\xa3":
        _refuse_missing_segment(raw, size)
    elif head[:8] == ASF:
        _refuse_missing_objects(raw, size)
    elif head[:4] == b"caff":
        _refuse_missing_caf(raw, size)
    elif head[:4] == b"OggS":
        raw.seek(max(size - OGG_TAIL, 0))
        tail = raw.read()
        page = tail.rfind(b"OggS")
        if page < 0 or len(tail) < page + 27 or not tail[page + 5] & 4:  # flag 4: last page of the stream
            raise AudioError("cut off: the Ogg stream has no last page")
        segments = tail[page + 27 : page + 27 + tail[page + 26]]
        if len(segments) < tail[page + 26] or len(tail) < page + 27 + len(segments) + sum(segments):
            raise AudioError("cut off within the last Ogg page")


def _refuse_shorter(size: int, promised: int) -> None:
    """Refuses a file of ``size`` bytes that should have more.

    Raises:
        AudioError: it is cut off.
    """
    if promised > size:
        raise AudioError(f"cut off: {size} of {promised} bytes are there")


def _refuse_missing_boxes(raw: Readable, size: int) -> None:
    """Refuses MP4 whose last box lacks its end, or that lacks the box which says where the sound lies.

    Raises:
        AudioError: it is cut off.
    """
    position, has_index = 0, False
    for _ in range(MAX_CHUNKS):
        raw.seek(position)
        header = raw.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:  # a large box says its length behind its name
            length = int.from_bytes(header[8:], "big")
        has_index |= header[4:8] == b"moov"
        if len(header) < 8 or length == 0:  # the last box may go on to the end
            break
        position += max(length, 8)
    _refuse_shorter(size, position)
    if not has_index:
        raise AudioError("cut off: it has no index of its sounds (moov)")


def _refuse_missing_segment(raw: Readable, size: int) -> None:
    """Refuses Matroska whose only segment lacks its end; where a recorder did not know the length, its bits are all ones.

    Raises:
        AudioError: it is cut off.
    """
    position = 4  # behind the identity of the header, which stands before the segment
    for identity in (0, 4):
        raw.seek(position + identity)
        field = raw.read(8)
        width = 9 - field[0].bit_length() if field and field[0] else 9
        if len(field) < width:
            raise AudioError(f"cut off: {size} bytes are there, and no sound among them")
        length = int.from_bytes(field[:width], "big") & (1 << 7 * width) - 1
        if length == (1 << 7 * width) - 1:
            return
        position += identity + width + length
    _refuse_shorter(size, position)


def _refuse_missing_objects(raw: Readable, size: int) -> None:
    """Refuses Windows Media whose last object lacks its end.

    Raises:
        AudioError: it is cut off.
    """
    position = 0
    for _ in range(MAX_CHUNKS):
        raw.seek(position)
        length = int.from_bytes(raw.read(24)[16:], "little")
        if length < 24:  # the end, or a recorder did not know the length
            break
        position += length
    _refuse_shorter(size, position)


def _refuse_missing_caf(raw: Readable, size: int) -> None:
    """Refuses CAF whose last chunk lacks its end.

    Raises:
        AudioError: it is cut off.
    """
    position = 8
    for _ in range(MAX_CHUNKS):
        raw.seek(position)
        header = raw.read(12)
        length = int.from_bytes(header[4:], "big", signed=True)
        if len(header) < 12 or length < 0:  # the end, or samples of which a recorder did not know how many they are
            break
        position += 12 + length
    _refuse_shorter(size, position)


def _promised_size(head: bytes) -> int:
    """The size of the file in bytes as its header gives it; 0 for formats whose header does not give it reliably."""
    if head[:4] == b"FORM":  # AIFF
        return 8 + int.from_bytes(head[4:8], "big")
    if head[:4] == b".snd" and (length := int.from_bytes(head[8:12], "big")) != 0xFFFFFFFF:  # AU
        return int.from_bytes(head[4:8], "big") + length
    if head[:4] == b"RF64" and head[12:16] == b"ds64":
        return 8 + int.from_bytes(head[20:28], "little")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] == b"riff":  # W64: a 16-byte name, then the size of all
        return int.from_bytes(head[16:24], "little")
    return 0
