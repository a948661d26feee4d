"""What scikit-learn's callbacks see of a fit: a task for the fit, with a subtask for each epoch.

scikit-learn has callbacks from 1.9 on. The training loop itself knows nothing of them.
"""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

from skcnn._sklearn import CALLBACK_ATTRIBUTES, callback_context
from skcnn.data.samples import Samples
from skcnn.network.threads import current_numpy_state, working_numpy_state


def callback_attributes(estimator) -> dict:
    """Return the attributes of an estimator that belong to callbacks."""
    return {name: value for name, value in vars(estimator).items() if name in CALLBACK_ATTRIBUTES}


def copy_without_callbacks(estimator):
    """Return a shallow copy of an estimator without callbacks and without their context of a running fit."""
    copied = copy.copy(estimator)
    for name in callback_attributes(copied):
        delattr(copied, name)
    return copied


class UnwatchedFit:
    """The tasks of a fit without callbacks."""

    def begin_epoch(self, copy_result: Callable) -> None:
        """Do nothing."""

    def end_epoch(self, goes_on: bool, copy_result: Callable) -> bool:
        """Return ``goes_on`` unchanged."""
        return goes_on

    def end_epochs(self) -> None:
        """Do nothing."""

    def end(self, copy_result: Callable) -> None:
        """Do nothing."""


class WatchedFit:
    """The tasks of a fit with callbacks, which run with the numpy settings of the user.

    Parameters
    ----------
    estimator : estimator
        The estimator of the user, which callbacks know, not a copy.
    task : sklearn.callback.CallbackContext
        The task of the fit, which begins here.
    samples : dict of str to callable
        Return "X", "y" and "metadata" of the training samples. Called only if a callback needs them.
    fitted_copy : callable
        Returns a copy of the estimator, fitted with a result. Called only if a callback needs it.
    """

    def __init__(self, estimator, task, samples: dict[str, Callable], fitted_copy: Callable):
        self._estimator = estimator
        self._task = task
        self._samples = samples
        self._fitted_copy = fitted_copy
        self._epoch: Any = None
        self._users_numpy_state = current_numpy_state()
        self._call(task.call_on_fit_task_begin)

    def begin_epoch(self, copy_result: Callable) -> None:
        """Begin an epoch.

        Parameters
        ----------
        copy_result : callable
            Returns the result that training has if it ends now. Called only if a callback needs it.
        """
        self._epoch = self._task.subcontext(task_name="epoch")
        self._call(self._epoch.call_on_fit_task_begin, copy_result)

    def end_epoch(self, goes_on: bool, copy_result: Callable) -> bool:
        """End an epoch; return whether another follows, which callbacks may prevent, and begin it."""
        epoch, self._epoch = self._epoch, None
        is_to_stop = self._call(epoch.call_on_fit_task_end, copy_result)
        if is_to_stop or not goes_on:
            return False
        self.begin_epoch(copy_result)
        return True

    def end_epochs(self) -> None:
        """End an unfinished epoch: training diverged in it, or had converged before."""
        if self._epoch is not None:
            self._call(self._epoch.call_on_fit_task_end)

    def end(self, copy_result: Callable) -> None:
        """End the fit; ``copy_result`` returns its result."""
        self._call(self._task.call_on_fit_task_end, copy_result)

    def _call(self, hooks, copy_result=None):
        """Call a hook of all callbacks, and return its value."""

        def attributes():
            with working_numpy_state():
                # BaseEstimator._from_reconstruction_attributes calls setattr for each; one __dict__ also
                # removes names that are missing
                return {"__dict__": vars(self._fitted_copy(copy_result()))}

        with self._users_numpy_state():
            return hooks(
                estimator=self._estimator,
                reconstruction_attributes=None if copy_result is None else attributes,
                **self._samples,
            )


def begin_fit(
    estimator, samples: dict[str, Callable], fitted_copy: Callable, *, task_name: str, n_epochs: int
) -> UnwatchedFit | WatchedFit:
    """Begin the task of a fit if there are callbacks.

    Parameters
    ----------
    estimator : estimator
    samples, fitted_copy
        As for :class:`WatchedFit`.
    task_name : str
    n_epochs : int
        Largest number of epochs.
    """
    task = callback_context(estimator, task_name=task_name, n_subtasks=n_epochs)
    return UnwatchedFit() if task is None else WatchedFit(estimator, task, samples, fitted_copy)


def samples_for_callbacks(X, samples: Samples) -> dict[str, Callable]:
    """Return functions that give callbacks the training samples; they copy only when called.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Images as users give them where they have names: ``predict`` warns without names.
    samples : Samples
    """

    def metadata():
        return {"sample_weight": samples.weights[samples.rows]} if samples.given_weights else None

    return {"X": cache(lambda: samples.rows_of(X)), "y": cache(lambda: samples.y), "metadata": metadata}
