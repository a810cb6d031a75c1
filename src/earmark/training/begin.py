"""The run directory that a training writes into: a new one, or one that it goes on with."""

from pathlib import Path
from typing import Any

from earmark import files
from earmark.errors import RunError
from earmark.recipe import Recipe
from earmark.runs.run import Run, refuse_special_in

#: What may lie in a folder that becomes a run directory: what `open_run`, `run_demo` and `measure_noise` leave when they are stopped, and what a
#: file system puts into every folder that it is mounted on.
BEGUN = {"recipe.yaml", ".recipe.yaml.partial", ".run.json.partial", ".request.json.partial", ".lock", "demo", "lost+found"}
SHOWN = 3  # names in an error message, at most


def check_out(path: Path, what: str = "run directory") -> None:
    """Checks that a path can become a run directory, or is one. Nothing is written.

    Args:
        path: the path.
        what: what it is to become, in the message.

    Raises:
        RunError: it is a file, a folder of something else, or lies in a store or a bundle, which are replaced as a whole.
    """
    if path.is_symlink() and not path.exists():
        raise RunError(f"{path} is a link to {path.readlink()}, which is not there; choose another --out")
    folder = path.resolve()
    for above in (folder, *folder.parents):
        if whole := _replaced_as_a_whole(above):
            raise RunError(f"{path} {'is' if above == folder else 'lies in'} {whole}; choose another --out")
    if not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"{path} is no folder; --out is a folder, a new one or that of a run")
    names = {child.name for child in path.iterdir()}
    if (path / "recipe.yaml").is_file() and names & {"run.json", "members", "pseudo"}:
        refuse_special_in(path)
        return
    if taken := sorted(names - BEGUN):
        more = f" and {len(taken) - SHOWN} more" if len(taken) > SHOWN else ""
        raise RunError(f"{path} is no {what} and has {', '.join(taken[:SHOWN])}{more} already; choose another --out")
    refuse_special_in(path)


def _replaced_as_a_whole(folder: Path) -> str | None:
    if (folder / "store.json").is_file():
        return "a store"
    if (config := folder / "config.json").is_file():
        with config.open("rb") as file:
            return "a bundle" if b'"earmark-bundle"' in file.read(200) else None
    return None


def open_run(path: Path, recipe: Recipe) -> Run:
    """Opens a run directory, or makes a folder one by writing ``recipe.yaml``. The caller has its lock.

    Raises:
        RunError: `check_out` refuses the folder, or it holds a run of another recipe.
        RecipeError: its ``recipe.yaml`` is damaged.
    """
    check_out(path)
    if not (path / "recipe.yaml").is_file():
        files.write_text(path / "recipe.yaml", recipe.to_yaml())
        return Run(path, recipe)
    run = Run.open(path)
    if run.recipe.fingerprint() != recipe.fingerprint():
        names = _differences(run.recipe.training_settings(), recipe.training_settings())
        if all(name.endswith(".frontend.sha256") for name in names):
            raise RunError(
                f"{path} learned from another model: the file of the embedding has changed since; put that one back, or choose another --out"
            )
        changed = ", ".join(names)
        raise RunError(f"{path} holds a run of another recipe (changed: {changed}); choose another --out, or the same settings")
    if run.recipe != recipe:  # the ensembles differ, which training does not depend on
        files.write_text(path / "recipe.yaml", recipe.to_yaml())
    return Run(path, recipe)


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """The dotted names of the settings in which two recipes differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(dict.fromkeys([*old, *new]))
        return [
            different
            for key in keys
            for different in _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [name] if old != new else []
