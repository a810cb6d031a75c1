import os
from pathlib import Path

import pyarrow
import pytest

from earmark.data.parquet import read_parquet, write_parquet


def test_changed_bytes_are_noticed_and_pipes_are_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pyarrow.table({"number": [i * 7919 % 10007 for i in range(10_000)], "text": [str(i) for i in range(10_000)]})
    write_parquet(table, path)
    assert read_parquet(path).equals(table)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises((OSError, pyarrow.ArrowException)):
        read_parquet(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        read_parquet(tmp_path / "pipe")
