"""earmark: train sound taggers on labels you cannot fully trust."""

TYPE_CHECKING = False  # not typing's: nothing is imported here, so that the command line can listen to Ctrl-C first
if TYPE_CHECKING:
    from pathlib import Path

    from earmark.tagging.tagger import Tagger

__version__ = "0.1.0"


def load(model: "Path | str") -> "Tagger":
    """Loads a trained model.

    Args:
        model: folder of a bundle, the run directory that contains it, or, as text, a model of the Hugging Face Hub: ``USER/MODEL`` or
            ``USER/MODEL@REVISION``, which needs ``pip install 'earmark[hub]'``.

    Raises:
        BundleError: the model cannot be loaded.
    """
    from earmark.machine import share_the_cores
    from earmark.tagging.tagger import Tagger

    share_the_cores()
    return Tagger.load(model)
