"""A display of the pixels that a score depends on."""

import numpy as np

from skcnn.inspection.plotting import (
    as_grey,
    as_names,
    as_picture,
    check_drawable,
    draw_image,
    import_pyplot,
    limits_of,
)
from skcnn.inspection.saliency import METHODS, PIXEL_METHODS, explained_target, saliency_maps, target_codes
from skcnn.pipelines import PipelineInput


class SaliencyDisplay:
    """Images in a row, and below each image its maps by one or several methods.

    Signed maps are red where the score rises with a pixel and blue where it falls; maps of "grad_cam" are
    drawn over the grey image. Each map has a scale of its own.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    images : ndarray of shape (n, h, w, c)
    maps : dict of str to ndarray of shape (n, h, w)
        By method, summed over channels.
    targets : ndarray of shape (n,)
        The class whose score is explained, used as title of each image.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes of shape (1 + n_methods, n)
    images_ : dict of str to list of matplotlib AxesImage
        By method; the key of the images is "input".

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.inspection import SaliencyDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    >>> display = SaliencyDisplay.from_estimator(clf, X[:3], method=["gradient", "occlusion"])
    >>> display.axes_.shape
    (3, 3)
    """

    def __init__(self, images, maps, targets):
        self.images = images
        self.maps = maps
        self.targets = targets

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        method="gradient",
        target=None,
        image_shape=None,
        data_format=None,
        fig=None,
        **options,
    ):
        """Compute maps and draw them.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
            Fitted.
        X : array-like of shape (n_samples, ...)
            Images, as the estimator takes them.
        method : str or sequence of str, default="gradient"
            One or more methods of :func:`saliency_maps`, or "all". With transformers, only "occlusion" works.
        target : label or array-like of shape (n_samples,), default=None
            Class, or number of an output, whose score is explained, as for :func:`saliency_maps`.
        image_shape : tuple of int, default=None
            Stored shape of one image of X, as for :func:`saliency_maps`.
        data_format : {"channels_last", "channels_first"}, default=None
            Layout of the images of X, as for :func:`saliency_maps`.
        fig : matplotlib Figure, default=None
            Where to draw. None: in a new figure.
        **options
            Further parameters of :func:`saliency_maps`, which also lists further errors.

        Returns
        -------
        display : SaliencyDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If ``fig`` is of another kind.
        ValueError
            If ``method`` is not a name, or X does not fit ``image_shape`` or needs ``data_format``.
        """
        import_pyplot(cls.__name__)
        check_drawable(fig, "Figure", "fig")
        methods = list(METHODS) if isinstance(method, str) and method == "all" else as_names(method, "method")
        stored = {"image_shape": image_shape, "data_format": data_format}
        pipeline_input = PipelineInput(estimator, X, **stored)
        predicted = explained_target(pipeline_input.model, estimator, X) if target is None else target
        targets = pipeline_input.model.classes[target_codes(pipeline_input, predicted)]
        maps = {}
        for name in methods:
            found = saliency_maps(estimator, X, method=name, target=targets, **stored, **options)
            maps[name] = found if name in PIXEL_METHODS else pipeline_input.as_images(found).sum(axis=-1)
        return cls(pipeline_input.as_images(pipeline_input.X), maps, targets).plot(fig=fig)

    def plot(self, *, fig=None):
        """Draw images and maps, with parameters as in :meth:`from_estimator`.

        Parameters
        ----------
        fig : matplotlib Figure, default=None

        Returns
        -------
        self : SaliencyDisplay
        """
        plt = import_pyplot(type(self).__name__)
        check_drawable(fig, "Figure", "fig")
        n_rows, n_images = 1 + len(self.maps), len(self.images)
        if fig is None:
            fig = plt.figure(figsize=(1.3 * n_images + 1.2, 1.35 * n_rows + 0.2), layout="constrained")
        self.figure_, self.axes_ = fig, fig.subplots(n_rows, n_images, squeeze=False)
        for axis in self.axes_.ravel():
            axis.set(xticks=[], yticks=[])
        limits = limits_of(self.images)
        self.images_ = {"input": []}
        for axis, image, target in zip(self.axes_[0], self.images, self.targets, strict=True):
            self.images_["input"].append(draw_image(axis, image, limits))
            axis.set_title(target, fontsize=9)
        for axes, (name, maps) in zip(self.axes_[1:], self.maps.items(), strict=True):
            self.images_[name] = [
                draw_heat(axis, values, as_grey(as_picture(image, *limits)))
                if name == "grad_cam"
                else draw_signed(axis, values)
                for axis, values, image in zip(axes, maps, self.images, strict=True)
            ]
            label = name.replace("_", " ")
            axes[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        return self


def draw_signed(axis, values: np.ndarray):
    """Draw a signed map with zero in the middle of the colour scale, and return the artist."""
    largest = float(np.abs(values).max()) or 1.0
    return axis.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest)


def draw_heat(axis, values: np.ndarray, picture: np.ndarray):
    """Draw a map over a grey picture, more opaque for larger values, and return the artist."""
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    largest = float(values.max()) or 1.0
    return axis.imshow(values, cmap="inferno", vmin=0, vmax=largest, alpha=0.75 * values / largest)
