import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from earmark.parallel import in_order


def test_results_come_in_the_order_of_the_tasks_and_few_tasks_are_taken_ahead() -> None:
    taken: list[int] = []
    first_may_end = threading.Event()

    def tasks() -> Iterator[int]:
        for task in range(20):
            taken.append(task)
            yield task
            if task == 2:
                first_may_end.set()  # later ones end before the first

    def work(task: int) -> int:
        if task == 0:
            assert first_may_end.wait(10)
        return task * task

    with ThreadPoolExecutor(4) as pool:
        results = in_order(pool, work, tasks(), ahead=5)
        assert next(results) == 0
        assert len(taken) == 5
        assert list(results) == [task * task for task in range(1, 20)]


def test_a_failure_is_raised_and_what_is_not_begun_is_cancelled() -> None:
    worked: list[int] = []
    second_may_end = threading.Event()

    def work(task: int) -> int:
        worked.append(task)
        if task == 0:
            raise ValueError("task 0")
        assert second_may_end.wait(10)
        return task

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="task 0"):
            list(in_order(pool, work, range(50), ahead=40))
        second_may_end.set()
    assert worked in ([0], [0, 1])
