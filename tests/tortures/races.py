"""Two of everything at once."""

import random
import shutil

from tests.tortures.processes import Ended, Running
from tests.tortures.scene import ANY_WORK, WORKS, Scene, Work, differences, judged, left_behind, of_run, wait

OTHER = Work(
    "train on the other labels",
    lambda s, here: Running(s.prepare(here / "store", manifest="other.csv")).end(),
    lambda s, here: s.train(here / "store", here / "out"),
    of_run,
)


def races(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """The same command twice with the same output, or a store that is prepared anew while it is used."""
    kind = rng.choice((twice, twice, anew_in_train, anew_in_train, anew_in_evaluate))
    return kind(scene, rng)


def twice(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """One is refused in a line, or both end right; the result is that of a single one."""
    work = rng.choice(WORKS)
    wanted = scene.undisturbed(work)
    here = scene.fresh()
    work.arrange(scene, here)
    first = Running(work.command(scene, here))
    pause = 0.0 if rng.random() < 0.5 else wanted.moment(rng)
    wait(pause)
    second = Running(work.command(scene, here))
    both = [first.end(), second.end()]
    faults = [fault for ended in both for fault in ended.faults([wanted.status, 2])]
    if all(ended.status == 2 for ended in both):
        faults.append(f"{work.name}: both are refused: {both[0].err} {both[1].err}")
    if not faults:
        if wrong := differences(work.result(here), wanted.result):
            faults.append(f"{work.name}: other results: {', '.join(wrong)}")
        faults += [f"left behind: {name}" for name in left_behind(here)]
    return f"{work.name} twice, {pause:.2f} s apart", faults or judged(scene, work, here)


def anew_in_train(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """A training ends as on the old labels or as on the new ones, or is refused."""
    work = ANY_WORK[rng.choice(("train", "train --jobs 2"))]
    here = scene.fresh()
    shutil.copytree(scene.store, here / "store")
    more = ["--jobs", "2"] if "jobs" in work.name else []
    moment = scene.undisturbed(work).moment(rng)
    return _anew(scene, here, scene.train(here / "store", here / "out", *more), moment, f"{work.name} while prepared anew")


def anew_in_evaluate(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """An evaluation gives the figures of the labels that the nets learnt from, or is refused."""
    here = scene.fresh()
    shutil.copytree(scene.store, here / "store")
    shutil.copytree(scene.run, here / "out")
    info = here / "out/run.json"
    info.write_text(info.read_text().replace(str(scene.store), str(here / "store")))
    if rng.random() < 0.3:
        faults = Running(scene.prepare(here / "store", manifest="other.csv")).end().faults([3])
        ended = Running(["evaluate", here / "out"]).end()
        return "evaluate after the store was prepared anew", faults + _old_or_refused(scene, here, ended)
    moment = scene.undisturbed(ANY_WORK["evaluate"]).moment(rng)
    return _anew(scene, here, ["evaluate", str(here / "out")], moment, "evaluate while prepared anew")


def _anew(scene: Scene, here, words: list[str], moment: float, name: str) -> tuple[str, list[str]]:
    prepare = ANY_WORK["prepare"]
    running = Running(words)
    running.is_over(moment - scene.undisturbed(prepare).sign)
    faults = Running(scene.prepare(here / "store", manifest="other.csv")).end().faults([3, 2])
    return f"{name} after {moment:.2f} s", faults + _old_or_refused(scene, here, running.end())


def _old_or_refused(scene: Scene, here, ended: Ended) -> list[str]:
    faults = ended.faults([0, 2])
    if ended.status == 0:
        wrong = [differences(of_run(here), scene.undisturbed(work).result) for work in (ANY_WORK["train"], OTHER)]
        if all(wrong):
            faults.append(f"neither the old labels' results nor the new ones', with status 0: {', '.join(min(wrong, key=len))}")
    return faults
