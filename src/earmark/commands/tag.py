"""``earmark tag``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from earmark.commands.shared import SKIPPED, ThreadsOption
from earmark.console import tell, write
from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.tagging.bulk import Tagged

SHOWN_CLASSES = 10  # of those that a threshold is out of reach for
TOLD_FROM = 2.0  # seconds that the work took, from which on its speed is told


def tag(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Audio files, folders, patterns in quotes ('rec/**/*.wav'), lists (@files.txt), tables with a column file_name "
            "(@table.csv); - is a sound on stdin.",
        ),
    ],
    model: Annotated[
        str, typer.Option(help="A bundle, a run directory with one, or USER/MODEL[@REVISION] of the Hugging Face Hub.")
    ],
    top_k: Annotated[int, typer.Option(min=1, help="Labels a sound, or a window, at most.")] = 3,
    threshold: Annotated[
        str, typer.Option(metavar="0..1|auto|precision:P", help="No label below this score; chosen for every class.")
    ] = "0",
    window: Annotated[float | None, typer.Option(help="Tag parts of so many seconds, not the sound as a whole.")] = None,
    hop: Annotated[
        float | None, typer.Option(help="Seconds from one part's beginning to the next's; by default the window.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Make one of neighbouring parts with the same label.")] = False,
    form: Annotated[
        Literal["table", "csv", "jsonl", "parquet", "audacity", "raven"],
        typer.Option("--format", help="Of the output; the last two are a table for every sound, in the folder --out."),
    ] = "table",
    out: Annotated[str | None, typer.Option(help="The file, or the folder, to write; stdout by default.")] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Tag only part I of N parts of the sounds.")] = None,
    slurm: Annotated[int | None, typer.Option(min=1, help="Tag nothing; print a script for sbatch with so many shards.")] = None,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="bfloat16 is faster on CPUs that multiply in it, and differs in a score's third digit."),
    ] = "float32",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to score.")] = "auto",
    runtime: Annotated[
        Literal["auto", "onnx", "torch"], typer.Option(help="What scores; auto: torch where there is a GPU.")
    ] = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Tag audio files. The same command goes on where it was stopped."""
    from earmark.machine import keep_freed_memory
    from earmark.quiet import quiet_libraries
    from earmark.tagging.shards import parse_shard

    part = None if shard is None else parse_shard(shard)
    if slurm is not None:
        write(_script(context, slurm))
        return
    from earmark.tagging.bulk import tag_files
    from earmark.tagging.sounds import Request
    from earmark.tagging.tagger import Tagger
    from earmark.tagging.thresholds import out_of_reach

    keep_freed_memory()
    tagger = Tagger.load(model, precision, device, runtime)
    request = Request(top_k, tagger.thresholds(threshold), window, hop, merge)
    with quiet_libraries():
        result = tag_files(tagger, inputs, request, form, out, threads, part)
    if never := out_of_reach(tagger.config, threshold):
        shown = ", ".join(never[:SHOWN_CLASSES]) + (
            f" and {len(never) - SHOWN_CLASSES:,} more" if len(never) > SHOWN_CLASSES else ""
        )
        tell(f"no sound is given {shown}: --threshold {threshold} is out of their reach")
    _tell(result, out)
    if result.bad_count:
        if not result.tagged:
            raise EarmarkError(f"none of the {result.bad_count:,} files could be used")
        raise typer.Exit(SKIPPED)


def _tell(result: "Tagged", out: str | None) -> None:
    """Prints what has been done, and what was skipped."""
    if out is not None and not result.changed:
        tell(f"nothing to do: {result.tagged:,} files are tagged: {out}")
    elif out is not None:
        tell(f"{result.tagged:,} files tagged: {out}")
    if result.done and result.seconds > TOLD_FROM:
        speed = f"{result.done / result.seconds:,.0f} files/s, {3600 * result.hours / result.seconds:,.0f} × real time"
        tell(f"{result.done:,} files, {result.hours:,.1f} hours of sound, in {result.seconds:,.0f} s: {speed}")
    for name, reason in result.bad:
        tell(f"skipped: {name}: {reason}")
    if (more := result.bad_count - len(result.bad)) > 0:
        tell(f"skipped: {more:,} more; all are in {result.ledger}")


def _script(context: typer.Context, count: int) -> str:
    """The script for ``--slurm``: this command with the options that were given, once a shard."""
    from earmark.tagging.shards import array_script

    given = context.params
    if given["out"] is None:
        raise EarmarkError("--slurm: every shard needs a place for its tags; give --out")
    if given["shard"] is not None:
        raise EarmarkError("--slurm shares the sounds out itself; leave --shard out")
    if any(text in ("-", "@-") for text in given["inputs"]):
        raise EarmarkError("--slurm: stdin can be read once, not by every shard; give a file")
    options = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in ("inputs", "out", "shard", "slurm") or source is None or source.name != "COMMANDLINE":
            continue
        value = given[parameter.name or ""]
        options += [parameter.opts[0]] if value is True else [parameter.opts[0], str(value)]
    command = [sys.executable, "-m", "earmark", "tag"]
    return array_script(command, options, given["inputs"], Path(given["out"]), given["form"], count, given["threads"])
