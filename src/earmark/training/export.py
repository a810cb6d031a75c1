"""A run's finished nets → its bundle."""

import os
import shutil
from typing import Any

import earmark
from earmark import files
from earmark.assess.run import Run
from earmark.data.store import Store
from earmark.nets.tagnet import parameter_count
from earmark.tagging.bundle import CONFIG, BundleConfig, BundleData, BundleMember, write_card
from earmark.training.module import new_net


def write_bundle(run: Run, store: Store, metrics: dict[str, Any]) -> None:
    """Writes ``RUN/bundle/``: the weights that count, of every finished member and fold, and how they are combined."""
    partial, final = run.path / "bundle.partial", run.bundle
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    members = []
    for name, folds in run.finished().items():
        settings = run.recipe.members[name]
        net = new_net(settings, len(store.labels))
        for fold in folds:
            file = f"{name}-fold{fold}.safetensors"
            _link_or_copy(run.counted_weights(name, fold), partial / file)
            member = BundleMember(
                name=name,
                fold=fold,
                file=file,
                input=settings.input,
                frontend=settings.frontend,
                backbone=settings.backbone,
                head=settings.head,
                activation=net.activation,
                # A member's weight is shared by its folds, however many of them are finished.
                weight=run.recipe.ensemble.weights.get(name, 1.0) / len(folds),
                views=["whole"],
                parameters=parameter_count(net),
            )
            members.append(member)
    config = BundleConfig(
        earmark=earmark.__version__,
        recipe=run.recipe.name,
        fingerprint=run.recipe.fingerprint(),
        labels=list(store.labels.names),
        rule=run.recipe.ensemble.rule,
        members=members,
        data=BundleData(source=store.source, clips=store.clip_count, fingerprint=store.fingerprint),
        licence=store.licence,
    )
    files.write_text(partial / CONFIG, config.model_dump_json(indent=1) + "\n")
    lines = []
    if (found := metrics["map@3"]) is not None:
        interval = f"{found['low']:.3f}–{found['high']:.3f}"
        lines.append(f"out-of-fold MAP@3 on {found['clips']:,} verified clips: {found['value']:.3f} (95 % interval {interval})")
    write_card(partial, config, lines)
    aside = run.path / "bundle.old"
    shutil.rmtree(aside, ignore_errors=True)
    if final.exists():
        final.rename(aside)
    partial.rename(final)
    shutil.rmtree(aside, ignore_errors=True)


def _link_or_copy(old: os.PathLike[str], new: os.PathLike[str]) -> None:
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
