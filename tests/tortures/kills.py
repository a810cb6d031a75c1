"""Signals at any moment; then the same command again."""

import random
import signal

from tests.tortures.processes import Running
from tests.tortures.scene import WORKS, Scene, judged

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def kills(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """A command is ended once or more often; the next start must end as if nothing had been."""
    work, number, group = rng.choice(WORKS), rng.choice(SIGNALS), rng.random() < 0.5
    wanted = scene.undisturbed(work)
    here = scene.fresh()
    work.arrange(scene, here)
    faults = []
    moments = [wanted.moment(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    for moment in moments:
        running = Running(work.command(scene, here))
        running.is_over(moment)
        running.send(number, group)
        faults += running.end().faults([wanted.status, -number, 128 + number])
    shown = ", ".join(f"{moment:.2f}" for moment in moments)
    return f"{number.name} in {work.name} after {shown} s", faults + judged(scene, work, here)
