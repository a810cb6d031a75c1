"""Work in threads, with the results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import repeat
from typing import TypeVar, cast

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_order(pool: Executor, work: Callable[[Task], Result], tasks: Iterable[Task], ahead: int) -> Iterator[Result]:
    """The results of tasks that a pool works on, in the order of the tasks.

    If the caller stops early, the tasks that are not begun are cancelled.

    Args:
        pool: does the work.
        work: makes a task's result.
        tasks: taken one by one, as their turn comes.
        ahead: tasks and results that wait for the caller, at most: this bounds the memory.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(in_order(pool, str, range(4), ahead=2))
    ['0', '1', '2', '3']
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def made_ahead(items: Iterator[Result], ahead: int) -> Iterator[Result]:
    """The items of an iterator, which are made in a thread of their own while the caller works on earlier ones.

    Args:
        items: makes an item at a time.
        ahead: items that wait for the caller, at most: this bounds the memory.

    >>> list(made_ahead(iter("abc"), ahead=2))
    ['a', 'b', 'c']
    """
    end = object()
    with ThreadPoolExecutor(1) as thread:
        for item in in_order(thread, lambda _: next(items, end), repeat(None), ahead):
            if item is end:
                return
            yield cast("Result", item)
