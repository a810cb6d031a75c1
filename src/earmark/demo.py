"""The demo: what wrong labels do to a tagger, and what loss masking does about it, on sounds rendered here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from earmark.assess.evaluate import any_rate, out_of_fold
from earmark.assess.report import Comparison, write_report
from earmark.assess.run import Run
from earmark.data.corrupt import TRUTH, corrupt
from earmark.data.manifest import read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.synth import KINDS, RATE, render, render_clips
from earmark.recipe import load_recipe
from earmark.tagging.formats import TaggedFile
from earmark.tagging.formats import render as render_tags
from earmark.tagging.tagger import Tagger
from earmark.training.train import TrainRequest, train

PER_KIND = 60
VERIFIED_SHARE = 0.4
FOLDS = 2
NOISE = 0.3  # of the unverified labels
SEED = 7


def run_demo(out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Renders clips, plants wrong labels, trains ``tiny`` with and without loss masking, evaluates, reports, tags.

    ``out`` becomes the run directory of the training with masking; ``out/demo`` holds the clips, the store and the other run.
    Stopped at any point, it goes on there.

    Args:
        out: new, or of a demo before.
        say: takes the lines to show.

    Returns:
        The metrics of the run with masking, those of the other one under ``without_masking``.
    """
    here = out / "demo"
    manifest_path = here / "manifest.csv"
    if not manifest_path.is_file():
        say(f"rendering {PER_KIND * len(KINDS)} clips of {len(KINDS)} kinds of sound: {', '.join(KINDS)}")
        clips = corrupt(render_clips(here, PER_KIND, VERIFIED_SHARE, FOLDS, SEED), "symmetric", NOISE, SEED)
        write_manifest(manifest_path, clips)
    manifest = read_manifest(manifest_path)
    unverified = [clip for clip in manifest.clips if not clip.verified]
    wrong = sum(clip.extra[TRUTH] != ",".join(clip.labels) for clip in unverified)
    say(
        f"{len(manifest.clips)} clips, {len(unverified)} of them unverified; {wrong} of those ({wrong / len(unverified):.0%}) carry a wrong label"
    )
    store = prepare(manifest, str(manifest_path), here / "store", [RATE]).store
    say("training with loss masking")
    masked = train(TrainRequest(load_recipe("tiny"), store, out))
    say("training without it, on the same batches")
    plain = train(TrainRequest(load_recipe("tiny", ["members.*.loss.masking=null"]), store, here / "without-masking"))
    run = Run.open(out)
    clips_of_store = any_rate(store)
    scores = out_of_fold(run, clips_of_store)
    comparison = Comparison(
        "with loss masking",
        "without",
        plain,
        f"The same {len(manifest.clips)} clips, batches and budget; {wrong} of {len(unverified)} unverified labels are wrong. "
        f"Both are scored on the verified clips of the fold that they did not see.",
    )
    report = write_report(run, clips_of_store, scores, masked, comparison)
    for title, found in (("with masking", masked), ("without", plain)):
        values = (
            f"{key} {found[key]['value']:.3f} ({found[key]['low']:.3f}–{found[key]['high']:.3f})" for key in ("map@3", "accuracy")
        )
        say(f"{title:>13}: {', '.join(values)} on {found['map@3']['clips']} held-out verified clips")
    say("tagging five new sounds:")
    tagger = Tagger.load(run.bundle)
    new = here / "new"
    new.mkdir(exist_ok=True)
    for kind, seed in zip(list(KINDS)[::2], np.random.SeedSequence(SEED + 1).spawn(5), strict=True):
        path = new / f"{kind}.wav"
        samples = render(kind, np.random.default_rng(seed))
        soundfile.write(path, samples, RATE)
        say("  " + render_tags(TaggedFile(path.name, 0, len(samples) / RATE, tagger.tag(path)), "table").rstrip())
    say(f"report: {report}")
    return {**masked, "without_masking": plain}
