"""How well an audit finds wrong labels that are known: `earmark audit` beside what else there is, in rows of planted labels.

    earmark prepare esc50 ESC-50 --out STORE --sample-rate 16000,32000
    python benchmarks/audit.py STORE --embedding MODEL.onnx --kin ESC-50/esc50.csv

Wrong labels are planted among clips that are taken for unverified, in the training clips; the official folds. In row 3 ten of the classes
are taken out of the vocabulary: their clips are given labels of other classes, and no label fits them. The rows of the table:

- audit: the list of `earmark audit`, and the cut that it proposes;
- on the audit's own guesses: a best guess that is not the label, self-confidence, and cleanlab's scores and filter;
- on nets that learned from all labels as they are given, scored by folds, as one without verified labels has to: the same.

With --recipe the net is another one, such as benchmarks/label-noise-scratch.yaml (and --folds 1 takes one fold alone). The second table holds
the audit's promises against the truth.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from label_noise import SMOKE, kin_of, smoke_store
from measure import options, show
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from earmark.assess.audit import Judged, judge
from earmark.data.models import resolve_models
from earmark.data.plant import Protocol, plant, planted_store
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.labels import LabelSet
from earmark.recipe import Recipe, load_recipe
from earmark.runs.run import Run
from earmark.training.compare import learn
from earmark.training.judges import gather_judges
from earmark.training.methods import derive_methods
from earmark.training.train import TrainRequest

ROWS = (
    (Protocol("symmetric", 0.2, 0.39), 0),
    (Protocol("related", 0.4, 0.39), 0),
    (Protocol("related", 0.6, 0.1), 0),
    (Protocol("related", 0.6, 0.1), 10),  # of the classes are taken out of the vocabulary
)
PROMISED = (50, 100, 200)
DRAWS, SMOKE_DRAWS = 500, 10  # of recordings, for intervals
MEASURES = ("AUROC", "average precision", "precision at k", "F1 of the cut")


@dataclass(frozen=True)
class Planting:
    """Clips some of whose labels are known to be wrong.

    Attributes:
        store: with these labels.
        wrong: whether the labels of each clip of the store are wrong, bool ``[N]``.
    """

    store: Store
    wrong: np.ndarray


def planted(store: Store, out: Path, protocol: Protocol, away: int, kin: np.ndarray, seed: int) -> Planting:
    """Plants wrong labels; ``away`` classes leave the vocabulary, and their clips are given labels of others of their kin."""
    truth = load_table(store)
    if not away:
        positive, verified = plant(truth, protocol.kind, protocol.rate, protocol.verified, seed, kin)
        return Planting(planted_store(store, out, positive, verified), (positive != truth.positive).any(axis=1))
    rng = np.random.default_rng(seed)
    gone = np.zeros(len(truth.labels), bool)
    gone[rng.permutation(len(truth.labels))[:away]] = True
    outside = truth.positive[:, gone].any(axis=1)
    labels = LabelSet(tuple(name for name, without in zip(truth.labels.names, gone, strict=True) if not without))
    inside = replace(truth, labels=labels, positive=truth.positive[:, ~gone])[~outside]
    unverified = len(truth) - protocol.verified * len(inside)
    rate = (protocol.rate * unverified - outside.sum()) / (
        (1 - protocol.verified) * len(inside)
    )  # so that all together are as many
    positive = np.zeros((len(truth), len(labels)), bool)
    verified = np.zeros(len(truth), bool)
    positive[~outside], verified[~outside] = plant(inside, protocol.kind, rate, protocol.verified, seed, kin[~gone])
    for row in np.flatnonzero(outside):
        related = np.flatnonzero(kin[~gone] == kin[truth.positive[row].argmax()])
        positive[row, rng.choice(related if len(related) else len(labels))] = True
    wrong = outside.copy()
    wrong[~outside] = (positive[~outside] != inside.positive).any(axis=1)
    return Planting(planted_store(store, out, positive, verified, labels=labels), wrong)


@dataclass(frozen=True)
class Found:
    """What a way to find wrong labels says of the unverified clips.

    Attributes:
        score: higher is more doubtful, ``[N]``; None if it only makes a cut.
        cut: those that it takes for wrong, bool ``[N]``; None if it only ranks.
    """

    score: np.ndarray | None
    cut: np.ndarray | None


def ways(judged: Judged, guesses: np.ndarray, learned: np.ndarray) -> Iterator[tuple[str, Found, np.ndarray]]:
    """All ways, by name, and the clips that each can judge, bool ``[N]``.

    Args:
        judged: the audit's.
        guesses: what its judges think, ``[N, K]``.
        learned: out-of-fold scores of nets that learned from all labels as they are given; NaN where a clip has none.
    """
    clips = judged.clips
    unverified = ~clips.verified & clips.positive.any(axis=1)
    yield "audit", Found(np.nan_to_num(judged.odds), judged.odds >= 0), unverified
    label = clips.positive.argmax(axis=1)
    for basis, scores in (("the audit's guesses", guesses), ("all labels", learned)):
        here = unverified & np.isfinite(scores).all(axis=1)
        if not here.any():
            continue
        given, shares = label[here], scores[here] / scores[here].sum(axis=1, keepdims=True)

        def spread(values: np.ndarray, here: np.ndarray = here) -> np.ndarray:
            whole = np.zeros(len(here), values.dtype)
            whole[here] = values
            return whole

        yield f"best guess is another, {basis}", Found(None, spread(shares.argmax(axis=1) != given)), here
        own = shares[np.arange(len(given)), given]
        yield f"self-confidence, {basis}", Found(spread(-own), None), here
        for method, adjusted in (
            ("self_confidence", True),
            ("normalized_margin", False),
            ("normalized_margin", True),
            ("confidence_weighted_entropy", False),
        ):
            quality = get_label_quality_scores(given, shares, method=method, adjust_pred_probs=adjusted)
            name = f"cleanlab {method.replace('_', ' ')}{', adjusted' if adjusted else ''}, {basis}"
            yield name, Found(spread(-quality), None), here
        issues = find_label_issues(given, shares, n_jobs=1)
        yield f"cleanlab find_label_issues, {basis}", Found(None, spread(issues)), here


def measured(found: Found, wrong: np.ndarray) -> list[float]:
    """`MEASURES` of a way; NaN for what it does not give."""
    values = [float("nan")] * len(MEASURES)
    if found.score is not None and 0 < wrong.sum() < len(wrong):
        first = np.argsort(-found.score, kind="stable")[: int(wrong.sum())]
        values[:3] = [roc_auc_score(wrong, found.score), average_precision_score(wrong, found.score), wrong[first].mean()]
    if found.cut is not None:
        values[3] = f1_score(wrong, found.cut, zero_division=0.0)
    return values


def with_interval(parts: list[tuple[Found, np.ndarray, np.ndarray]], count: int) -> list[str]:
    """The measures of a way, means over the plantings, with 95 % intervals over recordings, by so many draws."""
    rng = np.random.default_rng(1)
    values = np.mean([measured(found, wrong) for found, wrong, _ in parts], axis=0)
    draws = []
    for _ in range(count):
        drawn = []
        for found, wrong, group in parts:
            names, of_clip = np.unique(group, return_inverse=True)
            count = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))[of_clip]
            rows = np.repeat(np.arange(len(wrong)), count)
            part = Found(*(None if column is None else column[rows] for column in (found.score, found.cut)))
            drawn.append(measured(part, wrong[rows]))
        draws.append(np.mean(drawn, axis=0))
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    cells = []
    for value, lower, upper in zip(values, low, high, strict=True):
        cells += ["–", "–"] if np.isnan(value) else [f"{value:.4f}", f"{lower:.4f}–{upper:.4f}"]
    return cells


def learned_scores(recipe: Recipe, store: Store, out: Path, folds: list[int] | None) -> tuple[Run, np.ndarray]:
    """A run of nets that learned from all labels as they are given, and their out-of-fold scores of all clips ``[N, K]``."""
    derived = derive_methods(recipe, len(store.labels))
    request = TrainRequest(derived.recipe, store, out, folds=folds, device="cpu")
    scores = learn(derived, ["given"], request)[0]["given"]
    return Run.open(out), scores


def judged_clips(run: Run, store: Store, folds: list[int] | None) -> tuple[Judged, np.ndarray]:
    """What an audit of a run says, and what its first judge thinks; only of clips in some folds, if those alone are to be judged."""
    judges = gather_judges(run, store)
    keep = np.ones(len(judges.clips), bool) if folds is None else np.isin(judges.clips.fold, folds)
    guesses = [part[keep] for part in judges.guesses]
    judged = judge(judges.clips[keep], guesses)
    return judged, judged.guesses if len(guesses) > 1 else guesses[0]


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--recipe", default="quick", help="whose net learns")
    parser.add_argument("--embedding", type=Path)
    parser.add_argument("--kin", type=Path, help="esc50.csv, for the super-categories")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rows", default="0,1,2,3")
    parser.add_argument("--folds", help="only these are trained and judged")
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = smoke_store(Path(scratch)) if given.smoke else Store.open(given.root)
        kin = kin_of(store.labels, given.kin)
        recipe = resolve_models(load_recipe(given.recipe, [*given.set, *(SMOKE if given.smoke else [])]), given.embedding)
        folds = [int(fold) for fold in given.folds.split(",")] if given.folds else None
        promises = []
        for row in [1] if given.smoke else map(int, given.rows.split(",")):
            protocol, away = ROWS[row]
            parts: dict[str, list[tuple[Found, np.ndarray, np.ndarray]]] = {}
            for seed in [1] if given.smoke else map(int, given.seeds.split(",")):
                planting = planted(store, Path(scratch) / f"store-{row}-{seed}", protocol, away, kin, seed)
                run, learned = learned_scores(recipe, planting.store, Path(scratch) / f"run-{row}-{seed}", folds)
                judged, guesses = judged_clips(run, planting.store, folds)
                table = load_table(planting.store)
                here = np.isin(table.clip_id, judged.clips.clip_id)
                wrong = planting.wrong[here]
                for name, found, chosen in ways(judged, guesses, learned[here]):
                    part = Found(*(None if column is None else column[chosen] for column in (found.score, found.cut)))
                    parts.setdefault(name, []).append((part, wrong[chosen], judged.clips.group[chosen]))
                promises += promised(protocol, away, seed, judged, wrong)
            title = protocol.title + (f"; {away} classes out of the vocabulary" if away else "")
            show(
                f"{title}; seeds {given.seeds}",
                ("", *(column for measure in MEASURES for column in (measure, "95 %"))),
                [(name, *with_interval(part, SMOKE_DRAWS if given.smoke else DRAWS)) for name, part in parts.items()],
            )
        said, of_all = ([row for row in promises if (row[2] in PROMISED) == few] for few in (True, False))
        title = f"Promises: {sum(row[-1] for row in said)} of {len(said)} inside for the first {', '.join(map(str, PROMISED))}"
        title += f", {sum(row[-1] for row in of_all)} of {len(of_all)} for all unverified labels"
        columns = ("planting", "seed", "first", "wrong", "promised", "interval", "inside")
        show(title, columns, [(*row[:-1], "yes" if row[-1] else "no") for row in promises])


def promised(protocol: Protocol, away: int, seed: int, judged: Judged, wrong: np.ndarray) -> list[tuple]:
    """The promises for the first clips of the list, beside the truth."""
    of_order = np.cumsum(wrong[judged.order])
    rows = []
    for promise in judged.draws.promises([*(first for first in PROMISED if first < len(judged.order)), len(judged.order)]):
        true = int(of_order[promise.first - 1])
        name = f"{protocol.text}{f' without {away} classes' if away else ''}"
        interval = f"{promise.low:.0f}–{promise.high:.0f}"
        rows.append((name, seed, promise.first, true, f"{promise.wrong:.1f}", interval, promise.low <= true <= promise.high))
    return rows


if __name__ == "__main__":
    main()
