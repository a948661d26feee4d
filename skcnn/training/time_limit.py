"""Until when a fit is to end, and what there is still to do when training ends."""

import time


class TimeLimit:
    """The time by which a fit is to end, which what follows training needs some of.

    Parameters
    ----------
    deadline : float
        Value of ``time.perf_counter``.
    n_validated : int, default=0
        Samples that a validation passes forward.
    n_averaged : int, default=0
        Samples that are to give an average of weights its running statistics, at least.
    """

    def __init__(self, deadline: float, *, n_validated: int = 0, n_averaged: int = 0):
        self._deadline = deadline
        self._n_validated, self._n_averaged = n_validated, n_averaged
        self._forward_seconds = 0.0

    def measure(self, seconds: float, n_samples: int) -> None:
        """Take note of how long training on some samples took; a pass forward takes about a third of it."""
        self._forward_seconds = seconds / (3 * n_samples)

    def ends_training(self) -> bool:
        """Whether the time left is what validation and the average need."""
        return self._is_used_up_by(self._n_validated + self._n_averaged)

    def ends_statistics(self) -> bool:
        """Whether the time left is what validation needs."""
        return self._is_used_up_by(self._n_validated)

    def _is_used_up_by(self, n_samples):
        return time.perf_counter() + n_samples * self._forward_seconds >= self._deadline
