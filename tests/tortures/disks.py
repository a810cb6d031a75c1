"""Disks without room: a small file system in memory where it may be mounted, else a limit of the size of files."""

import os
import random
import subprocess
from pathlib import Path

from tests.tortures.processes import run
from tests.tortures.scene import WORKS, Scene, differences, judged

IN_OWN_SPACE = "EARMARK_TORTURE_MAY_MOUNT"  # set where this process has file systems of its own, which end with it
LARGE = "256m"


def full_disks(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """The disk is full somewhere within the work: an error, what was there before is intact, and with room it ends right."""
    work = rng.choice(WORKS)
    wanted = scene.undisturbed(work)
    here = scene.fresh("disk")
    mounted = IN_OWN_SPACE in os.environ and rng.random() < 0.8
    try:
        if mounted:
            mount(here, f"size={LARGE}")
        work.arrange(scene, here)
        (here / "out.bad.csv").write_text("old") if work.name.startswith("tag") else None
        if work.name.startswith("tag"):
            (here / "out").write_text("old")
        if work.name.startswith("data"):
            (here / "out.csv").write_text("old")
        before = contents(here)
        size = round(4096 * 256 ** rng.random()) if mounted else round(100 * 4000 ** rng.random())
        if mounted:
            mount(here, f"remount,size={used(here) + size}")
            ended = run(work.command(scene, here))
        else:
            ended = run(work.command(scene, here), limits={"file size": size})
        faults = ended.faults([wanted.status, 2])
        if ended.status == 2:
            faults += lost(work.name, before, contents(here))
        if mounted:
            mount(here, f"remount,size={LARGE}")
        return (
            f"{work.name} with {size} bytes {'left on the disk' if mounted else 'a file'}",
            faults + judged(scene, work, here),
        )
    finally:
        if mounted:
            subprocess.run(["umount", "-l", here], check=True)


def mount(here: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", here], check=True, capture_output=True)


def used(here: Path) -> int:
    status = os.statvfs(here)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def contents(here: Path) -> dict[str, bytes]:
    return {str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*") if path.is_file()}


def lost(name: str, before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """What was there before and is not any more. A report and figures may be new ones already; they are compared later."""
    again = ("out/report.html", "out/metrics", "out/oof.parquet", "out/test.parquet", "out/bundle/")
    changed = differences({key: str(value) for key, value in after.items()}, {key: str(value) for key, value in before.items()})
    gone = [key for key in changed if key in before and (key not in after or not key.startswith(again))]
    return [f"{name}: what was there before is not intact: {', '.join(gone)}"] if gone else []
