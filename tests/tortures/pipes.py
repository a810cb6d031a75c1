"""Nobody listens: streams that are closed, broken in the middle, or lead to a full disk. The status is the work's."""

import os
import random
from collections.abc import Callable

from tests.tortures.processes import Running
from tests.tortures.scene import WORKS, Scene, Work, nothing, wrong_result

PLAIN = (
    *WORKS,
    Work("tag", nothing, lambda s, _: s.tag(s.run, None), lambda _: {}),
    Work("info", nothing, lambda s, _: ["info", str(s.run)], lambda _: {}),
)


def pipes(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    work = rng.choice(PLAIN)
    wanted = scene.undisturbed(work)
    name, plumb = rng.choice(list(PLUMBINGS.items()))
    here = scene.fresh()
    work.arrange(scene, here)
    if name.startswith("|"):
        read_end, write_end = os.pipe()
        streams = (1, 2) if "&" in name else (1,)
        running = Running(work.command(scene, here), plumb=lambda: [os.dup2(write_end, stream) for stream in streams])
        os.close(write_end)
        if "head" in name:
            os.read(read_end, rng.choice((1, 30)))
        os.close(read_end)
    else:
        running = Running(work.command(scene, here), plumb=plumb)
    allowed = [wanted.status, 2] if "full" in name else [wanted.status]  # a listener that cannot take it may be an error
    faults = running.end().faults(allowed)
    faults = [fault for fault in faults if "2>" not in name or "without one line" not in fault]
    return f"{work.name} {name}", faults or wrong_result(work, wanted, here)


def closed(*streams: int) -> Callable[[], object]:
    return lambda: [os.close(stream) for stream in streams]


def full(*streams: int) -> Callable[[], object]:
    return lambda: [os.dup2(os.open("/dev/full", os.O_WRONLY), stream) for stream in streams]


PLUMBINGS: dict[str, Callable[[], object] | None] = {
    ">&-": closed(1),
    "2>&-": closed(2),
    ">&- 2>&-": closed(1, 2),
    "<&- >&- 2>&-": closed(0, 1, 2),
    ">/dev/full": full(1),
    "2>/dev/full": full(2),
    "| true": None,
    "|& true": None,
    "| head -c1": None,
    "|& head -c1": None,
}
