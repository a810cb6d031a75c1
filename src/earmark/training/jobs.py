"""Making several stages of a run at once, each in its own process: one small net does not keep a GPU or many cores busy."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from earmark import progress
from earmark.errors import RunError
from earmark.training.stages import Stage

GRACE = 60.0  # seconds in which a worker that is asked to stop must have saved its state
LOOK_AGAIN = 5.0  # seconds, at most, between two looks at the clock while no stage ends


def make_at_once(stages: Sequence[Stage], made: Iterable[Stage], make: Callable[[Stage], None], jobs: int) -> None:
    """Makes stages in parallel processes, each stage as soon as those it needs are made.

    On Ctrl-C, or if one stage fails, the other processes save their state and stop.

    Args:
        stages: the stages of the run, with all that they need.
        made: the stages that are made already.
        make: function that makes a stage; it must be possible to pickle it.
        jobs: number of processes, at most.

    Raises:
        RunError: a process was ended from outside.
        Exception: the exception that a stage raised.
    """
    done = set(made)
    waiting = [stage for stage in stages if stage not in done]
    if not waiting:
        return
    running: dict[Future[None], Stage] = {}
    context = multiprocessing.get_context("spawn")  # a forked process could not use the GPU
    with (
        ProcessPoolExecutor(min(jobs, len(waiting)), context, initializer=_begin_worker) as pool,
        progress.progress_bar(f"train, {jobs} at once", len(stages), len(done), unit="stages") as bar,
    ):
        try:
            while waiting or running:
                for stage in [stage for stage in waiting if done.issuperset(stage.needs)]:
                    waiting.remove(stage)
                    running[pool.submit(make, stage)] = stage
                for future in wait(running, LOOK_AGAIN, FIRST_COMPLETED).done:
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
            _stop(multiprocessing.active_children())
            raise


def _stop(workers: Sequence[multiprocessing.process.BaseProcess]) -> None:
    """Has workers save their state and end; those that have not ended after a while are killed."""
    for worker in workers:
        if worker.pid is not None:
            os.kill(worker.pid, signal.SIGINT)
    deadline = time.monotonic() + GRACE
    for worker in workers:
        worker.join(max(deadline - time.monotonic(), 0))
    for worker in workers:
        if worker.is_alive():
            worker.kill()


def _begin_worker() -> None:
    # In a process group of its own, so that Ctrl-C reaches only the parent. The parent then sends each worker one SIGINT: a second
    # one would stop a training before its state is saved.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # the training loop replaces this handler with one that saves first
    progress.hide_bars()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when its parent ends: it must not write into a run that another process may have started again."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
