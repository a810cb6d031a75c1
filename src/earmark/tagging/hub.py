"""Where a model lies: a bundle's folder on this machine, or a model of the Hugging Face Hub, which is fetched into the Hub's cache.

Fetched are ``config.json`` and the files that it names as its nets' and as the pre-trained models that these stand on. Their endings are
checked before. Nothing else of the repository comes to this machine: no pickle, and no code.
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from earmark.errors import BundleError
from earmark.progress import progress_bar
from earmark.tagging.bundle import CONFIG, bundle_folder, read_config

HUB = "the Hugging Face Hub"
NEEDED = f"needed is a bundle's folder, a run directory with one, or USER/MODEL or USER/MODEL@REVISION of {HUB}"
LOG_IN = "`hf auth login` or HF_TOKEN says who you are"
NO_FILE = HUB + "'s model {model} has no {file}, as an earmark bundle has; `earmark train` writes one, RUN/bundle"
LONGEST = 96  # characters of USER/MODEL
WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
NAME = re.compile(rf"(hf://|https://huggingface\.co/)?({WORD}/{WORD})(?:(?:@|/tree/)({WORD}(?:/{WORD})*))?")


class HubName(NamedTuple):
    """The name of a model of the Hub.

    Attributes:
        repository: ``USER/MODEL``.
        revision: a branch, a tag or a commit; None for the main branch.
        sure: whether it cannot be a folder's, since ``hf://`` or the Hub's address stands before it.
    """

    repository: str
    revision: str | None
    sure: bool


def hub_name(text: str) -> HubName | None:
    """The name of a model of the Hub that a text is; None if it is none.

    >>> hub_name("user/model@v1.0")
    HubName(repository='user/model', revision='v1.0', sure=False)
    >>> hub_name("https://huggingface.co/user/model/tree/main")
    HubName(repository='user/model', revision='main', sure=True)
    >>> hub_name("runs/2018/bundle"), hub_name("../model"), hub_name("model")
    (None, None, None)
    """
    match = NAME.fullmatch(text)
    if match is None or len(match[2]) > LONGEST or "--" in match[2] or ".." in text or match[2].endswith(".git"):
        return None
    return HubName(match[2], match[3], match[1] is not None)


def model_folder(model: str | Path) -> Path:
    """The folder of a model's bundle. A folder that exists comes before a model of the Hub that has the same name.

    A model of the Hub is fetched, unless the Hub's cache has it as it is now. Where the Hub cannot be reached, or ``HF_HUB_OFFLINE``
    is set, the version in the cache is taken.

    Args:
        model: a bundle's folder; a run directory with one; or, if it is no `Path`, the name of a model of the Hub: ``USER/MODEL`` or
            ``USER/MODEL@REVISION``, maybe with ``hf://`` or ``https://huggingface.co/`` before it.

    Raises:
        BundleError: there is no such folder, and no such model of the Hub; it cannot be fetched; or it is no bundle.
    """
    path = Path(model)
    try:
        if path.exists():
            return bundle_folder(path)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None
    name = hub_name(model) if isinstance(model, str) else None
    if name is None:
        raise BundleError(f"{model}: no such folder; {NEEDED}")
    above = path.parts[0]
    if not name.sure and Path(above).is_dir():  # a slip of the pen, whose name is nobody else's business
        raise BundleError(f"{model}: no such folder, though there is {above}; hf://{model} would be a model of {HUB}")
    try:
        folder = _folder_with_config(name)
    except BundleError as error:
        raise error if name.sure else BundleError(f"{model}: no such folder; {error}") from None
    commit = name._replace(revision=folder.name)  # the nets must be those that the configuration is about
    config = read_config(folder)
    files = [*config.file_names, *config.model_names]
    # On a terminal the library's own bars are shown, which count bytes.
    with progress_bar(f"fetch {name.repository}", len(files), hidden=sys.stderr.isatty(), unit="files") as bar:
        for done, file in enumerate(files, 1):
            _fetch(commit, file)
            bar.update(done)
    return folder


def _folder_with_config(name: HubName) -> Path:
    """The folder of the Hub's cache that a commit of a model lies in, with ``config.json``, and maybe with more."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import tqdm
    except ModuleNotFoundError:
        raise BundleError(
            f"a model of {HUB} needs huggingface_hub, which is not installed; pip install 'earmark[hub]' brings it"
        ) from None

    class NoBar(tqdm):  # type: ignore[misc]  # there is nothing to see: the file is small
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **{**settings, "disable": True})

    with _faults_of(name, CONFIG):
        folder = Path(snapshot_download(name.repository, revision=name.revision, allow_patterns=[CONFIG], tqdm_class=NoBar))
    if not (folder / CONFIG).is_file():
        raise BundleError(NO_FILE.format(model=name.repository, file=CONFIG))
    return folder


def _fetch(commit: HubName, file: str) -> None:
    """Brings a file of a model into the Hub's cache, if it is not there yet.

    In this thread: the library's function for whole models has threads, which would go on for a while after Ctrl-C.
    """
    from huggingface_hub import hf_hub_download

    with _faults_of(commit, file):
        hf_hub_download(commit.repository, file, revision=commit.revision)


@contextmanager
def _faults_of(name: HubName, file: str) -> Iterator[None]:
    """Turns the library's errors about a model into BundleErrors, and drops its notes about further attempts and the like."""
    from huggingface_hub import constants, errors

    model = f"{HUB}'s model {name.repository}"
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except errors.LocalEntryNotFoundError as error:
        cache = f"its cache {constants.HF_HUB_CACHE} has no {file} of {name.repository}"
        reason = f"{HUB} cannot be reached ({_first_line(error.__cause__ or error)}), and {cache}"
        raise BundleError(reason + (f"@{name.revision}" if name.revision else "")) from None
    except errors.GatedRepoError:
        page = f"https://huggingface.co/{name.repository}"
        raise BundleError(f"{model} is given to those who asked for it at {page}; {LOG_IN}") from None
    except errors.RepositoryNotFoundError:
        raise BundleError(f"{HUB} has no model {name.repository}, or keeps it from you; {LOG_IN}") from None
    except errors.RevisionNotFoundError:
        raise BundleError(f"{model} has no revision {name.revision}; needed is a branch, a tag or a commit") from None
    except errors.EntryNotFoundError:
        raise BundleError(NO_FILE.format(model=name.repository, file=file)) from None
    except Exception as error:  # those of the HTTP library, which is another one in other versions; a full disk
        raise BundleError(f"{model}: {_first_line(error)}") from None
    finally:
        logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
