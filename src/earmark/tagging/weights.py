"""Opening a net of a bundle. Needs torch, so it is imported only when a net is opened."""

from functools import lru_cache
from pathlib import Path

import safetensors
import torch

from earmark.errors import BundleError, RecipeError, RunError
from earmark.machine import memory
from earmark.nets.member import load_tensors
from earmark.nets.memory import in_words, scoring_bytes
from earmark.nets.tagnet import TagNet, build_net
from earmark.recipe import Part
from earmark.scoring.groups import check_padding, check_views, padding_of
from earmark.tagging.bundle import CONFIG, BundleMember

MOST_HEADER = 2**22  # bytes of a weights file's header; a net of 1,000 layers has less than a tenth of it
Shapes = dict[str, list[int]]


def open_net(folder: Path, member: BundleMember, classes: int) -> TagNet:
    """A net of a bundle, with its weights, in evaluation mode.

    Nothing large is made before it is known that the file holds as much: the net is first planned, without values, and compared.

    Args:
        folder: folder of the bundle.
        member: description of the net in the bundle.
        classes: number of classes K.

    Raises:
        BundleError: the net cannot be, or needs more memory than there is; or the weights are missing, damaged, not finite, or
            those of another net.
    """
    path = folder / str(member.file)
    parts = (member.frontend, member.backbone, member.head)
    try:
        shapes, needs = _plan(
            *(part.model_dump_json() for part in parts), member.input.sample_rate, classes, member.input.window, tuple(member.views)
        )
    except RecipeError as error:
        raise BundleError(f"{folder / CONFIG}: {member.name}: {error}") from None
    if needs > (has := memory()):
        raise BundleError(
            f"{folder / CONFIG}: {member.name}: a sound of {member.input.window:,} samples needs at least {in_words(needs)} of "
            f"memory, and this machine has {in_words(has)}"
        )
    _compare(path, shapes)
    net = build_net(*parts, member.input.sample_rate, classes)
    try:
        weights = load_tensors(path)[0]
        if not all(tensor.isfinite().all() for tensor in weights.values()):
            raise BundleError(f"{path}: its weights hold NaN or infinite numbers")
        net.load_state_dict(weights)
    except (RunError, RuntimeError) as error:
        raise BundleError(f"{path}: not this net's weights: {str(error).splitlines()[0]}") from None
    return net.eval()


@lru_cache(maxsize=16)  # the nets of a member's folds are alike
def _plan(
    frontend: str, backbone: str, head: str, sample_rate: int, classes: int, window: int, views: tuple[str, ...]
) -> tuple[Shapes, int]:
    """The shapes of a net's tensors, and the bytes that scoring a sound takes at least; the parts of the net are JSON.

    Raises:
        RecipeError: the net cannot be built, or does not know the views.
    """
    with torch.device("meta"):
        parts = [Part.model_validate_json(part) for part in (frontend, backbone, head)]
        net = build_net(parts[0], parts[1], parts[2], sample_rate, classes)
    check_views(views, net.frontend.takes_vectors)
    padding = max(map(padding_of, views))
    check_padding(padding, net.frontend.hop_length, sample_rate)
    return {name: list(tensor.shape) for name, tensor in net.state_dict().items()}, scoring_bytes(net, window, padding)


def _compare(path: Path, shapes: Shapes) -> None:
    """Checks a file's header against the tensors that a net has; the tensors are not read.

    Raises:
        BundleError: they differ, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > MOST_HEADER:
                raise BundleError(f"{path}: not this net's weights: its header is longer than {MOST_HEADER:,} bytes")
        with safetensors.safe_open(path, framework="pt") as tensors:
            names = set(tensors.keys())
            if odd := sorted(names ^ set(shapes)):
                what = "the net has none" if odd[0] in names else "it has none"
                raise BundleError(f"{path}: not this net's weights: {odd[0][:100]!r}: {what}")
            for name, shape in shapes.items():
                if (has := tensors.get_slice(name).get_shape()) != shape:
                    raise BundleError(f"{path}: not this net's weights: {name} is {has}, not {shape}")
    except (safetensors.SafetensorError, OSError) as error:
        raise BundleError(f"{path}: not this net's weights: {str(error).splitlines()[0]}") from None
