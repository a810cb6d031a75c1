import csv
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import earmark
from earmark.errors import EarmarkError
from earmark.tagging.bulk import tag_files
from earmark.tagging.sounds import Request

ray = pytest.importorskip("ray", reason="Ray is not installed")
from earmark.tagging.ray import tag_with_ray  # noqa: E402

FILES = 600


def rows(*outs: Path) -> list[tuple[str, str, str]]:
    found = []
    for out in outs:
        with out.open(newline="") as file:
            found += [(row["file"], row["label"], row["score"]) for row in csv.DictReader(file)]
    return sorted(found)


def bad(*outs: Path) -> list[str]:
    ledgers = [out.with_name(f"{out.name}.bad.csv") for out in outs]
    return sorted(line for ledger in ledgers if ledger.exists() for line in ledger.read_text().splitlines()[1:])


def kill_a_writer(out: Path, killed: list[int]) -> None:
    """Waits until a shard has rows, and kills the worker that writes them."""
    until = time.monotonic() + 60
    while not killed and time.monotonic() < until:
        for part in out.glob("tags-*.csv"):
            for link in Path("/proc").glob("[0-9]*/fd/*"):
                try:
                    if not killed and part.stat().st_size > 1000 and link.readlink() == part:
                        os.kill(int(link.parts[2]), signal.SIGKILL)
                        killed.append(int(link.parts[2]))
                except OSError:  # it has ended meanwhile, or is another user's
                    continue
        time.sleep(0.01)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_and_doubles_nothing(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rec"
    folder.mkdir()
    (folder / "0.wav").write_bytes((rendered.parent / "audio" / "0001.wav").read_bytes())
    for number in range(1, FILES):
        os.link(folder / "0.wav", folder / f"{number}.wav")
    (folder / "broken.wav").write_text("no sound")
    tag_files(earmark.load(finished_run), [str(folder)], Request(2), "csv", tmp_path / "plain.csv")
    out, killed = tmp_path / "out", list[int]()
    killer = threading.Thread(target=kill_a_writer, args=[out, killed])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        killer.start()
        shards = tag_with_ray([str(folder)], finished_run, out, 3, Request(2))
        killer.join()
        again = tag_with_ray([str(folder)], finished_run, out, 3, Request(2))
    finally:
        ray.shutdown()
    assert killed
    parts = [Path(shard["out"]) for shard in shards]
    assert [part.name for part in parts] == [f"tags-{number}-of-3.csv" for number in (1, 2, 3)]
    assert rows(*parts) == rows(tmp_path / "plain.csv") and len(rows(*parts)) == 2 * FILES
    assert bad(*parts) == bad(tmp_path / "plain.csv") and len(bad(*parts)) == 1
    assert sum(shard["tagged"] for shard in shards) == FILES and again == shards


def test_what_other_machines_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EarmarkError, match="stdin can be read once"):
        tag_with_ray(["-"], "model", tmp_path / "out", 2)
    with pytest.raises(EarmarkError, match="0 shards: 1 or more are needed"):
        tag_with_ray(["rec"], "model", tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()
