import io
import os

import pytest

from earmark.audio.part import PartOfFile


def test_a_part_is_a_file_of_its_own() -> None:
    part = PartOfFile(io.BytesIO(b"0123456789"), 2, 7)
    assert (part.read(2), part.tell(), part.read(), part.read()) == (b"23", 2, b"456", b"")
    assert (part.seek(-2, os.SEEK_END), part.read(9)) == (3, b"56")
    assert (part.seek(1), part.seek(2, os.SEEK_CUR), part.read(1)) == (1, 3, b"5")
    assert (part.seek(-9, os.SEEK_CUR), part.read(1)) == (0, b"2")


def test_a_part_that_claims_to_be_long_ends_all_the_same_and_has_no_tag_where_it_claims_to_end() -> None:
    part = PartOfFile(io.BytesIO(b"0123456789"), 2, 7, 1 << 50)
    assert part.seek(-128, os.SEEK_END) == (1 << 50) - 128
    room = bytearray(b"x" * 128)
    assert (part.readinto(room), bytes(room), part.readinto(room)) == (128, bytes(128), 0)
    part.seek(0)
    room = bytearray(10)
    assert (part.readinto(room), bytes(room[:5]), part.readinto(room)) == (5, b"23456", 0)


def test_a_failure_to_read_is_kept(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "x").write_bytes(b"0123456789")
    with (tmp_path / "x").open("rb", buffering=0) as file:
        part = PartOfFile(file, 0, 10)
        part.check()
        os.close(file.fileno())
        assert part.readinto(bytearray(4)) == 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            part.check()
        os.open(tmp_path / "x", os.O_RDONLY)  # takes the number, which the block closes
