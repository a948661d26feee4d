"""A display of the outputs of each layer for an image."""

import numpy as np

from skcnn.inspection.plotting import (
    as_names,
    check_count,
    check_drawable,
    draw_image,
    import_pyplot,
    limits_of,
)
from skcnn.network.named_nodes import image_layers, image_node
from skcnn.pipelines import PipelineInput


class FeatureMapDisplay:
    """An image, and the feature maps of each layer of a network in a row.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    image : ndarray of shape (h, w, c)
    maps : dict of str to ndarray of shape (h, w, c)
        By the name of the layer.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : dict of str to ndarray of Axes
        By the name of the layer; the key of the image is "input".
    images_ : dict of str to list of matplotlib AxesImage

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.inspection import FeatureMapDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    >>> display = FeatureMapDisplay.from_estimator(clf, X[0], layers=["conv1", "pool1"])
    >>> display.maps["pool1"].shape
    (4, 4, 32)
    """

    def __init__(self, image, maps):
        self.image = image
        self.maps = maps

    @classmethod
    def from_estimator(
        cls, estimator, X, *, layers=None, n_maps=8, image_shape=None, data_format=None, fig=None
    ):
        """Draw the feature maps of an image.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
            Fitted.
        X : array-like
            One image, or a batch of one image, as the estimator takes them.
        layers : str or sequence of str, default=None
            Names of layers whose outputs are images. None: all such layers.
        n_maps : int, default=8
            Largest number of maps to draw for each layer.
        image_shape : tuple of int, default=None
            Stored shape of one image of X, as for :func:`saliency_maps`.
        data_format : {"channels_last", "channels_first"}, default=None
            Layout of the images of X, as for :func:`saliency_maps`.
        fig : matplotlib Figure, default=None
            Where to draw. None: in a new figure.

        Returns
        -------
        display : FeatureMapDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator or ``fig`` is of another kind, or X is sparse.
        ValueError
            If X is not one image, ``layers`` are not names, a layer does not exist, the output of a layer (or
            of all layers) is a vector or not finite, or X does not fit ``image_shape`` or needs
            ``data_format``.
        """
        import_pyplot(cls.__name__)
        check_count(n_maps, "n_maps")
        check_drawable(fig, "Figure", "fig")
        pipeline_input = PipelineInput.of_one(estimator, X, image_shape=image_shape, data_format=data_format)
        graph = pipeline_input.model.graph
        layers = image_layers(graph) if layers is None else as_names(layers, "layers")
        if not layers:
            raise ValueError("the network has no layers whose outputs are images")
        indices = {name: image_node(graph, name, parameter="layers") for name in layers}
        maps = {
            name: pipeline_input.model.results(pipeline_input.network_input, index)[0]
            for name, index in indices.items()
        }
        return cls(pipeline_input.as_images(pipeline_input.X)[0], maps).plot(n_maps=n_maps, fig=fig)

    def plot(self, *, n_maps=8, fig=None):
        """Draw the maps, with parameters as in :meth:`from_estimator`.

        Parameters
        ----------
        n_maps : int, default=8
        fig : matplotlib Figure, default=None

        Returns
        -------
        self : FeatureMapDisplay
        """
        plt = import_pyplot(type(self).__name__)
        check_count(n_maps, "n_maps")
        check_drawable(fig, "Figure", "fig")
        rows = {"input": self.image[..., np.newaxis, :]} | {
            name: maps[..., :n_maps, np.newaxis] for name, maps in self.maps.items()
        }
        n_columns = max(values.shape[2] for values in rows.values())
        if fig is None:
            width = 0.9 * n_columns + 0.09 * max(map(len, rows)) + 0.2
            fig = plt.figure(figsize=(width, 0.95 * len(rows)), layout="constrained")
        grid = fig.subplots(len(rows), n_columns, squeeze=False)
        self.figure_, self.axes_, self.images_ = fig, {}, {}
        for axes, (name, values) in zip(grid, rows.items(), strict=True):
            for axis in axes:
                axis.set(xticks=[], yticks=[])
                axis.set_frame_on(False)
            axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
            limits = limits_of(values) if name == "input" else (values.min(), values.max())
            self.axes_[name] = axes[: values.shape[2]]
            self.images_[name] = [
                draw_image(axis, values[:, :, index], limits) for index, axis in enumerate(self.axes_[name])
            ]
        return self
