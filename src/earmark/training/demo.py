"""The demo, on synthetic sounds: what wrong labels do to a tagger, what each way to learn gets back, and what it brings to find some by ear."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from earmark import files
from earmark.assess.joined import out_of_fold
from earmark.assess.methods import MethodTable
from earmark.assess.page import percent
from earmark.assess.report import write_report
from earmark.data.manifest import read_manifest, write_manifest
from earmark.data.models import resolve_models
from earmark.data.plant import plant, planted_store
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.synth import KINDS, RATE, TONAL, render, render_clips
from earmark.data.table import load_table
from earmark.recipe import Recipe, load_recipe
from earmark.runs.data import load_run_clips, load_unchanged_inputs
from earmark.runs.run import Run
from earmark.tagging.formats import render as render_tags
from earmark.tagging.parts import Part, TaggedSound
from earmark.tagging.tagger import Tagger
from earmark.training.begin import check_out, open_run
from earmark.training.compare import compare_methods
from earmark.training.demo_loop import THREADS, close_loop, jobs
from earmark.training.methods import METHODS, derive_methods
from earmark.training.splits import folds_of
from earmark.training.train import finish

PER_KIND = 60  # clips of each kind of sound
BACKGROUND = (-5.0, 15.0)  # dB that the noise is below each sound: so hard that a net does not see through wrong labels by itself
VERIFIED_SHARE = 0.25  # of the clips of each kind
NOISE = 0.6  # share of the unverified labels that are made wrong
FOLDS = 2
SEED = 7  # everything above was chosen on sounds and labels of other seeds


def run_demo(out: Path, say: Callable[[str], None], embedding: Path | None = None, sample_rate: int | None = None) -> MethodTable:
    """Renders sounds, plants wrong labels, learns from them in every way that there is, audits, corrects, learns again, reports, tags.

    ``out`` becomes the run directory of all methods, ``agreement`` first; ``out/demo`` has the sounds, the stores, the audit, and the runs
    without wrong labels and with corrected ones. A demo that was stopped goes on where it was.

    Args:
        out: a new folder, or that of an earlier demo.
        say: called with each line to show.
        embedding: an ONNX model whose vectors the recipe ``quick`` learns on; else it learns on built-in statistics.
        sample_rate: of the model in Hz, if its file does not say it.

    Returns:
        The methods side by side.

    Raises:
        RunError: ``out`` is a folder of something else.
        EmbeddingError: the model cannot be used.
    """
    recipe = resolve_models(load_recipe("quick"), embedding, sample_rate)
    derived = derive_methods(recipe, len(KINDS))
    check_out(out)
    with files.locked(out / ".lock", out):
        # Now, so that a folder of something else is refused before anything is written into it.
        open_run(out, derived.recipe)
    folder = out / "demo"
    right = _right_store(folder, recipe, say)
    store = _wrong_store(right, folder / "store")
    truth, given = load_table(right), load_table(store)
    unverified = ~given.verified
    wrong = int((truth.positive != given.positive).any(axis=1).sum())
    say(
        f"labels: {given.verified.sum()} are verified; of the other {unverified.sum()}, {wrong} ({percent(wrong / unverified.sum())}) are "
        "now wrong: that of another kind, tonal for tonal, noisy for noisy"
    )
    basis = embedding.name if embedding else "built-in statistics of the spectrum"
    say(
        f"training: the recipe quick, a linear net on {basis}; {len(METHODS)} ways to learn, {len(folds_of(given))} folds; "
        "less than a minute on 2 cores"
    )
    table = compare_methods(
        recipe,
        store,
        truth.positive,
        out,
        folder / "clean",
        title="What wrong labels do, and what each way to learn gets back",
        note=f"{len(truth)} rendered sounds of {len(KINDS)} kinds, {given.verified.sum()} of them verified; {wrong} of the other "
        f"{unverified.sum()} labels are wrong. Each sound is tagged by a net that never heard it, and held against its right label. "
        f"A linear net on {basis} learns in every way, from the same sounds.",
        threads=THREADS,
        jobs=jobs(),
    )
    table = replace(table, rows=tuple(replace(row, this=row.name == METHODS["agreement"]) for row in table.rows))
    run = Run.open(out)
    heard = close_loop(run, derived, store, truth, folder, say)
    say("the report, and the model of agreement as a bundle")
    metrics = finish(run, store)
    sounds = load_run_clips(run, store, min(store.sample_rates))
    report = write_report(run, sounds, out_of_fold(run, sounds), metrics, table, heard)
    for line in [*table.lines(), table.in_words, *heard.lines(), *heard.in_words]:
        say(line)
    say("tagging five new sounds:")
    for line in _tag_new_sounds(run, folder / "new"):
        say("  " + line)
    say(f"to hear doubtful sounds yourself: {shlex.join(['earmark', 'review', str(folder / 'audit')])}")
    say(f"report: {report}")
    return table


def _right_store(folder: Path, recipe: Recipe, say: Callable[[str], None]) -> Store:
    """A store of rendered sounds with right labels, and what the recipe's front end makes of them."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        say(f"rendering {PER_KIND * len(KINDS)} sounds of {len(KINDS)} kinds in loud noise ({', '.join(KINDS)}); about 10 seconds")
        write_manifest(manifest, render_clips(folder, PER_KIND, 1.0, FOLDS, SEED, BACKGROUND))
    rates = sorted({member.input.sample_rate for member in recipe.members.values()})
    store = prepare(read_manifest(manifest), str(manifest), folder / "right", rates).store
    load_unchanged_inputs(store, recipe, recipe.members)  # embeddings are computed once, not in each store with other labels
    return store


def _wrong_store(right: Store, path: Path) -> Store:
    """The same store with wrong labels; that of an earlier demo, if it is there."""
    if path.is_dir():
        return Store.open(path)
    truth = load_table(right)
    kin = np.array([int(name in TONAL) for name in truth.labels.names])
    return planted_store(right, path, *plant(truth, "related", NOISE, VERIFIED_SHARE, SEED, kin))


def _tag_new_sounds(run: Run, folder: Path) -> list[str]:
    """Renders sounds of five kinds that are in no store, and tags them: a line for each."""
    tagger = Tagger.load(run.bundle)
    folder.mkdir(exist_ok=True)
    lines = []
    for kind, seed in zip(list(KINDS)[::2], np.random.SeedSequence(SEED + 1).spawn(5), strict=True):
        path = folder / f"{kind}.wav"
        samples = render(kind, np.random.default_rng(seed))
        soundfile.write(path, samples, RATE)
        seconds = len(samples) / RATE
        sound = TaggedSound(path.name, seconds, RATE / 2, [Part(0, seconds, tagger.tag(path))])
        lines.append(render_tags(sound, "table").rstrip())
    return lines
