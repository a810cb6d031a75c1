"""The command line: parse, call, print. What takes long to import is imported by the command that needs it."""

import json
import os
import sys
import traceback
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from earmark import __version__
from earmark.errors import EarmarkError, EarmarkWarning, one_line

OK, FAULT, UNUSABLE, SKIPPED = 0, 1, 2, 3  # exit status
INTERRUPTED = 130  # by Ctrl-C, as shells have it
RESUMED = ("demo", "prepare", "train")  # commands that go on where they were stopped

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train sound taggers on labels you cannot fully trust.",
)
data_app = typer.Typer(rich_markup_mode=None, help="Make and change data sets.")
app.add_typer(data_app, name="data")


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Form(StrEnum):
    table = "table"
    csv = "csv"
    jsonl = "jsonl"


class Precision(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


class NoiseKind(StrEnum):
    symmetric = "symmetric"
    class_ = "class"
    vocabulary = "vocabulary"


class Split(StrEnum):
    train = "train"
    test = "test"


StoreOption = Annotated[Path, typer.Option(help="Folder of the store.")]
SeparatorOption = Annotated[str, typer.Option(help="Between the labels of one cell.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def say(text: str) -> None:
    """A line of the answer, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """A line about the work, on stderr."""
    sys.stderr.write(text + "\n")


def _numbers(text: str, what: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise EarmarkError(f"{what} {text!r}: whole numbers with commas between them are needed") from None


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"earmark {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass  # `run` looks for --debug itself: it must know even where parsing fails


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder for everything that it makes.")] = Path("demo-run")) -> None:
    """Render sounds with planted wrong labels, train with and without loss masking, evaluate, report, tag. Minutes on 2 cores."""
    from earmark.demo import run_demo

    run_demo(out, say)


@data_app.command("corrupt")
def data_corrupt(
    manifest: Annotated[Path, typer.Argument(help="CSV or Parquet manifest with unverified clips.")],
    kind: Annotated[NoiseKind, typer.Option(help="The kind of noise.")],
    rate: Annotated[float, typer.Option(help="Share of the unverified labels that become wrong, 0 to 1.")],
    out: Annotated[Path, typer.Option(help="The CSV manifest to write.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed plants the same noise.")] = 0,
    label_separator: SeparatorOption = ",",
) -> None:
    """Plant known label noise among a manifest's unverified labels; the truth stays in a column of its own."""
    from earmark.data.corrupt import TRUTH, corrupt
    from earmark.data.manifest import read_manifest, write_manifest
    from earmark.errors import ManifestError

    found = read_manifest(manifest, label_separator)
    if out.parent.resolve() != manifest.parent.resolve():
        raise ManifestError(str(out), [f"must lie in {manifest.parent}: file names are relative to the manifest"])
    if out.exists() and out.samefile(manifest):
        raise ManifestError(str(out), ["is the manifest itself; write to another file"])
    clips = corrupt(found.clips, kind.value, rate, seed, label_separator)
    write_manifest(out, clips, label_separator)
    wrong = sum(clip.extra[TRUTH] != label_separator.join(clip.labels) for clip in clips)
    say(
        f"{out}: {len(clips):,} clips, {wrong:,} of {sum(not clip.verified for clip in clips):,} unverified ones with a wrong label"
    )


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help="Kind of data set: manifest, folder, or a published one by name.")],
    root: Annotated[Path, typer.Argument(help="The data set's folder; for `manifest` the file.")],
    out: Annotated[Path, typer.Option(help="Folder of the store.")],
    sample_rate: Annotated[str, typer.Option(help="In Hz; several with commas between them.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Decoding threads; one a core by default.")] = None,
    label_separator: SeparatorOption = ",",
    no_errata: Annotated[bool, typer.Option("--no-errata", help="Read a data set's known faulty labels as published.")] = False,
) -> None:
    """Decode every clip once into a store. A second run over unchanged inputs does nothing; an interrupted one goes on."""
    from earmark.data.manifest import describe
    from earmark.data.prepare import prepare as build
    from earmark.data.sources import scan

    rates = _numbers(sample_rate, "--sample-rate")
    if min(rates) < 1000:
        raise EarmarkError(f"--sample-rate {sample_rate}: rates are in Hz, from 1000")
    manifest = scan(source, root, label_separator, errata=not no_errata)
    for line in describe(manifest):
        say(line)
    made = build(manifest, str(root), out, rates, jobs)
    store = made.store
    shown_rates = ", ".join(map(str, store.sample_rates))
    say(f"{out}: {store.clip_count:,} clips, {len(made.bad):,} bad, {shown_rates} Hz{', unchanged' if made.unchanged else ''}")
    if made.bad:
        _tell_bad(list(made.bad), len(manifest.clips), str(out / "bad.csv"))
        raise typer.Exit(SKIPPED)


def _tell_bad(bad: list[tuple[str, str]], of: int, ledger: str | None) -> None:
    """Where a ledger lists them all: missing files as one count, and the first few others. Else every one."""
    if ledger is None:
        for name, reason in bad:
            tell(f"skipped: {one_line(name)}: {reason}")
        return
    missing = [name for name, reason in bad if reason == "no such file"]
    if missing:
        tell(
            f"skipped: {len(missing):,} of {of:,} audio files are not there (the first: {one_line(missing[0])}); all are in {ledger}"
        )
    others = [(name, reason) for name, reason in bad if reason != "no such file"]
    for name, reason in others[:20]:
        tell(f"skipped: {one_line(name)}: {reason}")
    if len(others) > 20:
        tell(f"skipped: {len(others) - 20:,} more; all are in {ledger}")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a built-in recipe, or a YAML file.")],
    store: Annotated[Path | None, typer.Option(help="Folder of the store.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory, new or begun.")] = None,
    members: Annotated[str | None, typer.Option(help="Names with commas between them, and what they need; all by default.")] = None,
    folds: Annotated[str | None, typer.Option(help="Numbers with commas between them; all by default.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; * is every member.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    jobs: Annotated[int, typer.Option(min=1, help="Nets trained at once, each in a process of its own.")] = 1,
    allow_bad: Annotated[
        bool, typer.Option("--allow-bad", help="Train though more than 5 % of the store's clips were bad.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Train nothing; show the stages with clips, batches and hours, and the ensembles.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe. Stopped at any moment, the same command goes on where it was."""
    from earmark.data.store import Store
    from earmark.recipe import load_recipe

    chosen = load_recipe(recipe, set_ or [])
    names = None if members is None else members.split(",")
    wanted = None if folds is None else _numbers(folds, "--folds")
    if not plan and (store is None or out is None):
        raise EarmarkError(f"Missing option '--{'store' if store is None else 'out'}'.")
    opened = None if store is None else Store.open(store)
    if plan and jobs > 1:
        raise EarmarkError("--plan counts the hours of one net after the other; leave --jobs out")
    if plan:
        from earmark.training.plan import plan as make_plan
        from earmark.training.plan import plan_lines

        planned = make_plan(chosen, opened, names, wanted, device.value)
        for line in [json.dumps(planned, ensure_ascii=False)] if as_json else plan_lines(planned):
            say(line)
        return
    assert opened is not None and out is not None  # else refused above
    from earmark.training.train import TrainRequest
    from earmark.training.train import train as run_training

    metrics = run_training(TrainRequest(chosen, opened, out, names, wanted, device.value, allow_bad, jobs))
    _show_metrics(metrics, as_json, f"report: {out / 'report.html'}   model: {out / 'bundle'}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    store: Annotated[Path | None, typer.Option(help="The store; the one that the run was trained on by default.")] = None,
    split: Annotated[Split, typer.Option(help="train: out-of-fold scores; test: the store's test split.")] = Split.train,
    as_json: JsonOption = False,
) -> None:
    """Compute a run's metrics, from its out-of-fold scores or on a test split."""
    from earmark.assess.evaluate import evaluate_test, run_store
    from earmark.assess.run import Run

    opened = Run.open(run)
    data = run_store(opened, store)
    if split is Split.test:
        _show_metrics(evaluate_test(opened, data), as_json, f"scores: {run / 'test.parquet'}")
    else:
        from earmark.training.train import finish

        _show_metrics(finish(opened, data), as_json, f"report: {run / 'report.html'}")


def _show_metrics(metrics: dict[str, Any], as_json: bool, where: str) -> None:
    if as_json:
        say(json.dumps(metrics, ensure_ascii=False))
        return
    rows = [("verified clips", metrics), ("all labelled clips", {**metrics["all"], "leaks": metrics.get("leaks")})]
    rows += [(f"verified clips, {usage}", found) for usage, found in metrics.get("usage", {}).items()]
    for part in ("members", "ensembles"):
        if len(parts := metrics.get(part, {})) > 1:
            rows += [(f"{part.removesuffix('s')} {name}, verified", found) for name, found in parts.items()]
            rows += [
                (f"{part.removesuffix('s')} {name}, verified, {usage}", of_usage)
                for name, found in parts.items()
                for usage, of_usage in found.get("usage", {}).items()
            ]
    for title, found in rows:
        values = [
            f"{key} {found[key]['value']:.4f} ({found[key]['low']:.4f}–{found[key]['high']:.4f})"
            for key in ("map@3", "accuracy", "lwlrap")
            if found[key]
        ]
        count = f"{found['map@3']['clips']:,} clips" if found["map@3"] else "no clip to score"
        say(f"{title}: {', '.join([*values, count])}{' – leaks validation labels' if found.get('leaks') else ''}")
    say(where)


@app.command()
def tag(
    paths: Annotated[list[Path], typer.Argument(help="Audio files and folders.")],
    model: Annotated[Path, typer.Option(help="A bundle, or a run directory with one.")],
    top_k: Annotated[int, typer.Option(min=1, help="Labels a file at most.")] = 3,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="No label below this score.")] = 0.0,
    form: Annotated[Form, typer.Option("--format", help="Of the output.")] = Form.table,
    out: Annotated[Path | None, typer.Option(help="The file to write; stdout by default.")] = None,
    precision: Annotated[
        Precision, typer.Option(help="bfloat16 is faster on CPUs that multiply in it, and differs in a score's third digit.")
    ] = Precision.float32,
) -> None:
    """Tag audio files, and those below folders."""
    from earmark.machine import keep_freed_memory
    from earmark.tagging.bulk import tag_files
    from earmark.tagging.tagger import Tagger

    keep_freed_memory()
    done = tag_files(Tagger.load(model, precision.value), paths, top_k, threshold, form.value, out)
    if out is not None:
        tell(f"{done.tagged:,} files tagged: {out}")
    if done.bad:
        _tell_bad(list(done.bad), done.tagged + len(done.bad), str(done.ledger) if done.ledger else None)
        if not done.tagged:
            raise EarmarkError(f"none of the {len(done.bad):,} files could be used")
        raise typer.Exit(SKIPPED)


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="A bundle, a run directory, a recipe's name or file.")],
    classes: Annotated[
        int | None,
        typer.Option(min=2, help="Count a recipe's parameters for so many classes; by default as it was published with."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model or a recipe is: members, rates, parameters, labels, size, licence."""
    from earmark.assess.inform import describe

    found = describe(model, classes)
    if as_json:
        say(json.dumps(found, ensure_ascii=False))
        return
    for key, value in found.items():
        if key != "members":
            say(f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for member in found["members"]:
        say("  " + "  ".join(f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in member.items()))


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit status; errors become one line on stderr."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]  # wherever it stands
    warnings.simplefilter("default" if debug else "ignore")
    warnings.simplefilter("always", EarmarkWarning)
    warnings.showwarning = lambda message, *_, **__: tell(f"warning: {one_line(str(message))}")
    try:
        result = typer.main.get_command(app)(arguments or ["--help"], prog_name="earmark", standalone_mode=False)
        status = result if isinstance(result, int) else OK
        if status == INTERRUPTED:  # typer has caught it
            raise KeyboardInterrupt
        return status
    except typer.TyperException as error:
        tell(f"error: {' '.join(error.format_message().split())}")
        return UNUSABLE
    except EarmarkError as error:
        if debug:
            traceback.print_exc()
        tell(f"error: {one_line(str(error))}")
        return UNUSABLE
    except (KeyboardInterrupt, typer.Abort):
        goes_on = arguments and arguments[0] in RESUMED
        tell("stopped; what is done is kept, and the same command goes on from there" if goes_on else "stopped")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the reader of our output has gone; typer turns that into an exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor can the interpreter's last flush fail
        return OK
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("earmark"):
            raise
        tell(f"error: this needs {error.name}, which is not installed; pip install 'earmark[train]' brings it")
        return UNUSABLE
    except OSError as error:  # what the file system refuses, wherever we asked it
        if debug:
            traceback.print_exc()
        where = error.filename2 or error.filename
        tell(f"error: {one_line(f'{where}: ' if where else '')}{error.strerror or error}")
        return UNUSABLE
    except Exception as error:
        if debug:
            traceback.print_exc()
        tell(f"error: a fault of earmark's own ({type(error).__name__}: {' '.join(str(error).split())}); --debug shows where")
        return FAULT


if __name__ == "__main__":
    main()
