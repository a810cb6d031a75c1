"""Bulk tagging on many machines with Ray: each task tags a shard, with an output and a journal of its own.

A shard whose worker is lost is begun again by Ray, on any machine, and goes on from its journal. All machines must see the same folders.

    from earmark.tagging.ray import tag_with_ray
    tag_with_ray(["@files.txt"], "run", "tags", shards=64)
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from earmark.errors import EarmarkError
from earmark.quiet import quiet_libraries
from earmark.tagging.bulk import tag_files
from earmark.tagging.formats import TABLE_A_SOUND
from earmark.tagging.shards import shard_path
from earmark.tagging.sounds import Request
from earmark.tagging.tagger import Tagger


class TaggedShard(TypedDict):
    """What became of a shard: its number, its output, and how many of its sounds were tagged and how many could not be used."""

    shard: int
    out: str
    tagged: int
    bad: int


def tag_with_ray(
    inputs: Sequence[str],
    model: Path | str,
    out: Path | str,
    shards: int,
    request: Request | None = None,
    form: str = "csv",
    threads: int = 1,
    gpus: float = 0.0,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> list[TaggedShard]:
    """Tags sounds on the Ray cluster that is connected, or on a local one; the same call goes on where it was stopped.

    Args:
        inputs: what to tag, see `earmark.tagging.inputs.find_sounds`; relative to the folder in which this process runs.
        model: a bundle, or a run directory with one.
        out: a folder. Each shard's tags are in ``tags-3-of-64.csv`` (or such a folder, for formats with a table for every sound).
        shards: number of shards: a few times as many as workers, so that no worker waits for long at the end.
        request: what is asked of every sound.
        form: format of the output, one of `earmark.tagging.formats.FORMATS`.
        threads: CPUs of a worker.
        gpus: GPUs of a worker, or the share of one.
        precision: what the nets compute in.

    Returns:
        What became of each shard, in order.

    Raises:
        EarmarkError: there is no shard, or something is asked for that the other machines cannot read.
        ModuleNotFoundError: Ray is not installed.
    """
    import ray.data

    if shards < 1:
        raise EarmarkError(f"{shards} shards: 1 or more are needed")
    if any(text in ("-", "@-") for text in inputs):
        raise EarmarkError("stdin can be read once, not by every shard; give a file")
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    ending = "" if form in TABLE_A_SOUND else f".{'txt' if form == 'table' else form}"
    here = os.getcwd()

    def tag_shard(row: dict[str, Any]) -> dict[str, Any]:
        os.chdir(here)
        number = int(row["id"]) + 1
        place = shard_path(folder / f"tags{ending}", number, shards)
        tagger = Tagger.load(model, precision, "cuda" if gpus else "cpu")
        with quiet_libraries():
            target = f"{place}/" if form in TABLE_A_SOUND else str(place)
            result = tag_files(tagger, inputs, request or Request(), form, target, threads, (number, shards))
        return dict(TaggedShard(shard=number, out=str(place), tagged=result.tagged, bad=result.bad_count))

    numbers = ray.data.range(shards, override_num_blocks=shards)
    tagged = numbers.map(tag_shard, num_cpus=threads, num_gpus=gpus)
    return sorted((cast(TaggedShard, shard) for shard in tagged.take_all()), key=lambda shard: shard["shard"])
