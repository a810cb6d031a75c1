"""The demo, on synthetic sounds: how much wrong labels harm a tagger, and how much loss masking helps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from earmark import files
from earmark.assess.joined import out_of_fold
from earmark.assess.methods import Method, MethodTable
from earmark.assess.metrics import RunMetrics
from earmark.assess.report import write_report
from earmark.data.corrupt import TRUTH, corrupt
from earmark.data.manifest import read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.synth import KINDS, RATE, render, render_clips
from earmark.recipe import load_recipe
from earmark.runs.data import load_run_clips
from earmark.runs.run import Run
from earmark.tagging.formats import TaggedFile
from earmark.tagging.formats import render as render_tags
from earmark.tagging.tagger import Tagger
from earmark.training.begin import check_out, open_run
from earmark.training.train import TrainRequest, train

PER_KIND = 60  # clips of each kind of sound
VERIFIED_SHARE = 0.4  # of the clips of each kind
FOLDS = 2
NOISE = 0.3  # share of the unverified labels that are made wrong
SEED = 7


def run_demo(out: Path, say: Callable[[str], None]) -> tuple[RunMetrics, RunMetrics]:
    """Renders clips, plants wrong labels, trains ``tiny`` with and without loss masking, evaluates, reports, tags.

    ``out`` becomes the run directory of the training with masking; ``out/demo`` has the clips, the store and the run without
    masking. A demo that was stopped goes on where it was.

    Args:
        out: a new folder, or that of an earlier demo.
        say: called with each line to show.

    Returns:
        The metrics of the run with masking, and those of the run without.

    Raises:
        RunError: ``out`` is a folder of something else.
    """
    recipe = load_recipe("tiny")
    check_out(out)
    with files.locked(out / ".lock", out):
        open_run(out, recipe)  # now, so that a folder of something else is refused before anything is written into it
    folder = out / "demo"
    manifest_path = folder / "manifest.csv"
    if not manifest_path.is_file():
        say(f"rendering {PER_KIND * len(KINDS)} clips of {len(KINDS)} kinds of sound: {', '.join(KINDS)}")
        clips = corrupt(render_clips(folder, PER_KIND, VERIFIED_SHARE, FOLDS, SEED), "symmetric", NOISE, SEED)
        write_manifest(manifest_path, clips)
    manifest = read_manifest(manifest_path)
    unverified = [clip for clip in manifest.clips if not clip.verified]
    wrong = sum(clip.extra[TRUTH] != ",".join(clip.labels) for clip in unverified)
    say(
        f"{len(manifest.clips)} clips, {len(unverified)} of them unverified; {wrong} of those ({wrong / len(unverified):.0%}) carry a wrong label"
    )
    store = prepare(manifest, str(manifest_path), folder / "store", [RATE]).store
    say("training with loss masking")
    masked = train(TrainRequest(recipe, store, out))
    say("training without it, on the same batches")
    plain = train(TrainRequest(load_recipe("tiny", ["members.*.loss.masking=null"]), store, folder / "without-masking"))
    run = Run.open(out)
    sounds = load_run_clips(run, store, RATE)
    scores = out_of_fold(run, sounds)
    methods = MethodTable(
        "Loss masking against none",
        f"The same {len(manifest.clips)} clips, batches and budget; {wrong} of {len(unverified)} unverified labels are wrong. "
        "Both are scored on the verified clips of the fold that they did not see.",
        (Method("without loss masking", plain, "start"), Method("with loss masking", masked, this=True)),
    )
    report = write_report(run, sounds, scores, masked, methods)
    for title, metrics in (("with masking", masked), ("without", plain)):
        shown = {"map@3": metrics["map@3"], "accuracy": metrics["accuracy"]}
        values = [f"{name} {e['value']:.3f} ({e['low']:.3f}–{e['high']:.3f})" for name, e in shown.items() if e]
        say(f"{title:>13}: {', '.join(values)} on {sum(clip.verified for clip in manifest.clips)} held-out verified clips")
    say("tagging five new sounds:")
    tagger = Tagger.load(run.bundle)
    new_sounds = folder / "new"
    new_sounds.mkdir(exist_ok=True)
    for kind, seed in zip(list(KINDS)[::2], np.random.SeedSequence(SEED + 1).spawn(5), strict=True):
        path = new_sounds / f"{kind}.wav"
        samples = render(kind, np.random.default_rng(seed))
        soundfile.write(path, samples, RATE)
        say("  " + render_tags(TaggedFile(path.name, 0, len(samples) / RATE, tagger.tag(path)), "table").rstrip())
    say(f"report: {report}")
    return masked, plain
