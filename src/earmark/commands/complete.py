"""What a shell offers where Tab is pressed: names of recipes and of sources. Nothing of earmark is loaded, so that it is quick."""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def complete_recipe(incomplete: str) -> list[str]:
    """The recipes whose names begin so: those that come with earmark, and YAML files."""
    built_in = [path.stem for path in (PACKAGE / "recipes").glob("*.yaml")]
    folder, slash, begun = incomplete.rpartition("/")
    try:
        beside = [path.name for path in Path(folder + slash).iterdir() if path.suffix in (".yaml", ".yml")]
    except OSError:  # no such folder
        beside = []
    names = [*built_in, *(f"{folder}{slash}{name}" for name in beside if name.startswith(begun))]
    return sorted(name for name in names if name.startswith(incomplete))


def complete_recipes(incomplete: str) -> list[str]:
    """The same for the last of several recipes with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in complete_recipe(last)]


def complete_source(incomplete: str) -> list[str]:
    """The kinds of data sets whose names begin so."""
    names = (path.stem for path in (PACKAGE / "data" / "sources").glob("*.py"))
    return sorted(name for name in names if name.startswith(incomplete) and name != "__init__")
