import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from earmark.data.parquet import read_parquet, write_parquet
from earmark.labels import LabelSet
from earmark.runs.predictions import Block, write_predictions


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


READING = """
import os, sys
from pathlib import Path
from earmark.data.parquet import read_parquet
from earmark.runs.predictions import read_weights_and_views
def threads():
    names = [Path("/proc/self/task", number, "comm").read_text().strip() for number in os.listdir("/proc/self/task")]
    return sorted(name for name in names if name != "jemalloc_bg_thd")  # which comes with the first memory, if it can
before = threads()
rows = read_parquet(Path(sys.argv[1]), equal=("member", "m")).num_rows
pairs = read_weights_and_views(Path(sys.argv[1]))
print(rows, pairs, threads() == before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux shows them")
def test_reading_starts_no_threads(tmp_path: Path) -> None:
    """Under a limit of memory pyarrow waited for ever for a thread that could not be started."""
    labels = LabelSet(("a", "b"))
    scores = np.full((3, 2), 0.5, np.float32)
    blocks = [Block(np.array(["x", "y", "z"]), scores, name, 0, "last", "whole") for name in ("m", "n")]
    write_predictions(tmp_path / "oof.parquet", labels, blocks)
    done = subprocess.run(
        [sys.executable, "-c", READING, str(tmp_path / "oof.parquet")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "3 {('last', 'whole')} True\n"


def test_rows_with_a_value_are_read_from_all_parts_of_a_file(tmp_path: Path) -> None:
    table = pyarrow.table({"rate": [1, 2] * 50, "text": [str(i) for i in range(100)]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet", row_group_size=7)
    assert read_parquet(tmp_path / "t.parquet", equal=("rate", 2))["text"].to_pylist() == [str(i) for i in range(1, 100, 2)]
    assert read_parquet(tmp_path / "t.parquet", equal=("rate", 3)).num_rows == 0
    write_parquet(table.slice(0, 0), tmp_path / "none.parquet")
    assert read_parquet(tmp_path / "none.parquet", equal=("rate", 3)).schema.equals(table.schema)
