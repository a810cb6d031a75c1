import numpy as np

from earmark.assess.connected import Connected


def test_what_is_reached_by_way_of_others_is_in_the_set() -> None:
    rng = np.random.default_rng(4)
    for count in (1, 2, 9, 30):
        together = np.eye(count, dtype=bool)
        sets = Connected(count)
        for numbers in rng.integers(0, count, (count // 2, 3)).tolist():
            sets.join(numbers)
            together[np.ix_(numbers, numbers)] = True
        for _ in range(count):  # the slow way
            together = together.astype(int) @ together.astype(int) > 0
        assert sets.lowest().tolist() == together.argmax(axis=1).tolist()


def test_a_long_chain_takes_no_square_of_time() -> None:
    sets = Connected(200_000)
    for number in range(200_000 - 1, 0, -1):
        sets.join([number - 1, number])
    assert not sets.lowest().any()
    assert Connected(0).lowest().shape == (0,)
