"""``earmark export``: a bundle whose nets are ONNX files alone, which needs no torch to run."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from earmark import audio, files
from earmark.data.store import Store
from earmark.data.synth import render_clips
from earmark.embedding.onnx_model import further_files
from earmark.embedding.opened import BUILT_IN
from earmark.errors import BundleError, EarmarkError
from earmark.progress import progress_bar
from earmark.runs.data import open_store
from earmark.runs.run import Run
from earmark.tagging.bundle import CONFIG, VERSION, BundleConfig, BundleMember, bundle_folder, read_bundle
from earmark.tagging.card import NAME, with_section, write_card
from earmark.tagging.card_files import HEADING, onnx_files
from earmark.tagging.weights import open_net
from earmark.training.int8 import Trial, write_int8
from earmark.training.onnx_file import Sounds, sounds_of_files, sounds_of_run, write_onnx


@dataclass(frozen=True)
class Exported:
    """What `export_bundle` wrote.

    Attributes:
        config: the new bundle.
        notes: what is to be known of nets that are not as they were asked for, a line each.
    """

    config: BundleConfig
    notes: tuple[str, ...]


def export_bundle(model: Path, out: Path, clips: Sequence[Path] | None = None, int8: bool = False) -> Exported:
    """Writes a bundle's nets as ONNX files, each once it has proved itself.

    Args:
        model: a bundle, or a run directory with one.
        out: the folder to write: a new one, or that of an earlier export, which it replaces.
        clips: sounds to prove the nets on, files and folders; by default clips of the run's store, or else rendered sounds.
        int8: write nets with 8-bit weights where these are faster and as good; see `int8`.

    Raises:
        BundleError: the bundle cannot be read, or a net's scores in ONNX Runtime are not those in PyTorch.
        EarmarkError: the output is no folder to write to, or there are no sounds to prove the nets on.
    """
    folder = bundle_folder(model)
    config = read_bundle(folder)
    if out.exists() and (out.is_file() or (any(out.iterdir()) and not (out / CONFIG).is_file())):
        raise EarmarkError(f"--out {out} is there already and is no bundle; name a new folder")
    if out.exists() and out.samefile(folder):
        raise EarmarkError(f"--out {out} is the bundle itself; name another folder")
    store = _store_of(model)
    trial = None
    if int8:
        if store is None:
            raise EarmarkError(
                f"--int8: what 8 bits change is measured on the clips that a run held out, and {model} is no run with its store"
            )
        trial = Trial(Run.open(model), store)
    sounds = _given(clips) if clips else sounds_of_run(Run.open(model), store) if store is not None else _rendered()
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    notes: list[str] = []
    try:
        members = []
        with progress_bar("export", len(config.members), unit="nets") as bar:
            for number, member in enumerate(config.members, start=1):
                members.append(_put_net(folder, partial, config, member, sounds, trial, notes))
                bar.update(number)
        new = config.model_copy(update={"version": VERSION, "members": members})
        files.write_text(partial / CONFIG, new.model_dump_json(indent=1) + "\n")
        _put_card(folder, partial, new)
        files.put_folder(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Exported(new, tuple(notes))


def _put_card(folder: Path, partial: Path, config: BundleConfig) -> None:
    """Writes the model card: the bundle's own, which has figures that are nowhere else, with a new section about the files."""
    try:
        text = files.read_small(folder / NAME)
    except (OSError, ValueError):
        write_card(partial, config, sections={HEADING: onnx_files(config)})
        return
    files.write_text(partial / NAME, with_section(text, HEADING, onnx_files(config)))


def _put_net(
    folder: Path, partial: Path, config: BundleConfig, member: BundleMember, sounds: Sounds, trial: Trial | None, notes: list[str]
) -> BundleMember:
    """Puts the ONNX file of a net into the new folder, and returns the net's new description."""
    _put_model(folder, partial, member)
    if member.file is None:
        if trial is not None:
            raise BundleError(f"{folder} has ONNX files only; --int8 begins with the weights of a run")
        shutil.copyfile(folder / str(member.onnx), partial / str(member.onnx))
        return member
    path = partial / Path(member.file).with_suffix(".onnx").name
    net = open_net(folder, member, len(config.labels))
    facts = {"recipe": config.recipe, "fingerprint": config.fingerprint, "licence": config.licence}
    proof = write_onnx(path, net, member.frontend, member.input, config.labels, sounds, facts, folder)
    if trial is not None:
        small = write_int8(path, member, proof, config.labels, trial)
        if isinstance(small, str):
            notes.append(f"{member.name}, fold {member.fold}: stays in float32: {small}")
        else:
            proof = small
    return member.model_copy(update={"file": None, "onnx": path.name, "proof": proof})


def _put_model(folder: Path, partial: Path, member: BundleMember) -> None:
    """Puts a copy of the pre-trained model that a net stands on into the new folder, if the bundle has it."""
    model = member.frontend.arguments.get("model", BUILT_IN)
    if member.frontend.name != "embedding" or model == BUILT_IN or Path(model).is_absolute():
        return
    old, new = folder / model, partial / model
    if not old.is_file():
        raise BundleError(f"{folder}: {model} is missing, the pre-trained model that its nets stand on")
    if not new.exists():
        for part in (old, *further_files(old)):
            copy = partial / part.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(part, copy)


def _store_of(model: Path) -> Store | None:
    """The store of a run; None if ``model`` is no run, or its store is not where it was."""
    if not (model / "run.json").is_file():
        return None
    try:
        return open_store(Run.open(model))
    except EarmarkError:
        return None


def _given(clips: Sequence[Path]) -> Sounds:
    paths: list[Path] = []
    for path in clips:
        paths += sorted(audio.find_files(path)) if path.is_dir() else [path]
    return sounds_of_files(paths)


def _rendered() -> Sounds:
    with TemporaryDirectory() as scratch:
        render_clips(Path(scratch), 1, 1.0, 1, seed=0)
        sounds = sounds_of_files(sorted(audio.find_files(Path(scratch))))
    return Sounds("rendered sounds", sounds.at)
