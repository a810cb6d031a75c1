"""The finished nets of a run → the run's bundle."""

import filecmp
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import earmark
from earmark import files
from earmark.assess.card_figures import card_figures
from earmark.assess.joined import Joined
from earmark.assess.metrics import RunMetrics
from earmark.assess.thresholds import trust_of
from earmark.data.store import Store
from earmark.embedding.onnx_model import further_files
from earmark.embedding.opened import BUILT_IN, NO_COPY, open_embedder
from earmark.errors import BundleError, EarmarkWarning, RunError
from earmark.labels import LabelSet
from earmark.nets.member import check_weights, load_net, load_tensors, planned_net, save_tensors
from earmark.nets.tagnet import TagNet, parameter_count, serving_head
from earmark.recipe import MemberSettings, Part
from earmark.runs.data import load_unchanged_table
from earmark.runs.run import Run
from earmark.runs.votes import Vote
from earmark.tagging.bundle import CONFIG, BundleConfig, BundleData, BundleMember, Proof, read_bundle
from earmark.tagging.card import write_card
from earmark.tagging.card_files import HEADING, onnx_files
from earmark.tagging.thresholds import exclusive
from earmark.training.onnx_file import Sounds, sounds_of_run, write_onnx


def write_bundle(run: Run, store: Store, metrics: RunMetrics, scores: Joined) -> None:
    """Writes ``RUN/bundle/``: the nets that vote in the run's own ensemble.

    Args:
        run: the run.
        store: the store that the nets were trained on.
        metrics: the run's metrics, for the model card.
        scores: the out-of-fold scores of the run's own ensemble, which say how far its scores are to be trusted.

    Raises:
        RunError: weights are missing or damaged; the bundle that was there stays.
    """
    partial, final = run.path / ".bundle.partial", run.bundle
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    ensemble, votes = next(iter(run.votes().items()))
    sounds = sounds_of_run(run, store)
    nets: dict[tuple[str, int, str], list[Vote]] = {}
    for vote in votes:
        nets.setdefault((vote.member, vote.fold, vote.weights), []).append(vote)
    members = [_put_member(run, partial, store.labels, net_votes, sounds) for net_votes in nets.values()]
    config = BundleConfig(
        earmark=earmark.__version__,
        recipe=run.recipe.name,
        fingerprint=run.recipe.fingerprint(),
        labels=list(store.labels.names),
        rule=run.recipe.ensembles[ensemble].rule,
        members=members,
        data=BundleData(
            source=store.source,
            clips=store.clip_count,
            verified=int(load_unchanged_table(store).verified.sum()),
            fingerprint=store.fingerprint,
        ),
        licence=store.licence,
    )
    trust = trust_of(scores, exclusive(config))
    config = config.model_copy(update={"calibration": trust.calibration, "thresholds": trust.thresholds})
    files.write_text(partial / CONFIG, config.model_dump_json(indent=1) + "\n")
    write_card(partial, config, card_figures(metrics, trust), {HEADING: onnx_files(config)})
    files.put_folder(partial, final)


def _put_member(run: Run, folder: Path, labels: LabelSet, votes: Sequence[Vote], sounds: Sounds) -> BundleMember:
    """Puts a net's weights and its ONNX file into the bundle's folder, and returns the net's description.

    Args:
        run: the run that the net belongs to.
        folder: folder of the bundle.
        labels: the classes.
        votes: the votes of the net in the ensemble, one for each view.
        sounds: sounds to prove the ONNX file on.
    """
    name, fold, weights = votes[0].member, votes[0].fold, votes[0].weights
    settings = run.recipe.members[name]
    tagging_settings = settings.model_copy(update={"head": serving_head(settings.head)})
    net = planned_net(tagging_settings, len(labels))
    # Other weights than the only ones that the member keeps are named: an ensemble may ask for several files of a net.
    file = f"{name}-fold{fold}" + (f"-{weights}" if [weights] != settings.kept_weights else "") + ".safetensors"
    _put_weights(run.weights(name, fold, weights), folder / file, net, complete=tagging_settings.head == settings.head)
    frontend = _put_model(settings, folder)
    onnx = _put_onnx(run, folder / file, tagging_settings, labels, sounds)
    return BundleMember(
        name=name,
        fold=fold,
        snapshot=weights,
        file=file,
        onnx=onnx[0].name if onnx else None,
        proof=onnx[1] if onnx else None,
        input=settings.input,
        frontend=frontend,
        backbone=settings.backbone,
        head=tagging_settings.head,
        activation=net.activation,
        weight=sum(vote.share for vote in votes),
        views=[vote.view for vote in votes],
        parameters=parameter_count(net),
    )


def _put_onnx(run: Run, weights: Path, settings: MemberSettings, labels: LabelSet, sounds: Sounds) -> tuple[Path, Proof] | None:
    """Writes a net's ONNX file beside its weights; None, with a warning, if it cannot be, or is not the same net."""
    path = weights.with_suffix(".onnx")
    if (proof := _same_as_before(run, weights)) is not None:
        files.link_or_copy(run.bundle / path.name, path)
        return path, proof
    net = load_net(settings, len(labels), weights)
    facts = {"recipe": run.recipe.name, "fingerprint": run.recipe.fingerprint()}
    try:
        return path, write_onnx(path, net, settings.frontend, settings.input, labels.names, sounds, facts)
    except BundleError as error:
        warnings.warn(f"{error}; the bundle can be run with torch only", EarmarkWarning, stacklevel=2)
        return None


def _same_as_before(run: Run, weights: Path) -> Proof | None:
    """What was measured of the ONNX file in the run's present bundle, if it was made of the same weights by this earmark."""
    try:
        config = read_bundle(run.bundle)
    except BundleError:
        return None
    old = next((net for net in config.members if net.file == weights.name), None)
    same = old is not None and (config.earmark, config.fingerprint) == (earmark.__version__, run.recipe.fingerprint())
    if not same or old is None or old.onnx is None or not filecmp.cmp(run.bundle / weights.name, weights, shallow=False):
        return None
    return old.proof


def _put_model(settings: MemberSettings, folder: Path) -> Part:
    """Puts a copy of the pre-trained model that a member stands on into the bundle's folder, if its licence allows.

    A model whose file says ``licence: no-copy`` stays where it is: the bundle has its path and its hash.

    Returns:
        The front end's settings for the bundle: of a copied model the file's name.

    Raises:
        EmbeddingError: the model is not there, or is another one.
    """
    frontend = settings.frontend
    arguments = frontend.arguments
    if frontend.name != "embedding" or arguments.get("model", BUILT_IN) == BUILT_IN:
        return frontend
    model = Path(arguments["model"])
    if open_embedder(arguments, settings.input.sample_rate).licence == NO_COPY:
        return frontend
    name, further = f"{arguments['sha256'][:12]}.onnx", further_files(model)
    if further:  # in a folder of their own, where they keep the names by which the model knows them
        name = f"{arguments['sha256'][:12]}/model.onnx"
    if not (folder / name).exists():
        for part in further:
            copy = (folder / name).parent / part.relative_to(model.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(part, copy)
        shutil.copyfile(model, folder / name)
    return Part.model_validate({"name": frontend.name, **arguments, "model": name})


def _put_weights(old: Path, new: Path, net: TagNet, complete: bool) -> None:
    """Writes the weights that tagging needs: all (as a link to the old file), or all but those of the noisy task's head.

    Raises:
        RunError: they are missing or damaged, or not the net's.
    """
    weights = load_tensors(old)[0]
    if not complete:
        weights = {name: weights[name] for name in net.state_dict() if name in weights}
    try:
        check_weights(net, weights)
    except ValueError as error:
        raise RunError(f"{old} has not this net's weights ({error}); remove {old.parent} to train this piece again") from None
    if complete:
        files.link_or_copy(old, new)
    else:
        save_tensors(new, weights)
