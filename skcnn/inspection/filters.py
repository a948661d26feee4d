"""Pictures of the filters of a convolution."""

import numpy as np

from skcnn.inspection.plotting import check_drawable, draw_image, grid_of_axes, grid_shape, import_pyplot
from skcnn.layers.convolution import Convolution, DepthwiseConv2D
from skcnn.network.network import Network, init_network
from skcnn.pipelines import unwrap


class FilterDisplay:
    """The filters of a convolution before and after training, as images with a common scale around zero.

    Filters of three channels are drawn in colour, all others as the mean over channels.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    filters : dict of str to ndarray of shape (h, w, c, f)
        The keys are "before training" and "after training", or one of these.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : dict of str to ndarray of Axes of shape (f,)
        By the keys of ``filters``.
    images_ : dict of str to list of matplotlib AxesImage

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.inspection import FilterDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    >>> display = FilterDisplay.from_estimator(clf)
    >>> {when: len(images) for when, images in display.images_.items()}
    {'before training': 32, 'after training': 32}
    """

    def __init__(self, filters):
        self.filters = filters

    @classmethod
    def from_estimator(cls, estimator, *, layer=None, initial=True, n_columns=None, fig=None):
        """Draw the filters of a layer, before and after training.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
            Fitted.
        layer : str, default=None
            Name of a convolution. None: the first one.
        initial : bool, default=True
            Whether to draw the initial filters, too. They are drawn again from the same random numbers.
        n_columns : int, default=None
            Number of filters in a row. None: the grid is as square as possible.
        fig : matplotlib Figure, default=None
            Where to draw. None: in a new figure.

        Returns
        -------
        display : FilterDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator or ``fig`` is of another kind.
        ValueError
            If there is no convolution of this name, ``initial`` is not a bool, or the initial filters depend
            on the training data, because of ``init_scaling``.
        """
        import_pyplot(cls.__name__)
        check_drawable(fig, "Figure", "fig")
        if not isinstance(initial, bool | np.bool_):
            raise ValueError(f"initial must be True or False, got {initial!r}")
        _, classifier = unwrap(estimator)
        node = find_convolution(classifier, layer)
        networks = {"before training": initial_network(classifier, node)} if initial else {}
        networks["after training"] = classifier.network_
        filters = {when: filters_of(network, node) for when, network in networks.items()}
        return cls(filters).plot(n_columns=n_columns, fig=fig)

    def plot(self, *, n_columns=None, fig=None):
        """Draw the filters, with parameters as in :meth:`from_estimator`.

        Parameters
        ----------
        n_columns : int, default=None
        fig : matplotlib Figure, default=None

        Returns
        -------
        self : FilterDisplay
        """
        plt = import_pyplot(type(self).__name__)
        check_drawable(fig, "Figure", "fig")
        n_filters = next(iter(self.filters.values())).shape[-1]
        n_rows, n_columns = grid_shape(n_filters, n_columns)
        if fig is None:
            width = len(self.filters) * max(1.5, 0.55 * n_columns + 0.1)
            fig = plt.figure(figsize=(width, 0.55 * n_rows + 0.3), layout="constrained")
        self.figure_, self.axes_, self.images_ = fig, {}, {}
        largest = max(float(np.abs(filters).max()) for filters in self.filters.values()) or 1.0
        parts = fig.subfigures(1, len(self.filters), wspace=0.05, squeeze=False).ravel()
        for part, (when, filters) in zip(parts, self.filters.items(), strict=True):
            part.suptitle(when, fontsize=9)
            self.axes_[when] = grid_of_axes(part, n_filters, n_columns)
            self.images_[when] = [
                draw_image(axis, filters[..., index], (-largest, largest))
                for index, axis in enumerate(self.axes_[when])
            ]
        return self


def find_convolution(classifier, layer: str | None):
    """Return the node of a convolution of a network; None is the first one."""
    nodes = {node.name: node for node in classifier.network_.nodes if isinstance(node.layer, Convolution)}
    if not nodes:
        raise ValueError("the network has no convolution")
    if layer is not None and (not isinstance(layer, str) or layer not in nodes):
        raise ValueError(f"layer must be one of the convolutions {list(nodes)}, got {layer!r}")
    return nodes[layer or next(iter(nodes))]


def initial_network(classifier, node) -> Network:
    """Return a network with the initial filters of a convolution."""
    network = classifier.network_
    if node.name not in network.trained:
        return network
    if classifier.init_scaling is not None:
        raise ValueError(
            "initial=True cannot show the initial filters, because "
            f"init_scaling={classifier.init_scaling!r} scaled them with the training data: set initial=False"
        )
    return init_network(network.nodes, dtype=network.dtype, seed=classifier.model_.seed)


def filters_of(network: Network, node) -> np.ndarray:
    """Return the filters of a convolution, shape (h, w, c, f); depthwise filters have one channel."""
    weight = np.array(network.params[node.name]["weight"])
    if isinstance(node.layer, DepthwiseConv2D):
        return weight.reshape(*weight.shape[:2], 1, -1)
    return weight
