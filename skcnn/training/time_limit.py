"""The time limit of a fit, which reserves time for the work after training."""

import time


class TimeLimit:
    """The deadline of a fit, and the work that must be done before it, after training.

    Parameters
    ----------
    deadline : float
        Value of ``time.perf_counter``.
    n_validated : int, default=0
        Number of samples in the forward pass of a validation.
    n_averaged : int, default=0
        Smallest number of samples for the running statistics of averaged weights.
    """

    def __init__(self, deadline: float, *, n_validated: int = 0, n_averaged: int = 0):
        self._deadline = deadline
        self._n_validated, self._n_averaged = n_validated, n_averaged
        self._forward_seconds = 0.0

    def measure(self, seconds: float, n_samples: int) -> None:
        """Record how long training on some samples took; a forward pass takes about a third of it."""
        self._forward_seconds = seconds / (3 * n_samples)

    def ends_training(self) -> bool:
        """Whether the time left is only enough for validation and the average."""
        return self._is_used_up_by(self._n_validated + self._n_averaged)

    def ends_statistics(self) -> bool:
        """Whether the time left is only enough for validation."""
        return self._is_used_up_by(self._n_validated)

    def _is_used_up_by(self, n_samples):
        return time.perf_counter() + n_samples * self._forward_seconds >= self._deadline
