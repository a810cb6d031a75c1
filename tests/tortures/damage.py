"""Damaged files of a store, a run or a bundle: refused in a line, mended, or without influence; never other scores and status 0.

What a command promises not to notice is not counted as a fault, but told: samples of a store whose bytes changed while their number did
not (noticing that would mean reading all of them at every start); values in text files that are as valid as the old ones, such as a
member's weight in ``recipe.yaml``, since a person may have meant them; a net whose scores were removed, which is not finished then; and
the best weights, which nothing reads here, since the recipe keeps the last.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.tortures.processes import run
from tests.tortures.scene import ANY_WORK, RATE, Result, Scene, differences, hashes, of_run

SECONDS = 60
NOT_PROMISED = "not noticed, and not promised"
Harm = Callable[[Path, random.Random], None]
TEXTS = (".json", ".yaml", ".csv", ".md", ".html")


def damage(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    what, commands = rng.choice(list(COMMANDS.items()))
    here = scene.fresh()
    shutil.copytree(scene.store, here / "store")
    shutil.copytree(scene.run, here / "out")
    info = here / "out/run.json"
    info.write_text(info.read_text().replace(str(scene.store), str(here / "store")))
    folder = here / {"store": "store", "run": "out", "bundle": "out/bundle"}[what]
    name = rng.choice(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix))
    harm = rng.choice(HARMS)
    harm(folder / name, rng)
    words, result, wanted = commands(scene, here)[rng.randrange(len(commands(scene, here)))]
    ended = run(words, SECONDS)
    faults = ended.faults([0, 2, 3])
    said = f"{what}/{name} {harm.__name__}, then {words[0]} {' '.join(w for w in words[1:] if str(w).startswith('--'))}"
    if ended.status in (0, 3) and not faults and (wrong := differences(result(here), wanted)):
        if not_promised(name, harm):
            return f"{said} ({NOT_PROMISED})", []
        faults.append(f"other results with status {ended.status}: {', '.join(wrong)}")
    return said, faults


def not_promised(name: str, harm: Harm) -> bool:
    """Whether nothing says that this is noticed; see above."""
    if name.endswith("best.safetensors"):
        return True
    if name.startswith("pcm-"):
        return harm in (flipped, random_bytes)
    if harm is flipped:
        return name.endswith(TEXTS)
    return harm is removed and name.startswith("members/") and name.endswith("oof.parquet")  # a net without scores is not finished


def weights_and_scores(here: Path) -> Result:
    """Of a run: what its figures and tags come from. A text of the bundle may quote what was damaged."""
    return {name: value for name, value in of_run(here).items() if name.endswith((".safetensors", ".parquet", "metrics.json"))}


def figures(here: Path) -> Result:
    return hashes(here / "out", [here / "out/oof.parquet", here / "out/metrics.json"])


def tags(here: Path) -> Result:
    return hashes(here, [here / "tags.csv"])


def no_result(_: Path) -> Result:
    return {}


Commands = list[tuple[list[str], Callable[[Path], Result], Result]]


def of_bundle(scene: Scene, here: Path) -> Commands:
    wanted = {"tags.csv": scene.undisturbed(ANY_WORK["tag --out"]).result["out"]}
    return [
        (scene.tag(here / "out/bundle", here / "tags.csv"), tags, wanted),
        (scene.tag(here / "out", here / "tags.csv"), tags, wanted),
        (["info", str(here / "out/bundle")], no_result, {}),
    ]


def of_run_folder(scene: Scene, here: Path) -> Commands:
    wanted = scene.undisturbed(ANY_WORK["train"]).result
    test = scene.undisturbed(ANY_WORK["evaluate --split test"]).result
    scores = {name: wanted[name] for name in ("oof.parquet", "metrics.json")}
    return [
        (["evaluate", str(here / "out")], figures, scores),
        (["evaluate", str(here / "out"), "--split", "test"], lambda h: hashes(h / "out", [h / "out" / n for n in test]), test),
        (
            scene.train(here / "store", here / "out"),
            weights_and_scores,
            {n: v for n, v in wanted.items() if n.endswith((".safetensors", ".parquet", "metrics.json"))},
        ),
        *of_bundle(scene, here),
    ]


def of_store_folder(scene: Scene, here: Path) -> Commands:
    both = scene.undisturbed(ANY_WORK["prepare, a rate more"]).result
    trained = scene.undisturbed(ANY_WORK["train"]).result
    store = scene.undisturbed(ANY_WORK["prepare"]).result
    return [
        (scene.prepare(here / "store"), lambda h: hashes(h / "store", (h / "store").glob("*")), store),
        (scene.prepare(here / "store", f"{RATE},8000"), lambda h: hashes(h / "store", (h / "store").glob("*")), both),
        *of_run_folder(scene, here)[:2],
        (
            scene.train(here / "store", here / "new"),
            lambda h: hashes(h / "new", (h / "new/members").rglob("*.safetensors")),
            {name: value for name, value in trained.items() if name.startswith("members/") and name.endswith(".safetensors")},
        ),
    ]


COMMANDS = {"store": of_store_folder, "run": of_run_folder, "bundle": of_bundle}


def flipped(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 16)) if content else 0):
        content[rng.randrange(len(content))] ^= rng.randint(1, 255)
    path.write_bytes(content)


def truncated(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


def emptied(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def lengthened(path: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.choice((1, 100, 10000))))


def removed(path: Path, _: random.Random) -> None:
    path.unlink()


def a_folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def a_link_to_itself(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def random_bytes(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(path.stat().st_size))


HARMS = (
    flipped,
    flipped,
    flipped,
    truncated,
    truncated,
    emptied,
    lengthened,
    removed,
    a_folder,
    a_pipe,
    endless,
    a_link_to_itself,
    random_bytes,
)
