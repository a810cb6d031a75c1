"""``report.html``: a run on one page; the file needs no other files."""

import base64
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from earmark import audio
from earmark.assess.joined import Joined, RunScores
from earmark.assess.methods import MethodTable
from earmark.assess.metrics import METRICS, RunMetrics, per_class
from earmark.assess.page import NAMES, short, write_page
from earmark.data.clips import ClipSet
from earmark.runs.run import Run, read_metrics_log

WORST = 24  # number of mistakes shown
LEGEND = 10  # nets named in the learning curves, at most
CURVE_POINTS = 6000  # in one picture of learning curves, about
CONFUSED = 100  # classes in the confusion matrix, at most
CLASS_ROWS = 500  # classes in the table, at most
GIVEN = 5  # labels of a mistake, at most
PLAYED_SECONDS = 6.0  # length of the sound of each mistake, at most
VORBIS_RATE = 48000  # Hz; the encoder crashes above 200,000
CURVES = {
    "loss": "Training loss",
    "masked": "Masked share",
    "noisy_loss": "Loss of the noisy task",
    "soft_loss": "Loss on pseudo labels",
}


def write_report(
    run: Run,
    sounds: ClipSet,
    scores: RunScores,
    metrics: RunMetrics,
    methods: MethodTable | None = None,
) -> Path:
    """Writes the report of a run's out-of-fold scores.

    Args:
        run: the run.
        sounds: all clips of its store at one sample rate, for the sounds in the report.
        scores: the run's out-of-fold scores.
        metrics: the run's metrics, as in ``metrics.json``.
        methods: other ways to learn from the same clips, to show beside the run's own.

    Returns:
        The path of the report.
    """
    ensemble = scores.main
    judgeable = ensemble.judgeable
    judged = judgeable.chosen(judgeable.clips.verified)
    if not len(judged.clips):  # without verified clips, the unverified labels are all there is
        judged = judgeable
    info = run.info
    return write_page(
        run.path / "report.html",
        "report.html.jinja",
        recipe=run.recipe,
        info=info,
        folds=run.finished(),
        clip_count=len(sounds),
        verified_count=int(sounds.verified.sum()),
        class_count=len(sounds.labels),
        judged=judged,
        metrics=metrics,
        best_kept=sorted({vote.member for vote in next(iter(scores.votes.values())) if vote.weights == "best"}),
        leaking=any(row["leaks"] for row in (*metrics["members"].values(), *metrics["ensembles"].values())),
        methods=methods,
        rule=run.recipe.ensembles[next(iter(scores.ensembles))].rule.replace("_", " "),
        curves=_learning_curves(run),
        confusion=_confusion(judged),
        classes=_class_rows(judged),
        class_rows=CLASS_ROWS,
        confused=CONFUSED,
        mistakes=_mistakes(judged, sounds),
    )


def _figure(figure: Any) -> str:
    """A matplotlib figure as an inline SVG. Its text stays text, which browsers have letters of all scripts for."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # matplotlib's own font only measures the text
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _new_figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(width, height))
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _learning_curves(run: Run) -> str:
    logs = {
        f"{member} fold {fold}": read_metrics_log(run.net_folder(member, fold) / "metrics.csv")
        for member, folds in run.finished().items()
        for fold in folds
    }
    masked = any(run.recipe.members[member].loss.masking is not None for member in run.finished())
    extra = [name for name in ("noisy_loss", "soft_loss") if any(row.get(name) for rows in logs.values() for row in rows)]
    shown = ["loss", *(["masked"] if masked else []), *extra, *METRICS]
    figure, axes = _new_figure(15, 2.9, len(shown))
    few = len(logs) <= LEGEND
    for axis, column in zip(axes, shown, strict=True):
        for title, rows in logs.items():
            points = [(int(row["batch"]), float(row[column])) for row in rows if row.get(column)]
            points = points[:: -(len(points) // max(CURVE_POINTS // len(logs), 1) + 1)]  # backwards, so that the last one is in
            if points:
                axis.plot(*zip(*points, strict=True), linewidth=1.2, label=title, marker="." if column in METRICS and few else None)
        axis.set_title(CURVES.get(column) or f"{NAMES[column]}, held-out fold")
        axis.set_xlabel("batch")
        axis.grid(alpha=0.3)
    if few and axes[0].lines:
        axes[0].legend(fontsize=7)
    figure.tight_layout()
    return _figure(figure)


def _confusion(judged: Joined) -> str:
    """The confusion matrix as a figure: how often each class is the best guess for clips of each label.

    A clip with several labels counts once, if the guess is one of them; else it counts as a mistake for each of its labels. Of many
    classes the figure has those with the most mistakes.
    """
    names, positive, best = judged.clips.labels.names, judged.clips.positive, judged.scores.argmax(axis=1)
    right = positive[np.arange(len(best)), best]
    clip, label = np.nonzero(positive & ~right[:, None])
    given, guess = np.concatenate([best[right], label]), np.concatenate([best[right], best[clip]])
    mistakes = np.bincount(label, minlength=len(names)) + np.bincount(best[clip], minlength=len(names))
    shown = np.sort(np.argsort(-mistakes, kind="stable")[:CONFUSED])
    place = np.full(len(names), -1)
    place[shown] = np.arange(len(shown))
    visible = (place[given] >= 0) & (place[guess] >= 0)
    counts = np.zeros((len(shown), len(shown)))
    np.add.at(counts, (place[given[visible]], place[guess[visible]]), 1)
    share = counts / np.maximum(np.bincount(given, minlength=len(names))[shown, None], 1)
    size = float(np.clip(len(shown) * 0.24, 4.5, 14))
    figure, (axis,) = _new_figure(size, size)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    font = 9 if len(shown) <= 20 else 7
    texts = [short(names[k]) for k in shown]
    axis.set_xticks(range(len(shown)), texts, rotation=90, fontsize=font, parse_math=False)
    axis.set_yticks(range(len(shown)), texts, fontsize=font, parse_math=False)
    axis.set_xlabel("best guess")
    axis.set_ylabel("given label")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        axis.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", fontsize=font - 1, color=colour)
    return _figure(figure)


def _class_rows(judged: Joined) -> list[dict[str, Any]]:
    values = per_class(judged.scores, judged.clips.positive)
    rows = [
        {"label": short(label), **{name: float(column[k]) for name, column in values.items()}}
        for k, label in enumerate(judged.clips.labels.names)
        if values["clips"][k]
    ]
    return sorted(rows, key=lambda row: (row["lwlrap"], row["label"]))


def _mistakes(judged: Joined, sounds: ClipSet) -> list[dict[str, Any]]:
    """Clips whose best guess is none of their labels, for listening; the highest score of a wrong guess first."""
    best = judged.scores.argmax(axis=1)
    positive, names = judged.clips.positive, judged.clips.labels.names
    wrong = np.flatnonzero(~positive[np.arange(len(best)), best])
    index_of = {clip_id: i for i, clip_id in enumerate(sounds.clip_id.tolist())}
    worst = wrong[np.argsort(-judged.scores[wrong, best[wrong]], kind="stable")[:WORST]]
    return [
        {
            "clip_id": str(judged.clips.clip_id[i]),
            "given": [short(names[k]) for k in np.flatnonzero(positive[i])[:GIVEN]],
            "further": int(positive[i].sum()) - GIVEN,
            "given_score": float(judged.scores[i][positive[i]].max()),
            "guess": short(names[best[i]]),
            "guess_score": float(judged.scores[i, best[i]]),
            "audio": _ogg(sounds, index_of[str(judged.clips.clip_id[i])]),
        }
        for i in worst
    ]


def _ogg(clips: ClipSet, index: int) -> str:
    """The beginning of a clip, as a base64 Ogg Vorbis file."""
    samples = clips.samples(index)[: int(PLAYED_SECONDS * clips.sample_rate)]
    samples = samples / max(1.0, float(np.abs(samples).max()))
    rate = min(clips.sample_rate, VORBIS_RATE)
    samples = audio.resample(samples, clips.sample_rate, rate)
    with io.BytesIO() as file:
        with soundfile.SoundFile(file, "w", rate, 1, format="OGG", subtype="VORBIS") as ogg:
            for start in range(0, len(samples), 4096):  # libsndfile's encoder overflows its stack on one long write
                ogg.write(samples[start : start + 4096])
        return base64.b64encode(file.getvalue()).decode()
