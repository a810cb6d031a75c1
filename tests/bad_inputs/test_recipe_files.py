"""Recipes that say something twice, in a way that is not meant, without end, or that are no file at all."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from earmark.cli import run
from earmark.recipe.load import BUILT_IN
from tests.bad_inputs.arrange import all_of, link, text
from tests.bad_inputs.cases import Arrange, Capture, Case, Places, check_request, table

TRAIN_FILE = "train {here}/r.yaml --store {store} --out {here}/run --device cpu"
TINY = (BUILT_IN / "tiny.yaml").read_text(encoding="utf-8")
SECONDS = 5  # a case takes at most, on a busy machine


def recipe(name: str, content: str | bytes, said: str, *others: Arrange) -> Case:
    return Case(name, TRAIN_FILE, f"error: {{here}}/r.yaml: {said}", arrange=all_of(text("r.yaml", content), *others))


def tiny(name: str, old: str, new: str, said: str) -> Case:
    assert old in TINY
    return recipe(name, TINY.replace(old, new), said)


def of_settings(name: str, old: str, new: str, said: str) -> Case:
    return Case(name, TRAIN_FILE, f"error: r.yaml: {said}", arrange=text("r.yaml", TINY.replace(old, new)))


def odd_file(name: str, said: str, make: Callable[[Path], object]) -> Case:
    return Case(name, TRAIN_FILE, f"error: {said}", arrange=lambda places: make(places["here"] / "r.yaml"))


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)  # without blocks on the disk


def chain(places: Places) -> None:
    for number in range(2000):
        (places["here"] / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")


def ten_of(before: str, own: str) -> str:
    return f"{own}: &{own} [{', '.join([f'*{before}'] * 10)}]\n"


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(map(ten_of, "abcdefgh", "bcdefghi"))
MERGED = "m0: &m0 {k: v}\n" + "".join(f"m{i + 1}: &m{i + 1} {{<<: [*m{i}, *m{i}]}}\n" for i in range(40))
NESTED = "n0: &n0 [x]\n" + "".join(f"n{i + 1}: &n{i + 1} [*n{i}]\n" for i in range(2000))
LIKE = "the name of a member above it is needed"
DEEP = "mappings and lists lie within each other more than 30 deep"
MUCH = "a recipe has 50,000 values at most"

CIRCLES = (
    Case(
        "a circle across folders",
        "train {here}/a/x.yaml --store {store} --out {here}/run",
        "error: {here}/a/../b/y.yaml: extends itself, through {here}/a/../b/../a/x.yaml",
        arrange=all_of(text("a/x.yaml", "extends: ../b/y.yaml\n"), text("b/y.yaml", "extends: ../a/x.yaml\n")),
    ),
    Case(
        "a circle through a link",
        "train {here}/a/x.yaml --store {store} --out {here}/run",
        "error: {here}/a/x.yaml: extends itself",
        arrange=all_of(text("a/x.yaml", "extends: ../b/x.yaml\n"), link("b", "a")),
    ),
    recipe("itself, from here", "extends: ././r.yaml\n", "extends itself"),
    Case(
        "its own name, which a built-in recipe has too",
        "train {here}/tiny.yaml --store {store} --out {here}/run",
        "error: {here}/tiny.yaml: extends itself",
        arrange=text("tiny.yaml", "extends: tiny.yaml\n"),
    ),
    Case(
        "recipes without end",
        "train {here}/0.yaml --store {store} --out {here}/run",
        "error: {here}/20.yaml: more than 20 recipes extend each other",
        arrange=chain,
    ),
    recipe("extends a list", "extends: [tiny]\n", "extends: the name of a recipe, or its file, is needed"),
    recipe("extends nothing", "extends:\n", "extends: the name of a recipe, or its file, is needed"),
    Case(
        "extends a name with NUL",
        TRAIN_FILE,
        "error: no recipe 'a\\x00b': neither a YAML file nor one of {recipes}",
        arrange=text("r.yaml", 'extends: "a\\0b"\n'),
    ),
    recipe("members are nothing", "extends: tiny\nmembers:\n", "a recipe is a mapping with a mapping `members` in it"),
    *(
        tiny(f"like: {like}", "    input:", f"    like: {like}\n    input:", f"members.logmel.like: {LIKE}")
        for like in ("[x]", "7", "null", "{a: 1}")
    ),
    tiny("like itself", "    input:", "    like: logmel\n    input:", "members.logmel.like: no member 'logmel' above it"),
    recipe(
        "like each other",
        "members:\n  a: {like: b}\n  b: {like: a}\n",
        "members.a.like: no member 'b' above it",
    ),
    recipe(
        "300 members",
        TINY + "".join(f"  m{i}: {{like: logmel}}\n" for i in range(300)),
        "members: a recipe has 100 at most",
    ),
)

WITHOUT_END = (
    recipe("100,000 brackets", "a: " + "[" * 100_000, f"line 1: {DEEP}"),
    recipe("a deep mapping in lines", "".join(" " * i + "a:\n" for i in range(1000)), f"line <number>: {DEEP}"),
    recipe("a deep mapping in one line", "{a: " * 10_000, f"line 1: {DEEP}"),
    recipe("a billion laughs", LAUGHS + TINY, f"line <number>: {MUCH}"),
    recipe("a billion laughs by merging", MERGED + TINY, f"line <number>: {MUCH}"),
    recipe("deep by names of names", NESTED + TINY, f"line 29: {DEEP}"),
    recipe("a value within itself", "a: &a [*a]\n" + TINY, "line 1: *a stands within itself"),
    recipe("many values", f"a: [{'x,' * 400_000}]\n" + TINY, f"line 1: {MUCH}"),
    recipe("a long text", TINY + "source: " + "x" * 500_000, "line <number>: a text is longer than 10,000 characters"),
    recipe("a long key", TINY + "k" * 900 + ": 1", "line <number>: the key <key>… is longer than 100 characters"),
    of_settings(
        "many faults", "seed: 1", "".join(f"k{i}: 1\n" for i in range(2000)), "k0: no such setting; there are <words>and 1,980 more"
    ),
    of_settings(
        "a run could not read it again",
        "seed: 1",
        "ensembles: {" + ", ".join(f"e{i}: {{}}" for i in range(8000)) + "}",
        "with all defaults it has more than 50,000 values or 256 KiB",
    ),
)

NO_PLAIN_FILE = (
    odd_file("a pipe", "{here}/r.yaml: no regular file", os.mkfifo),
    odd_file("a device", "{here}/r.yaml: no regular file", lambda path: path.symlink_to("/dev/zero")),
    odd_file("a folder", "{here}/r.yaml: no regular file", Path.mkdir),
    odd_file("a link to itself", "no recipe <words>r.yaml<words>", lambda path: path.symlink_to(path)),
    odd_file("a gigabyte", "{here}/r.yaml: larger than 1,024 KiB", large),
    recipe("binary", bytes(range(256)), "not readable as YAML: it is not UTF-8"),
    recipe("UTF-16", TINY.encode("utf-16"), "not readable as YAML: it is not UTF-8"),
    recipe("empty", "", "a recipe is a mapping with a mapping `members` in it"),
)

NOT_MEANT = (
    recipe("a key twice", TINY + "seed: 2\n", "line <number>: the key 'seed' stands twice"),
    tiny("a key twice further in", "batches: 300", "batches: 300, batches: 2", "line <number>: the key 'batches' stands twice"),
    recipe("merged twice", "x: {<<: {a: 1}, <<: {b: 1}}\n" + TINY, "line 1: the key '<<' stands twice"),
    tiny("a number as a name", "  logmel:", "  16:", "line <number>: the key 16 is no text; put it in quotes"),
    recipe("null as a name", TINY + "~: 1\n", "line <number>: the key ~ is no text; put it in quotes"),
    recipe("a list as a name", TINY + "? [a]\n: 1\n", "line <number>: the key (a mapping or a list) is no text; put it in quotes"),
    recipe("two documents", TINY + "---\n" + TINY, "not readable as YAML: <words of yaml>"),
    recipe("tabs", TINY.replace("    ", "\t"), "not readable as YAML: <words of yaml>"),
    *(
        tiny(
            f"a tag: {tag}",
            "seed: 1",
            f"seed: {tag}",
            "line 7: tags such as tag:yaml.org,2002:<kind> are not used here; leave it out",
        )
        for tag in ("!!python/object/apply:os.getcwd []", "!!int x", "!!bool x", "!!timestamp x", "!!set x")
    ),
    tiny("a date", "seed: 1", "source: 2019-10-25", "line 7: 2019-10-25 is a date; put it in quotes if it is text"),
    tiny(
        "octal",
        "batches: 300",
        "batches: 0300",
        "line <number>: 0300 is a number that is not decimal; put it in quotes if it is text",
    ),
    tiny(
        "minutes",
        "batches: 300",
        "batches: 5:00",
        "line <number>: 5:00 is a number that is not decimal; put it in quotes if it is text",
    ),
    tiny("5,000 digits", "seed: 1", "seed: " + "9" * 5000, "line 7: a number has more than 25 digits"),
    tiny("half a character", "seed: 1", 'source: "\\ud800"', "line 7: a text has half a character (a lone surrogate)"),
    tiny("no character", "seed: 1", 'source: "\\U00110000"', "not readable as YAML: <words of Python>"),
    of_settings("yes", "batches: 300", "batches: yes", "members.logmel.schedule.0.batches: a number is needed, not true"),
    of_settings("no", "seed: 1", "source: no", "source: Input should be a valid string"),
)


@table(*CIRCLES, *WITHOUT_END, *NO_PLAIN_FILE, *NOT_MEANT)
def test_recipe_file_is_refused_soon_and_in_one_line(case: Case, places: Places, capsys: Capture) -> None:
    begun = time.process_time()
    check_request(case, places, capsys)
    assert time.process_time() - begun < SECONDS


def test_a_run_refuses_a_recipe_that_says_something_twice(places: Places, capsys: Capture) -> None:
    """Its own recipe.yaml is read in the same way."""
    folder = places["here"] / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(TINY + "seed: 2\n")
    assert run(["evaluate", str(folder)]) == 2
    assert "the key 'seed' stands twice" in capsys.readouterr().err
