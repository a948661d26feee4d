"""Saliency maps: which pixels a score depends on."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from skcnn._sklearn import Interval, StrOptions, validate_params
from skcnn.layers.base import as_pair
from skcnn.layers.contract import kind_of
from skcnn.network.model import Model
from skcnn.network.named_nodes import image_node, last_convolved_node
from skcnn.network.score_gradients import ScoreGradients
from skcnn.pipelines import PipelineInput


def plain_gradient(pipeline_input, X, coefficients, options):
    """Return the gradient of the score, in the layout of X."""
    return ScoreGradients(pipeline_input.model).of_images(X, coefficients)


def gradient_times_input(pipeline_input, X, coefficients, options):
    """Return the gradient of the score times the image, in the layout of X."""
    return plain_gradient(pipeline_input, X, coefficients, options) * X


def integrated_gradients(pipeline_input, X, coefficients, options):
    """Return the mean gradient from the baseline to the image, times their difference, in the layout of X."""
    gradients = ScoreGradients(pipeline_input.model)
    start = baseline_images(pipeline_input, X, options["baseline"])
    way = X - start
    mean = np.zeros(X.shape)
    for step in range(options["n_steps"]):
        share = (step + 0.5) / options["n_steps"]
        mean += gradients.of_images(start + share * way, coefficients)
    return mean / options["n_steps"] * way


def smooth_grad(pipeline_input, X, coefficients, options):
    """Return the mean gradient over images with normal noise, in the layout of X."""
    gradients = ScoreGradients(pipeline_input.model)
    rng = check_random_state(options["random_state"])
    deviation = options["noise"] * np.ptp(X, axis=tuple(range(1, X.ndim)), keepdims=True)
    mean = np.zeros(X.shape)
    for _ in range(options["n_samples"]):
        noise = deviation * rng.standard_normal(X.shape)
        mean += gradients.of_images((X + noise).astype(X.dtype), coefficients)
    return mean / options["n_samples"]


def occlusion(pipeline_input, X, coefficients, options):
    """Return how much the score falls when a pixel is covered, as mean over its patches, (n, h, w)."""
    height, width, _ = image_shape = pipeline_input.image_format.image_shape
    size, strides = patches(image_shape, options["patch_size"], options["strides"])
    cover = pipeline_input.as_images(baseline_images(pipeline_input, X, options["baseline"]))
    whole = (pipeline_input.model.scores(pipeline_input.network_input) * coefficients).sum(axis=1)
    falls, n_covers = np.zeros((len(X), height, width)), np.zeros((height, width))
    for top in patch_starts(height, size[0], strides[0]):
        for left in patch_starts(width, size[1], strides[1]):
            where = np.s_[top : top + size[0], left : left + size[1]]
            covered = X.copy()
            pipeline_input.as_images(covered)[:, *where] = cover[:, *where]
            seen = (pipeline_input.model.scores(pipeline_input.forward(covered)) * coefficients).sum(axis=1)
            falls[:, *where] += (whole - seen)[:, np.newaxis, np.newaxis]
            n_covers[where] += 1
    return falls / n_covers


def grad_cam(pipeline_input, X, coefficients, options):
    """Return the positive part of the sum of a layer's maps, weighted by mean gradients, (n, h, w)."""
    layer = options["layer"]
    graph = pipeline_input.model.graph
    index = last_convolved_node(graph) if layer is None else image_node(graph, layer)
    maps = pipeline_input.model.results(X, index)
    gradients = ScoreGradients(pipeline_input.model).of_results(maps, index, coefficients)
    heat = np.maximum(np.einsum("nhwc,nc->nhw", maps, gradients.mean(axis=(1, 2))), 0)
    rows, columns = (
        interpolation(small, large)
        for small, large in zip(heat.shape[1:], pipeline_input.model.format.image_shape[:2], strict=True)
    )
    return rows @ heat @ columns.T


METHODS = {
    "gradient": plain_gradient,
    "gradient_times_input": gradient_times_input,
    "integrated_gradients": integrated_gradients,
    "smooth_grad": smooth_grad,
    "occlusion": occlusion,
    "grad_cam": grad_cam,
}

PIXEL_METHODS = ("occlusion", "grad_cam")
"""Methods whose maps have one value for each pixel, for any channels and layout of X."""


@validate_params(
    {
        "method": [StrOptions(set(METHODS))],
        "layer": [str, None],
        "baseline": ["array-like", Real, None],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def saliency_maps(
    estimator,
    X,
    *,
    method="gradient",
    target=None,
    layer=None,
    baseline=None,
    n_steps=50,
    n_samples=25,
    noise=0.15,
    patch_size=None,
    strides=None,
    random_state=None,
    image_shape=None,
    data_format=None,
):
    r"""Compute how the score of a class depends on the values of images.

    The score :math:`s` is the one before softmax, without test-time augmentation. In a pipeline with
    transformers before the network, "occlusion" covers the images that the pipeline takes and passes them
    through all steps. The other methods need the network and its own input:
    ``saliency_maps(pipeline[-1], pipeline[:-1].transform(X))``.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
        Fitted.
    X : array-like of shape (n_samples, ...)
        Images.
    method : str, default="gradient"
        One of the table below.
    target : label or array-like of shape (n_samples,), default=None
        Class whose score is explained, one for all images or one for each. None: the predicted class, of
        several labels the most likely one. With a regressor, the number of an output; None: the only one.
    layer : str, default=None
        Layer for "grad_cam". Its outputs must be images, and all paths to the scores must pass through it.
        None: the last convolution with an output of more than one pixel, including the normalization,
        activation or sum after it; for a convolution on a branch, the layer that joins the branches.
    baseline : float or array-like in the layout of an image of X, default=None
        Image from which "integrated_gradients" starts, and with which "occlusion" covers. None: the mean
        image that ``input_scaling`` subtracts, or zero without scaling; transformers must be able to invert
        it. If the images before transformers are integers, the baseline is rounded.
    n_steps : int, default=50
        Number of gradients that "integrated_gradients" averages.
    n_samples : int, default=25
        Number of noisy images for "smooth_grad".
    noise : float, default=0.15
        Standard deviation of their noise, as a share of the range of values of the image.
    patch_size : int or pair of int, default=None
        Height and width of the patch that "occlusion" covers. None: a quarter of the longer side.
    strides : int or pair of int, default=None
        Pixels from one patch to the next, at most the patch size. None: half of it.
    random_state : int, RandomState instance or None, default=None
        Seed of the noise.
    image_shape : tuple of int, default=None
        Stored shape of one image of X before transformers, as for ConvNetClassifier; not needed without
        transformers. None: the shape of X without its first axis. Rows with as many values as an image of the
        network have its shape; for other rows, the shape is guessed as in ``fit``.
    data_format : {"channels_last", "channels_first"}, default=None
        Layout of the images of X before transformers; not needed without transformers. None: in images of
        three axes, an axis of length 1, 3 or the network's number of channels shows the layout. Rows of
        colour images need this parameter; grey images do not.

    Returns
    -------
    maps : ndarray of the shape of X, or of shape (n_samples, h, w) for "occlusion" and "grad_cam"
        In the compute dtype of the network.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the estimator is of another kind, or X is sparse.
    ValueError
        If there are transformers and the method is not "occlusion". If there is no ``baseline`` and a
        transformer cannot be inverted; the message names it. If a label or layer does not exist, a parameter
        is invalid, or a score is not finite. If "occlusion" needs ``image_shape`` or ``data_format``.

    Notes
    -----
    ====================== ==============================================================================
    "gradient"             :math:`\nabla s(x)`, Simonyan et al. (2014)
    "gradient_times_input" :math:`x \odot \nabla s(x)`, Shrikumar et al. (2016)
    "integrated_gradients" :math:`(x - b) \odot \int_0^1 \nabla s(b + t (x - b)) \, dt` by the midpoint
                           rule, Sundararajan et al. (2017); the map sums to about :math:`s(x) - s(b)`
    "smooth_grad"          mean of :math:`\nabla s(x + \epsilon)`, Smilkov et al. (2017)
    "occlusion"            :math:`s(x) - s(x')` with a patch of :math:`x'` covered, Zeiler and Fergus (2014)
    "grad_cam"             :math:`\max(0, \sum_k A_k \, \overline{\partial s / \partial A_k})` of the maps
                           :math:`A` of a layer, enlarged by bilinear interpolation, Selvaraju et al. (2017)
    ====================== ==============================================================================

    References
    ----------
    Simonyan, Vedaldi and Zisserman (2014), "Deep inside convolutional networks", ICLR workshop.
    Shrikumar, Greenside, Shcherbina and Kundaje (2016), "Not just a black box", arXiv:1605.01713.
    Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks", ICML.
    Smilkov, Thorat, Kim, Viégas and Wattenberg (2017), "SmoothGrad", arXiv:1706.03825.
    Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", ECCV.
    Selvaraju et al. (2017), "Grad-CAM: visual explanations from deep networks via gradient-based
    localization", ICCV.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.inspection import saliency_maps
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    >>> saliency_maps(clf, X[:5], method="integrated_gradients").shape
    (5, 64)
    >>> saliency_maps(clf, X[:5], method="grad_cam", target=3).shape
    (5, 8, 8)
    """
    pipeline_input = PipelineInput(estimator, X, image_shape=image_shape, data_format=data_format)
    if pipeline_input.transformers and method != "occlusion":
        raise ValueError(
            f"method={method!r} cannot explain images before the transformers "
            f"{[name for name, _ in pipeline_input.transformers]}: call saliency_maps(pipeline[-1], "
            "pipeline[:-1].transform(X)), where pipeline is the best_estimator_ of a search, or use "
            "method='occlusion'"
        )
    check_options(pipeline_input, layer, baseline, patch_size, strides)
    target = explained_target(pipeline_input.model, estimator, X) if target is None else target
    coefficients = np.eye(pipeline_input.model.network.n_outputs)[target_codes(pipeline_input, target)]
    pipeline_input.model.scores(pipeline_input.network_input)  # raises a ValueError unless all are finite
    options = {
        "layer": layer,
        "baseline": baseline,
        "n_steps": n_steps,
        "n_samples": n_samples,
        "noise": noise,
        "patch_size": patch_size,
        "strides": strides,
        "random_state": random_state,
    }
    images = pipeline_input.X
    if not pipeline_input.transformers and images.dtype.kind != "f":  # transformers may depend on the dtype
        images = images.astype(np.float64)
    return METHODS[method](pipeline_input, images, coefficients, options).astype(
        pipeline_input.model.network.dtype
    )


def explained_target(model: Model, estimator, X):
    """Return what is explained if no target is given: the most likely classes or labels, or the only output.

    Raises
    ------
    ValueError
        If a regressor has several outputs.
    """
    if model.loss.kind == "classes":
        return estimator.predict(X)
    if model.loss.kind == "labels":
        return estimator.decision_function(X).argmax(axis=1)
    if len(model.classes) > 1:
        raise ValueError(
            f"target must be the number of an output, from 0 to {len(model.classes) - 1}, got None"
        )
    return 0


def target_codes(pipeline_input: PipelineInput, target) -> np.ndarray:
    """Return the index of the score to explain for each image."""
    labels = np.asarray(target)
    n_images = len(pipeline_input.network_input)
    if labels.ndim and labels.shape != (n_images,):
        raise ValueError(
            f"target must be a label, or one for each of {n_images} images, got an array of shape "
            f"{labels.shape}"
        )
    classes = pipeline_input.model.classes.tolist()
    unknown = sorted({repr(label) for label in labels.ravel().tolist() if label not in classes})
    if unknown:
        what = "classes" if pipeline_input.model.loss.kind == "classes" else "outputs"
        raise ValueError(f"target must be among the {what} {classes}, got {', '.join(unknown)}")
    codes = [classes.index(label) for label in labels.ravel().tolist()]
    return np.broadcast_to(codes, n_images)


def check_options(pipeline_input: PipelineInput, layer, baseline, patch_size, strides) -> None:
    """Raise a ValueError unless all options are valid, for any method; None is always valid."""
    if layer is not None:
        image_node(pipeline_input.model.graph, layer)
    if patch_size is not None:
        as_pair(patch_size, "patch_size")
    if strides is not None:
        as_pair(strides, "strides")
    if baseline is not None:
        check_baseline(pipeline_input, baseline)


def check_baseline(pipeline_input: PipelineInput, baseline) -> None:
    """Raise a ValueError unless a baseline is a number or an image in the layout of X."""
    X = pipeline_input.X
    expected = f"baseline must be a number or an image of shape {X.shape[1:]}"
    try:
        values = np.asarray(baseline)
    except ValueError as error:
        raise ValueError(f"{expected}, got a ragged {kind_of(baseline)}") from error
    sizes = zip(reversed(values.shape), reversed(X.shape), strict=False)
    fits = values.ndim <= X.ndim and all(size in (1, length) for size, length in sizes)
    if values.dtype.kind not in "buif" or not fits:
        raise ValueError(f"{expected}, got {kind_of(values)}")
    may_miss = pipeline_input.transformers and X.dtype.kind == "f"  # a transformer may impute missing values
    if np.isinf(values).any() or (np.isnan(values).any() and not may_miss):
        raise ValueError(f"baseline must be finite where X is of dtype {X.dtype}, got {baseline!r}")


def baseline_images(pipeline_input: PipelineInput, X: np.ndarray, baseline) -> np.ndarray:
    """Return the baseline for each image, in the layout and dtype of X, rounded for integers."""
    if baseline is None:
        baseline = pipeline_input.invert(mean_image(pipeline_input))
    images = np.broadcast_to(np.asarray(baseline, np.float64), X.shape)
    if X.dtype.kind in "iub":
        smallest, largest = (0, 1) if X.dtype.kind == "b" else (np.iinfo(X.dtype).min, np.iinfo(X.dtype).max)
        images = np.clip(np.rint(images), smallest, largest)
    return images.astype(X.dtype)


def mean_image(pipeline_input: PipelineInput) -> np.ndarray:
    """Return the mean image of the scaling of the network, or zero without scaling, as a batch of one."""
    format = pipeline_input.model.format
    image = np.zeros(format.image_shape)
    if format.mean is not None:
        image += format.mean
    if format.channels_first:
        image = image.transpose(2, 0, 1)
    return image.reshape(1, *pipeline_input.network_input.shape[1:])


def patches(image_shape, patch_size, strides) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return height and width of patches, at most those of the image, and the strides.

    Examples
    --------
    >>> patches((28, 12, 1), None, None)
    ((7, 7), (3, 3))
    >>> patches((28, 12, 1), (4, 30), 2)
    ((4, 12), (2, 2))
    """
    height, width, _ = image_shape
    size = max(1, max(height, width) // 4) if patch_size is None else patch_size
    size = tuple(map(min, as_pair(size, "patch_size"), (height, width)))
    if strides is None:
        return size, tuple(max(1, length // 2) for length in size)
    strides = as_pair(strides, "strides")
    if any(stride > length for stride, length in zip(strides, size, strict=True)):
        raise ValueError(f"strides must be at most the size of a patch, {size}, got {strides}")
    return size, strides


def patch_starts(length: int, size: int, stride: int) -> list[int]:
    """Return the starts of patches along an axis; the last patch reaches the end.

    Examples
    --------
    >>> patch_starts(8, 3, 2)
    [0, 2, 4, 5]
    """
    last = length - size
    return sorted({*range(0, last, stride), last})


def interpolation(small: int, large: int) -> np.ndarray:
    """Return the matrix of linear interpolation from one length to another, between centers of pixels.

    Examples
    --------
    >>> interpolation(2, 4)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    centers = (np.arange(large) + 0.5) * small / large - 0.5
    return np.stack([np.interp(centers, np.arange(small), unit) for unit in np.eye(small)], axis=1)
