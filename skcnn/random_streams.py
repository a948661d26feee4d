"""Random numbers that depend on where they are used, not on when they are drawn."""

import numpy as np

PURPOSES = ("initialization", "split", "shuffle", "dropout", "augmentation", "data_initialization")

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def splitmix64(state: np.ndarray) -> np.ndarray:
    """Return the first number of a SplitMix64 generator for each state.

    Parameters
    ----------
    state : ndarray of uint64
        Add ``k * GOLDEN_GAMMA`` to get the k-th number, counted from zero.

    Returns
    -------
    numbers : ndarray of uint64
    """
    mixed = state + GOLDEN_GAMMA
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class RandomStreams:
    """Independent generators, one for each purpose and position.

    Each is a counter-based Philox generator. :class:`numpy.random.SeedSequence` derives its 128-bit key from
    the seed and the purpose. Its counter starts at the position, so the numbers drawn there depend neither on
    earlier draws nor on the thread.

    Parameters
    ----------
    seed : int
        Non-negative integer of any size.

    References
    ----------
    Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11.

    Examples
    --------
    >>> from skcnn.random_streams import RandomStreams
    >>> streams = RandomStreams(seed=0)
    >>> first = streams.generator("shuffle", 3).permutation(4)
    >>> again = streams.generator("shuffle", 3).permutation(4)
    >>> bool((first == again).all())
    True
    """

    def __init__(self, seed: int):
        self.seed = seed
        children = np.random.SeedSequence(seed).spawn(len(PURPOSES))
        self._keys = {
            purpose: child.generate_state(2, np.uint64)
            for purpose, child in zip(PURPOSES, children, strict=True)
        }

    def generator(self, purpose: str, *position: int) -> np.random.Generator:
        """Return a new generator for a purpose and a position.

        Parameters
        ----------
        purpose : str
            One of ``PURPOSES``.
        *position : int
            At most three integers below ``2 ** 64``, such as epoch, step and layer.

        Returns
        -------
        generator : numpy.random.Generator
        """
        if not all(0 <= number < 2**64 for number in position):
            raise OverflowError(f"positions must be non-negative and below 2 ** 64, got {position}")
        counter = np.zeros(4, dtype=np.uint64)  # counter[0] counts the numbers drawn
        counter[1 : 1 + len(position)] = position
        return np.random.Generator(np.random.Philox(key=self._keys[purpose], counter=counter))

    def uniforms(
        self, purpose: str, position: int, rows: np.ndarray, n_draws: int, *, lane: int = 0
    ) -> np.ndarray:
        """Return uniform numbers for some rows; those of one row do not depend on the other rows.

        Each row has a SplitMix64 generator, whose seed is a hash of key, position, lane and row. This is much
        faster than a Philox generator for each row.

        Parameters
        ----------
        purpose : str
            One of ``PURPOSES``.
        position : int
            For example the epoch.
        rows : ndarray of int, shape (n_rows,)
        n_draws : int
            Numbers for each row.
        lane : int, default=0
            Distinguishes several uses at the same position.

        Returns
        -------
        draws : ndarray of shape (n_rows, n_draws)
            Numbers from [0, 1).

        References
        ----------
        Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA, figure 17.
        """
        seeds = np.full(len(rows), self._keys[purpose][0])
        for number in (position, lane, rows):
            seeds = splitmix64(seeds + np.asarray(number).astype(np.uint64))
        counter = GOLDEN_GAMMA * np.arange(n_draws, dtype=np.uint64)
        return (splitmix64(seeds[:, np.newaxis] + counter) >> np.uint64(11)) * 2.0**-53

    def integer(self, purpose: str) -> int:
        """Return one 31-bit integer, a ``random_state`` for scikit-learn's functions."""
        return int(self.generator(purpose).integers(2**31 - 1))

    def __getstate__(self):
        return {"seed": self.seed}

    def __setstate__(self, state):
        RandomStreams.__init__(self, state["seed"])
