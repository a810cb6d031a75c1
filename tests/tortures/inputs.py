"""Sounds and the manifest change while a store is made of them."""

import random
import shutil
from pathlib import Path

from tests.tortures.processes import Running, run
from tests.tortures.scene import ANY_WORK, Scene, differences, left_behind, of_store, wait


def inputs(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """The next run must make the same store as one that begins with nothing."""
    here = scene.fresh()
    shutil.copytree(scene.data, here / "data")
    words = ["prepare", "manifest", str(here / "data/manifest.csv"), "--sample-rate", "16000", "--out"]
    wanted = scene.undisturbed(ANY_WORK["prepare"])
    if rng.random() < 0.3:  # a store is there already
        run([*words, here / "out"])
    moment = wanted.moment(rng)
    running = Running([*words, here / "out"])
    done = []
    for _ in range(rng.choice((1, 3, 20))):
        running.is_over(moment - running.seconds)
        change = rng.choice(CHANGES)
        sounds = sorted((here / "data/audio").iterdir())
        change(here / "data", rng.choice(sounds), rng.choice(sounds))
        done.append(change.__name__)
        wait(rng.random() * 0.02)
    faults = running.end().faults([0, 2, 3])
    again = run([*words, here / "out"])
    faults += [f"again: {fault}" for fault in again.faults([0, 2, 3])]
    (here / "anew").mkdir()
    anew = run([*words, here / "anew/out"])
    if anew.status != again.status:
        faults.append(f"status {again.status} again, but {anew.status} anew: {again.err} | {anew.err}")
    elif anew.status in (0, 3) and (wrong := differences(of_store(here), of_store(here / "anew"))):
        faults.append(f"another store than one made anew: {', '.join(wrong)}")
    faults += [f"left behind: {name}" for name in left_behind(here)] if again.status in (0, 3) else []
    return f"{', '.join(sorted(set(done)))} from {moment:.2f} s", faults


def removed(_: Path, sound: Path, __: Path) -> None:
    sound.unlink(missing_ok=True)


def replaced(_: Path, sound: Path, other: Path) -> None:
    part = sound.with_name("new")
    part.write_bytes(other.read_bytes())
    part.replace(sound)


def overwritten(_: Path, sound: Path, other: Path) -> None:
    sound.write_bytes(other.read_bytes())


def appended(_: Path, sound: Path, __: Path) -> None:
    with sound.open("ab") as file:
        file.write(b"\0" * 1000)


def cut(_: Path, sound: Path, __: Path) -> None:
    with sound.open("r+b") as file:
        file.truncate(len(sound.read_bytes()) // 2)


def emptied(_: Path, sound: Path, __: Path) -> None:
    sound.write_bytes(b"")


def manifest_changed(data: Path, _: Path, __: Path) -> None:
    table = data / "manifest.csv"
    table.write_text(table.read_text().replace(",noise,", ",tone,", 1))


CHANGES = (removed, replaced, overwritten, appended, cut, emptied, manifest_changed)
