"""Goes on with one interrupted fit, by its file."""

from collections.abc import Mapping
from pathlib import Path

from skcnn.training.checkpoint import KnownFile, read


def resume(path, X, y, sample_weight=None, *, custom: Mapping[str, type] | None = None, **options):
    """Go on with a fit that was interrupted, from the file that its :class:`skcnn.Checkpoint` has left.

    ``fit`` does this by itself, if it is called again with the same parameters and data. This function needs
    the file and the data alone.

    Parameters
    ----------
    path : str or PathLike
        The file, which is removed when training is done.
    X, y, sample_weight
        The same data.
    custom : mapping of str to type, default=None
        As for :func:`skcnn.load`.
    **options : dict
        Further arguments that ``fit`` had.

    Returns
    -------
    estimator : estimator
        Fitted, with the bits of a fit that was never interrupted.

    Raises
    ------
    FileError
        If the file is damaged or no checkpoint.
    ValueError
        If the data differ, or the versions of the packages; the message names what. If the file holds no
        estimator, because a hyperparameter is something that a file cannot hold.
    """
    path = Path(path)
    _, _, estimator = read(path, custom or {})
    if isinstance(estimator, str):
        raise ValueError(
            f"{path} holds no estimator, since {estimator}: call fit of the same estimator with the "
            "checkpoint of its folder"
        )
    given = estimator.checkpoint
    estimator.checkpoint = KnownFile(path.parent, given.every_epochs, given.every_minutes, path)
    estimator.fit(X, y, sample_weight, **options)
    estimator.checkpoint = given
    return estimator
