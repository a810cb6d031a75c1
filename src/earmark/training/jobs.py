"""Several stages of a run at once, each in a process of its own: one small net fills neither a GPU nor a machine of many cores."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from earmark import progress
from earmark.errors import RunError
from earmark.training.stages import Stage


def make_at_once(stages: Sequence[Stage], made: Iterable[Stage], make: Callable[[Stage], None], jobs: int) -> None:
    """Makes stages in processes, each when all that it needs is made.

    On Ctrl-C, or where one fails, the others are told to save what they have and stop.

    Args:
        stages: with all that they need.
        made: those of them that are there already.
        make: a function that can be pickled.
        jobs: processes at most.

    Raises:
        RunError: a process was ended from outside.
        Exception: what a stage raised.
    """
    done = set(made)
    waiting = [stage for stage in stages if stage not in done]
    if not waiting:
        return
    running: dict[Future[None], Stage] = {}
    context = multiprocessing.get_context("spawn")  # a forked child could not use the GPU
    with (
        ProcessPoolExecutor(min(jobs, len(waiting)), context, initializer=_begin_worker) as pool,
        progress.progress_bar(f"train, {jobs} at once", len(stages), len(done)) as bar,
    ):
        try:
            while waiting or running:
                for stage in [stage for stage in waiting if done.issuperset(stage.needs)]:
                    waiting.remove(stage)
                    running[pool.submit(make, stage)] = stage
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    done.add(running.pop(future))
                bar.update(len(done), ", ".join(stage.title for stage in list(running.values())[:jobs]))
        except BrokenProcessPool:
            raise RunError(
                "a training process was ended from outside, perhaps because the memory was full; "
                "the same command goes on from there, and with fewer --jobs it takes less memory"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                if worker.pid is not None:
                    os.kill(worker.pid, signal.SIGINT)
            raise


def _begin_worker() -> None:
    # Out of the terminal's own group: Ctrl-C reaches the parent, which tells each worker once (twice would be: stop at once).
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # what it was making is made anew; a net that trains is saved instead
    progress.hide_bars()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Else a worker whose parent was killed would write into a run that somebody has taken up again."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
