"""Tortures earmark for some minutes, and prints what held. Not a part of the test suite.

    python tests/torture.py --minutes 20 --seed 0
    python tests/torture.py --minutes 2 --only kills,races
    python tests/torture.py --seed 0 --again damage:17      one try once more

Every try has its own random numbers, from the seed, its kind and its number; only the machine's own timing differs from run to run.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAULTS = {  # the columns of the table: what a try may show, and the words by which it is known
    "wrong result": ("other results", "another store", "neither", "no result"),
    "status 1": ("status 1,",),
    "another status": ("status 0,", "status 2,", "status 3,", "status -", "both are refused"),
    "hangs": ("did not end",),
    "traceback": ("a traceback",),
    "left over": ("left over", "left behind"),
    "lost": ("not intact",),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="", help="kinds, with commas between them")
    options.add_argument("--again", default="", help="a kind and the number of a try, such as kills:17")
    options.add_argument("--keep", action="store_true", help="leave the folder of the last try")
    chosen = options.parse_args()
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.tortures import damage, disks, inputs, kills, limits, pipes, races
    from tests.tortures.processes import Running
    from tests.tortures.scene import Scene

    space_of_its_own(disks.IN_OWN_SPACE)
    kinds = {
        "kills": kills.kills,
        "disks": disks.full_disks,
        "files": limits.few_files,
        "memory": limits.little_memory,
        "races": races.races,
        "pipes": pipes.pipes,
        "damage": damage.damage,
        "inputs": inputs.inputs,
    }
    wanted = [chosen.again.partition(":")[0]] if chosen.again else chosen.only.split(",") if chosen.only else list(kinds)
    if unknown := set(wanted) - set(kinds):
        options.error(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(kinds)}")
    here = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        tallies = {name: Tally(name, kinds[name], chosen.seed) for name in wanted}
        scene = Scene(here)
        if chosen.again:
            tallies[wanted[0]].next(scene, int(chosen.again.partition(":")[2]))
        until = time.monotonic() + (0 if chosen.again else 60 * chosen.minutes)
        while time.monotonic() < until:  # every kind gets the same time
            min(tallies.values(), key=lambda tally: tally.seconds).next(scene)
    except KeyboardInterrupt:
        pass
    finally:
        say(f"kept: {here}") if chosen.keep else shutil.rmtree(here, ignore_errors=True)
    return print_table(list(tallies.values()), Running.started)


def space_of_its_own(mark: str) -> None:
    """Starts this script anew where it may mount small file systems, which then end with it; else nothing."""
    own = ["unshare", "--mount", "--map-root-user"]
    if mark in os.environ or not shutil.which("unshare"):
        return
    if subprocess.run([*own, "true"], check=False, capture_output=True).returncode == 0:
        os.environ[mark] = "1"
        os.execvp(own[0], [*own, sys.executable, *sys.argv])


class Tally:
    """The tries of a kind."""

    def __init__(self, name: str, kind: Callable[..., tuple[str, list[str]]], seed: int) -> None:
        self.name, self.kind, self.seed = name, kind, seed
        self.tries = self.held = self.unnoticed = 0
        self.seconds = 0.0
        self.failed: list[str] = []
        self.found = dict.fromkeys(FAULTS, 0)

    def next(self, scene: Any, number: int | None = None) -> None:
        number = self.tries if number is None else number
        began, before = time.monotonic(), scene.seconds
        what, faults = self.kind(scene, random.Random(f"{self.seed} {self.name} {number}"))
        self.seconds += time.monotonic() - began - (scene.seconds - before)
        self.tries += 1
        self.held += not faults
        self.unnoticed += "not promised" in what
        for name, signs in FAULTS.items():
            self.found[name] += any(sign in fault for fault in faults for sign in signs)
        if faults:
            again = f"python tests/torture.py --seed {self.seed} --again {self.name}:{number}"
            self.failed.append("\n    ".join([what, *faults, again]))
            say(f"did not hold: {self.failed[-1]}")


def print_table(tallies: list[Tally], commands: int) -> int:
    """The table, and the exit status: 0 if everything held."""
    say(f"\n| kind | tries | held | {' | '.join(FAULTS)} | minutes |\n|{'---|' * (4 + len(FAULTS))}")
    for tally in tallies:
        numbers = " | ".join(map(str, tally.found.values()))
        say(f"| {tally.name} | {tally.tries} | {tally.held} | {numbers} | {tally.seconds / 60:.1f} |")
    tries, held = sum(tally.tries for tally in tallies), sum(tally.held for tally in tallies)
    unnoticed = sum(tally.unnoticed for tally in tallies)
    say(
        f"\n{tries} tries with {commands} commands, {held} held; {unnoticed} damages went unnoticed that nothing promises to notice"
    )
    for tally in tallies:
        for text in tally.failed:
            say(f"\n{tally.name}: {text}")
    return int(any(tally.failed for tally in tallies))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
