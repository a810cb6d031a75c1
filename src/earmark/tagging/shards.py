"""Sharing out the sounds among machines: every shard takes its own, and no shard needs to know of the others."""

import os
import shlex
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from earmark.errors import EarmarkError

Shard = tuple[int, int]  # its number, and how many there are

TASK = "$SLURM_ARRAY_TASK_ID"


def parse_shard(text: str) -> Shard:
    """The shard that a text such as ``3/64`` names. ``0/64`` and ``64/64`` are the same one.

    >>> parse_shard("3/64")
    (3, 64)

    Raises:
        EarmarkError: it names none.
    """
    number, slash, count = text.partition("/")
    if slash and number.isdecimal() and count.isdecimal() and 0 <= int(number) <= int(count) and int(count) > 0:
        return int(number), int(count)
    raise EarmarkError(f"--shard {text!r}: the number of the shard and how many there are is needed, such as 3/64")


def shard_text(shard: Shard | None) -> str:
    """A shard as text, the same for all names that it has.

    >>> shard_text((64, 64)), shard_text(None)
    ('0/64', 'all')
    """
    return "all" if shard is None else f"{shard[0] % shard[1]}/{shard[1]}"


def is_in_shard(path: str, shard: Shard) -> bool:
    """Whether a sound belongs to a shard. It depends on the sound's path alone, as it is written, and not on other sounds."""
    number, count = shard
    return int.from_bytes(blake2b(os.fsencode(path), digest_size=8).digest(), "big") % count == number % count


def shard_path(out: Path, number: int | str, count: int) -> Path:
    """Where a shard's tags go.

    >>> shard_path(Path("a/tags.csv"), 3, 64).as_posix()
    'a/tags-3-of-64.csv'
    """
    return out.with_name(f"{out.stem}-{number}-of-{count}{out.suffix}")


def array_script(
    command: Sequence[str], options: Sequence[str], sounds: Sequence[str], out: Path, form: str, count: int, threads: int | None
) -> str:
    """A script for ``sbatch`` whose tasks tag a shard each.

    Args:
        command: what starts ``earmark tag``.
        options: the options of the command, without ``--out`` and ``--shard``.
        sounds: what is to be tagged.
        out: where the tags would go without shards; each task's place has its number in the name.
        form: format of the tags.
        count: number of tasks.
        threads: cores of a task; None leaves it to the cluster.
    """
    before, after = shard_path(out, TASK, count).as_posix().split(TASK)
    place = f'{_quoted(before)}"{TASK}"{_quoted(after)}'
    words = [
        *map(shlex.quote, [*command, *options]),
        "--shard",
        f'"{TASK}"/{count}',
        "--out",
        place,
        "--",
        *map(shlex.quote, sounds),
    ]
    cores = [] if threads is None else [f"#SBATCH --cpus-per-task={threads}"]
    return "\n".join(
        [
            "#!/bin/bash",
            "#SBATCH --job-name=earmark-tag",
            f"#SBATCH --array=1-{count}",
            *cores,
            # Status 3 says that sounds were skipped. They are listed beside the tags, and the task has not failed.
            f"{' '.join(words)} || [ $? -eq 3 ]",
            f"# A task that was stopped goes on where it was: submit the script again. To join the parts: {_join(before, after, out, form, count)}",
            "",
        ]
    )


def _join(before: str, after: str, out: Path, form: str, count: int) -> str:
    parts = f"{_quoted(before)}{{1..{count}}}{_quoted(after)}" if count > 1 else shlex.quote(f"{before}1{after}")
    whole = shlex.quote(out.as_posix())
    match form:
        case "csv":
            return f"{{ head -n 1 {shlex.quote(f'{before}1{after}')}; tail -q -n +2 {parts}; }} > {whole}"
        case "table" | "jsonl":
            return f"cat {parts} > {whole}"
        case "parquet":
            return f"they are read as one table: pyarrow.dataset.dataset([…]) of {parts}"
    return f"the tables of all sounds lie in the folders {parts}"


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""
