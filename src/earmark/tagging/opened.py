"""Opening the nets of a bundle: with ONNX Runtime, or with PyTorch where that is asked for or a GPU is."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from earmark.errors import BundleError, EarmarkError, RecipeError
from earmark.scoring.groups import check_padding, check_views, padding_of
from earmark.scoring.scorer import Scorer
from earmark.tagging.bundle import CONFIG, BundleConfig, BundleMember

Precision = Literal["float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]
Runtime = Literal["auto", "onnx", "torch"]
GPUS = ("/dev/nvidiactl", "/dev/kfd")  # there is no GPU that PyTorch knows without them; asking PyTorch takes seconds


def open_scorers(folder: Path, config: BundleConfig, precision: Precision, device: Device, runtime: Runtime) -> tuple[Scorer, ...]:
    """The nets of a bundle, ready to score.

    Args:
        folder: the bundle's folder.
        config: its configuration.
        precision: what the nets compute in.
        device: where to score.
        runtime: what runs the nets; see `chosen_runtime`.

    Raises:
        BundleError: a net cannot be opened.
        EarmarkError: what is asked for is not here.
    """
    classes = len(config.labels)
    if chosen_runtime(folder, config, precision, device, runtime) == "onnx":
        from earmark.scoring.onnx_scorer import open_onnx_scorer

        scorers = tuple(
            open_onnx_scorer(folder / str(net.onnx), net.frontend, net.input, classes, net.activation, folder)
            for net in config.members
        )
        for net, scorer in zip(config.members, scorers, strict=True):
            _check_views(folder, net, scorer)
        return scorers
    return tuple(_torch_scorer(folder, net, classes, precision, device) for net in config.members)


def chosen_runtime(
    folder: Path, config: BundleConfig, precision: Precision, device: Device, runtime: Runtime
) -> Literal["onnx", "torch"]:
    """What runs the nets of a bundle.

    ``auto`` is ONNX Runtime, which is faster on CPUs and opens in a tenth of the time; but PyTorch where there is a GPU, where bfloat16 is
    asked for, and where the bundle has no ONNX files.

    Raises:
        EarmarkError: what is asked for is not in the bundle, or not installed.
    """
    has_onnx = all(net.onnx for net in config.members)
    has_weights = all(net.file for net in config.members)
    has_torch = find_spec("torch") is not None
    needs_torch = next(
        (
            option
            for option, asked in (("--precision bfloat16", precision != "float32"), ("--device cuda", device == "cuda"))
            if asked
        ),
        None,
    )
    if runtime == "onnx" and needs_torch:
        raise EarmarkError(f"{needs_torch} needs --runtime torch: ONNX Runtime computes in float32 on the CPU here")
    if runtime == "onnx" and not has_onnx:
        raise BundleError(f"{folder} has no ONNX files; `earmark export {folder} --out DIR` makes a bundle that has")
    on_gpu = device == "auto" and has_torch and has_weights and any(Path(file).exists() for file in GPUS)
    if runtime == "onnx" or (runtime == "auto" and has_onnx and not needs_torch and not on_gpu):
        return "onnx"
    why = needs_torch or ("--runtime torch" if runtime == "torch" else "a bundle without ONNX files")
    if not has_weights:
        raise BundleError(f"{why} needs the nets' weights, and {folder} has ONNX files only; leave it out")
    if not has_torch:
        raise EarmarkError(f"{why} needs torch, which is not installed; pip install 'earmark[train]' brings it")
    return "torch"


def _check_views(folder: Path, member: BundleMember, scorer: Scorer) -> None:
    """Checks that a net knows its views, and that they do not make a sound far longer than any that is scored.

    Raises:
        BundleError: they are not such.
    """
    try:
        check_views(member.views, scorer.takes_vectors)
        padding = max(map(padding_of, member.views))
        check_padding(padding, scorer.hop_length, member.input.sample_rate)
    except RecipeError as error:
        raise BundleError(f"{folder / CONFIG}: {member.name}: {error}") from None


def _torch_scorer(folder: Path, member: BundleMember, classes: int, precision: Precision, device: Device) -> Scorer:
    # Imported here: no other part of tagging needs torch.
    from earmark.machine import choose_device
    from earmark.scoring.opened import scorer_of
    from earmark.tagging.weights import open_net

    net = open_net(folder, member, classes).to(choose_device(device))
    return scorer_of(net, member.frontend, member.input, classes, precision, folder)
