"""A run's finished nets → its bundle."""

import os
import shutil
from pathlib import Path
from typing import Any

import earmark
from earmark import files
from earmark.assess.run import Run
from earmark.data.store import Store
from earmark.nets.member import load_tensors, new_net, save_tensors
from earmark.nets.tagnet import TagNet, parameter_count, serving_head
from earmark.tagging.bundle import CONFIG, BundleConfig, BundleData, BundleMember, write_card


def write_bundle(run: Run, store: Store, metrics: dict[str, Any]) -> None:
    """Writes ``RUN/bundle/``: the run's own ensemble, with the weights of its members' finished folds."""
    partial, final = run.path / "bundle.partial", run.bundle
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    members = []
    ensemble, voices = next(iter(run.ensembles().items()))
    folds = run.common_folds(voices)
    for name, voice in voices.items():
        settings, counted = run.recipe.members[name], run.recipe.counted(name, voice)
        serving = settings.model_copy(update={"head": serving_head(settings.head)})
        net = new_net(serving, len(store.labels))
        for fold in folds:
            for snapshot in counted:
                file = f"{name}-fold{fold}" + (f"-{snapshot}" if len(settings.counted) > 1 else "") + ".safetensors"
                _put_weights(run.weights(name, fold, snapshot), partial / file, net, whole=serving.head == settings.head)
                member = BundleMember(
                    name=name,
                    fold=fold,
                    snapshot=snapshot,
                    file=file,
                    input=settings.input,
                    frontend=settings.frontend,
                    backbone=settings.backbone,
                    head=serving.head,
                    activation=net.activation,
                    # A member's weight is shared by its nets, however many of them are finished.
                    weight=voice.weight / (len(folds) * len(counted)),
                    views=list(voice.views or settings.views),
                    parameters=parameter_count(net),
                )
                members.append(member)
    config = BundleConfig(
        earmark=earmark.__version__,
        recipe=run.recipe.name,
        fingerprint=run.recipe.fingerprint(),
        labels=list(store.labels.names),
        rule=run.recipe.ensembles[ensemble].rule,
        members=members,
        data=BundleData(source=store.source, clips=store.clip_count, fingerprint=store.fingerprint),
        licence=store.licence,
    )
    files.write_text(partial / CONFIG, config.model_dump_json(indent=1) + "\n")
    lines = []
    for key, title in (("map@3", "MAP@3"), ("lwlrap", "lwlrap")):
        if (found := metrics[key]) is not None:
            interval = f"{found['low']:.3f}–{found['high']:.3f}"
            leak = "; validation labels leaked into the training through pseudo labels" if metrics["leaks"] else ""
            lines.append(
                f"out-of-fold {title} on {found['clips']:,} verified clips: {found['value']:.3f} (95 % interval {interval}){leak}"
            )
    write_card(partial, config, lines)
    aside = run.path / "bundle.old"
    shutil.rmtree(aside, ignore_errors=True)
    if final.exists():
        final.rename(aside)
    partial.rename(final)
    shutil.rmtree(aside, ignore_errors=True)


def _put_weights(old: Path, new: Path, net: TagNet, whole: bool) -> None:
    """The weights that tagging needs: a second task's head stays behind. Linked where all of them are needed."""
    if not whole:
        weights = load_tensors(old)[0]
        save_tensors(new, {name: weights[name] for name in net.state_dict()})
        return
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
