"""MP3 files, which may lie about how many frames they have: where the frames are, and what the tag before them says."""

from dataclasses import dataclass

from earmark.audio.intact import RawBytes

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz, by the bits of the version: 1, 2, 2.5
_MPEG_1 = 3  # bits of the version
_LAYER_3, _LAYER_2, _LAYER_1 = 1, 2, 3  # bits of the layer
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # kbit/s, of versions 2 and 2.5
_KILOBITS = {
    (True, _LAYER_1): tuple(range(32, 449, 32)),
    (True, _LAYER_2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_2): _LOW,
    (False, _LAYER_3): _LOW,
}
_LONGEST = 2881  # bytes of a frame
_DECODER_DELAY = 529  # samples
_VBRI = 36  # position of the other kind of tag in its frame
_ID3V1 = 128  # bytes
_APE_FOOTER = 32  # bytes
_FOOTER_BEHIND = 1 << 31  # flag of an APE tag that has a header besides
_MAX_TAGS = 8  # before and behind the frames


@dataclass(frozen=True)
class Frames:
    """Where an MP3 file's frames of sound are, and what its tag says of them.

    Attributes:
        begin: position of the first byte of the frames, behind the tag that counts them.
        end: position behind their last byte.
        counted: samples in as many frames as the tag says; 0 if it does not.
        lead: samples at the beginning that encoder and decoder have added.
        tail: samples at the end that the encoder has added, if the file has as many as were counted.
    """

    begin: int
    end: int
    counted: int = 0
    lead: int = 0
    tail: int = 0


def find_frames(raw: RawBytes) -> Frames:
    """Finds the frames of a file of MPEG audio. Where the tag is none that is known, it counts as a frame."""
    begin, end = behind_id3(raw), _before_tags(raw)
    end -= _cut_off(raw, begin, end)
    raw.seek(begin)
    head = raw.read(_LONGEST)
    length = _length(head)
    if not length or head[1] >> 1 & 3 != _LAYER_3:
        return Frames(begin, end)
    first_kind, mono = head[1] >> 3 & 3 == _MPEG_1, head[3] >> 6 == 3
    samples = 1152 if first_kind else 576  # of a frame
    frame = head[:length]
    place = 4 + ((17 if mono else 32) if first_kind else (9 if mono else 17))
    if frame[_VBRI : _VBRI + 4] == b"VBRI":
        return Frames(begin + length, end)
    if frame[place : place + 4] not in (b"Xing", b"Info"):
        return Frames(begin, end)
    flags = frame[place + 7] if len(frame) > place + 7 else 0
    behind = place + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    count = int.from_bytes(frame[place + 8 : place + 12], "big") if flags & 1 else 0
    encoder = frame[behind : behind + 24]  # the encoder's name, and what it has added
    if not count or len(encoder) < 24 or not encoder[0]:
        return Frames(begin + length, end)
    added = int.from_bytes(encoder[21:24], "big")
    return Frames(
        begin + length,
        end,
        count * samples,
        (added >> 12) + _DECODER_DELAY,
        max((added & 0xFFF) - _DECODER_DELAY, 0),
    )


def is_frame(head: bytes) -> bool:
    """Whether a frame of MPEG audio begins here."""
    return _length(head) > 0


def _length(frame: bytes) -> int:
    """The length in bytes of the frame that begins here; 0 if none does, or one that does not say its length."""
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return 0
    version, layer, rate, bits, padded = frame[1] >> 3 & 3, frame[1] >> 1 & 3, frame[2] >> 2 & 3, frame[2] >> 4, frame[2] >> 1 & 1
    if version not in _RATES or layer == 0 or rate == 3 or bits in (0, 15):
        return 0
    bits_per_second = 1000 * _KILOBITS[version == _MPEG_1, layer][bits - 1]
    if layer == _LAYER_1:
        return (12 * bits_per_second // _RATES[version][rate] + padded) * 4
    samples = 1152 if version == _MPEG_1 or layer == _LAYER_2 else 576
    return samples // 8 * bits_per_second // _RATES[version][rate] + padded


def _cut_off(raw: RawBytes, begin: int, end: int) -> int:
    """Bytes of the last frame if its end is missing: a decoder would take that for a fault. Frames follow upon each other without gaps."""
    first = max(begin, end - 4 * _LONGEST)
    raw.seek(first)
    tail = raw.read(end - first)
    for start in range(len(tail)):
        place, count = start, 0
        while length := _length(tail[place : place + 4]):
            place, count = place + length, count + 1
            if place >= len(tail):
                break
        if count > 1 and 0 <= len(tail) - place < 4:
            return len(tail) - place  # a few bytes of a frame's header, or none
        if count > 1 and place > len(tail):
            return len(tail) - (place - length)
    return 0


def behind_id3(raw: RawBytes) -> int:
    """The position behind the ID3v2 tags at the beginning of a file."""
    position = 0
    for _ in range(_MAX_TAGS):
        raw.seek(position)
        tag = raw.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            break
        size = 0
        for seven_bits in tag[6:10]:
            size = size << 7 | seven_bits & 127
        position += 10 + size + (10 if tag[5] & 16 else 0)
    return position


def _before_tags(raw: RawBytes) -> int:
    """The position of the ID3v1 and APE tags at the end of a file: a decoder would look for frames in them."""
    end = raw.seek(0, 2)
    for _ in range(_MAX_TAGS):
        raw.seek(max(end - _ID3V1, 0))
        tail = raw.read(min(_ID3V1, end))
        footer = tail[-_APE_FOOTER:]
        if len(tail) == _ID3V1 and tail[:3] == b"TAG":
            end -= _ID3V1
        elif len(footer) == _APE_FOOTER and footer[:8] == b"APETAGEX":
            has_header = int.from_bytes(footer[20:24], "little") & _FOOTER_BEHIND
            end = max(end - int.from_bytes(footer[12:16], "little") - (_APE_FOOTER if has_header else 0), 0)
        else:
            break
    return end
