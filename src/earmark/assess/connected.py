"""Sets of what is connected, directly or by way of others: union–find."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Connected:
    """The numbers from 0 to ``count`` − 1; each is a set of its own at first.

    >>> sets = Connected(5)
    >>> sets.join([1, 3])
    >>> sets.join([3, 4])
    >>> sets.lowest().tolist()
    [0, 1, 2, 1, 1]
    """

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def join(self, numbers: Iterable[int]) -> None:
        """Makes one set of the sets of these numbers, one at least."""
        lowest = [self._lowest(number) for number in numbers]
        for number in lowest:
            self._above[number] = min(lowest)

    def lowest(self) -> NDArray[np.int64]:
        """The lowest number of each number's set: ``[count]``."""
        return np.array([self._lowest(number) for number in range(len(self._above))], np.int64)

    def _lowest(self, number: int) -> int:
        above = self._above
        while above[number] != number:
            above[number] = number = above[above[number]]  # shortens the way for the next
        return number
