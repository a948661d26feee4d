"""Pictures of the filters of a convolution."""

import numpy as np

from skcnn.inspection.plotting import draw_image, grid_of_axes
from skcnn.layers.convolution import Convolution
from skcnn.network import Network
from skcnn.random_streams import RandomStreams
from skcnn.routes import unwrapped


class FilterDisplay:
    """The filters of a convolution as images, of one scale about zero.

    Make it with :meth:`from_estimator`.

    Parameters
    ----------
    filters : ndarray of shape (h, w, c, f)
        Of three channels, a filter is drawn in colour; of any other number, as the mean over channels.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes of shape (f,)
    images_ : list of matplotlib AxesImage

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.inspection import FilterDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    >>> len(FilterDisplay.from_estimator(clf).images_)
    32
    """

    def __init__(self, filters):
        self.filters = filters

    @classmethod
    def from_estimator(cls, estimator, *, layer=None, trained=True, n_columns=None, fig=None):
        """Draw the filters of a layer, before or after training.

        Parameters
        ----------
        estimator : ConvNetClassifier, Pipeline that ends with one, or a search over such
            Fitted.
        layer : str, default=None
            Name of a convolution. None: the first one.
        trained : bool, default=True
            False: the filters that training began with, which are drawn again.
        n_columns : int, default=None
            Filters in a row. None: as near to a square as it gets.
        fig : matplotlib Figure, default=None
            Where to draw. None: in a new one.

        Returns
        -------
        display : FilterDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is another one.
        ValueError
            If there is no convolution of this name, or the filters that training began with depended on the
            training data, by ``init_scaling``.
        """
        _, classifier = unwrapped(estimator)
        layer = convolution_named(classifier, layer)
        network = classifier.network_
        if not trained and layer in network.trained:
            network = initial_network(classifier)
        return cls(np.array(network.params[layer]["weight"])).plot(n_columns=n_columns, fig=fig)

    def plot(self, *, n_columns=None, fig=None):
        """Draw the filters; see :meth:`from_estimator`.

        Parameters
        ----------
        n_columns : int, default=None
        fig : matplotlib Figure, default=None

        Returns
        -------
        self : FilterDisplay
        """
        n_filters = self.filters.shape[-1]
        self.figure_, self.axes_ = grid_of_axes(type(self).__name__, n_filters, n_columns, size=0.6, fig=fig)
        largest = float(np.abs(self.filters).max()) or 1.0
        self.images_ = [
            draw_image(axis, self.filters[..., index], (-largest, largest))
            for index, axis in enumerate(self.axes_)
        ]
        return self


def initial_network(classifier) -> Network:
    """Return the network that training began with."""
    if classifier.init_scaling is not None:
        raise ValueError(
            "trained=False cannot show filters that were scaled with the training data, by "
            f"init_scaling={classifier.init_scaling!r}"
        )
    network, streams = classifier.network_, RandomStreams(classifier._initial_seed)
    return Network(network.steps, dtype=network.dtype, streams=streams)


def convolution_named(classifier, layer: str | None) -> str:
    """Return the name of a convolution of a network; of the first one for None."""
    names = [step.name for step in classifier.network_.steps[1:] if isinstance(step.layer, Convolution)]
    if not names:
        raise ValueError("the network has no convolution")
    if layer is not None and layer not in names:
        raise ValueError(f"layer must be one of the convolutions {names}, got {layer!r}")
    return layer or names[0]
