"""The classifier: its hyperparameters, its targets and its public methods."""

from dataclasses import replace
from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from skcnn._sklearn import Interval, StrOptions, fit_context
from skcnn.data.arrays import shorten
from skcnn.data.samples import Outputs, mean_of_weights
from skcnn.data.targets import (
    check_class_probabilities,
    check_classes,
    check_labels,
    check_targets,
    class_weights,
    encode_labels,
)
from skcnn.encoding import register
from skcnn.estimator import NOT_NEGATIVE, BaseConvNet
from skcnn.fitted_attributes import ReadFrom
from skcnn.network.losses import LOSSES, BinaryLogLoss, LogLoss
from skcnn.training.objective import is_stochastic


def gives_probabilities(estimator) -> bool:
    """Return True if the loss gives probabilities; else raise an AttributeError."""
    fitted = getattr(estimator, "model_", None)
    loss = LOSSES.get(estimator.loss, LogLoss) if fitted is None else type(fitted.loss)
    if not loss.gives_probabilities:
        name = next(name for name, known in LOSSES.items() if known is loss)
        raise AttributeError(
            f"probabilities are not available with loss={name!r}: use decision_function, or "
            "CalibratedClassifierCV"
        )
    return True


@register
class ConvNetClassifier(ClassifierMixin, BaseConvNet):
    """Convolutional network classifier.

    Trains a stack of convolution, pooling, normalization and fully connected layers by stochastic gradient
    descent, in numpy alone. The default loss is the softmax cross-entropy. The classifier follows the
    contract of scikit-learn, and takes images as flat rows, ``(n, h, w)``, ``(n, h, w, c)`` or
    ``(n, c, h, w)``.

    Parameters
    ----------
    layers : list or tuple, default=None
        Layers between the images and the output, such as ``[Conv2D(32), MaxPool2D()]`` or
        ``[("conv1", Conv2D(32)), ("pool1", MaxPool2D())]``. ``fit`` adds the output layer and, where needed,
        a :class:`~skcnn.layers.Flatten`. "passthrough" means no layer. A search reaches the parameters of a
        layer by its name, as in ``conv1__filters``; layers without a name are called ``conv2d_1``,
        ``conv2d_2`` and so on. None: the parameters from ``conv_layer_sizes`` to ``dropout`` define the
        layers; otherwise they are not used. As elsewhere in scikit-learn, estimators that get the same Layer
        object share it; ``fit`` works on copies.
    conv_layer_sizes : int, array-like of int or "auto", default="auto"
        Number of filters of each block. A block is a convolution, normalization, activation and pooling.
        "auto": (32, 64) for images whose longer side has less than 16 pixels, (32, 64, 128) below 32,
        (32, 64, 128, 256) below 64, and (32, 64, 128, 256, 512) for larger ones. A larger ``pool_size`` gives
        fewer blocks; no pooling gives two. Signals (images of one row or column) get one block more:
        (64, 64, 128), (64, 64, 128, 128) and so on.
    kernel_size : int or pair of int, default=3
        Height and width of the filters, in pixels. Convolutions pad the images and so keep their size.
        Filters so large that some weights would only meet padding are made smaller: along an axis of one
        pixel, they have one pixel.
    pool_size : int or pair of int, default=2
        Height and width of the pooling windows, in pixels. An axis smaller than the window is not pooled.
    pooling : {"max", "average"} or None, default="max"
        Kind of pooling at the end of each block.
    normalization : {"batch"} or None, default="batch"
        Kind of normalization between convolution and activation.
    hidden_layer_sizes : int or array-like of int, default=(128,)
        Units of each fully connected layer after the blocks.
    activation : str or layer, default="relu"
        Activation after each convolution and fully connected layer: "relu", "relu6", "leaky_relu", "prelu",
        "elu", "celu", "selu", "gelu", "silu" or "swish", "hard_swish", "mish", "softplus", "logistic" or
        "sigmoid", "hard_sigmoid", "tanh", "softsign", or "identity" for none; or a layer, such as
        ``LeakyReLU(0.2)``.
    dropout : float, default=0.0
        Share of the activations that is dropped after each fully connected layer, in [0, 1).
    image_shape : tuple of int, default=None
        Shape of one image as X stores it: ``(h, w)``, ``(h, w, c)`` or, with
        ``data_format="channels_first"``, ``(c, h, w)``. None: the shape of X without its first axis. Flat
        rows of s * s features then count as square grey images, never as colour images; rows of any other
        number f of features count as signals of shape ``(1, f, 1)``, with a warning from 64 features on.
    data_format : {"channels_last", "channels_first"}, default="channels_last"
        Where the channels of a stored image are. ``fit`` warns if ``image_shape`` is not given and X seems to
        have the other layout.
    input_scaling : {"standardize"}, (mean, deviation) or None, default="standardize"
        "standardize": subtract the mean of each channel of the training data and divide by its standard
        deviation; this is done in float64 if the dtype of X has more digits than ``dtype``. A pair of
        numbers, or of one number for each channel: subtract and divide by these, as networks trained
        elsewhere need it. None: no scaling.
    init_scaling : {"unit_variance"} or None, default=None
        Scale of the initial weights. None: follows from the number of inputs and the activation.
        "unit_variance": the output of each layer with weights gets a variance of one over a minibatch of the
        training samples. This helps deep stacks without normalization. ``partial_fit`` uses the samples of
        its first call.
    init : mapping of str to array, FrozenEstimator or None, default=None
        Initial weights from elsewhere, used wherever the name and shape of a weight match, and none of its
        layer has another shape. All other weights start as without ``init``; ``init_report_`` lists both. A
        mapping: by "layer/parameter", as ``get_weights`` returns them. ``FrozenEstimator(clf)``: the weights
        of a fitted classifier and, with ``input_scaling="standardize"``, its scaling, which then stays,
        unless the number of channels is another; if its classes differ, the output layer starts anew. Layers
        with given weights are not initialized from the data. A pickle of the fitted classifier holds what
        ``init`` holds, too: ``skcnn.save(clf, path, drop="init")`` leaves it out.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Type to compute in. "auto": float64 for float64 X, float32 for everything else.
    augmentation : None, "auto" or list, default=None
        Random changes of the images of each minibatch in training, never in validation or prediction: a list
        of objects of :mod:`skcnn.augmentation` such as ``[RandomFlip(), RandomCrop(4), Mixup(0.2)]``. They
        apply one after the other, those that mix images last, to images after ``input_scaling``. Entries may
        be pairs of a name and an object, for a search over ``augmentation__mixup__alpha``; objects without a
        name are called ``mixup_1``, ``mixup_2`` and so on. "passthrough" means no augmentation. "auto":
        mirrors and shifts images of three channels, and only shifts others; see
        :func:`~skcnn.augmentation.auto_augmentation` for the amounts.
    tta : None, "flip" or list, default=None
        Test-time augmentation: predictions average the scores over several views of each image. "flip": the
        image and its mirror image, the same as ``[RandomFlip()]``. A list of augmentations: all combinations
        of their views; :class:`~skcnn.augmentation.RandomShift` has three: in place, up and to the left, down
        and to the right.
    loss : {"log_loss", "focal", "hinge", "squared_hinge"}, default="log_loss"
        Loss to minimise. "log_loss": softmax cross-entropy. "focal": the same, with less weight on samples
        that are classified well; its probabilities are mostly underconfident. "hinge" and "squared_hinge":
        multiclass support vector machine of Weston and Watkins with margin 1, without ``predict_proba``.
        In multilabel classification, "log_loss" is the sum of the binary cross-entropies of the labels, and
        the others are refused.
    focal_gamma : float, default=2.0
        How strongly "focal" lowers the weight of well classified samples; 0 gives the cross-entropy.
    label_smoothing : float, default=0.0
        Share s of each target that is spread evenly over all K classes, in [0, 1). The loss of a sample is
        then the mean of the losses of the classes, weighted by their shares. The probabilities become
        underconfident: for a class beyond doubt, the probability tends to 1 - s + s / K. In multilabel
        classification, the share of each label is spread over yes and no, and the probability of a label
        beyond doubt tends to 1 - s / 2. The hinge losses ignore this parameter, because their targets are
        margins.
    class_weight : dict, "balanced" or None, default=None
        Factors of the loss by class, relative to their mean. "balanced": inversely proportional to the total
        weight of each class. In multilabel classification, factors of the losses of the labels: keys are the
        numbers of the columns of y, and "balanced" counts the samples that have the label.
    solver : {"adamw", "adam", "nadam", "rmsprop", "adagrad", "sgd", "lbfgs"}, default="adamw"
        Optimizer. "lbfgs": uses all samples at once, for small data, as in
        :class:`~sklearn.neural_network.MLPClassifier`. Then an iteration counts as an epoch, training also
        ends when no component of the gradient is larger than ``tol``, the parameters from ``batch_size`` to
        ``averaging_start`` are not used, and layers must not be random in training.
    alpha : float or "auto", default="auto"
        Weight decay, for all weights except biases and normalization. In each step, "adamw" multiplies the
        weights by ``1 - learning rate * alpha``, which must be positive; the other solvers add
        ``alpha / 2 * sum(weight ** 2)`` to the mean loss. "auto": with "adamw" 0.5 for up to 24,000 samples
        and 12,000 by their number above, else 1e-4.
    batch_size : int or "auto", default="auto"
        Largest number of samples in a minibatch. The minibatches of an epoch differ in size by at most one
        sample. "auto": 64 for up to 10,000 samples, 128 above.
    learning_rate : {"constant", "invscaling", "adaptive", "step", "cosine", "one_cycle"}, default="constant"
        Learning rate schedule. "invscaling" and "adaptive" are those of
        :class:`~sklearn.neural_network.MLPClassifier`: "invscaling" divides the initial rate by the square
        root of the number of samples seen, "adaptive" divides it by five whenever training stops improving,
        down to 1e-6. "step": multiplies the rate by ``step_factor`` every ``step_size`` epochs. "cosine":
        lowers it to zero over ``max_iter`` epochs. "one_cycle": raises it from a 25th during the first 30 %
        of ``max_iter`` epochs, then lowers it to almost zero. ``partial_fit`` refuses the last two.
    learning_rate_init : float, default=3e-3
        Initial learning rate; with "one_cycle", the largest. The default suits "adamw" with averaged weights,
        which tolerates large steps; without averaging, 1e-3 is usual.
    learning_rate_factors : mapping of str to float or None, default=None
        Factors of the learning rate by layer. A key is the name of a layer or the beginning of names; the
        longest matching key counts. 0 freezes a layer: its weights stay, its batch normalization uses running
        statistics, and it needs no backward pass unless a layer before it is trainable. If other layers are
        frozen than in the last call, the optimizer starts anew.
    warmup : float, default=0.0
        Number of epochs over which the learning rate first rises to the initial one.
    step_size : int, default=10
        Epochs between two changes of "step".
    step_factor : float, default=0.1
        Factor of "step", in (0, 1].
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1).
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov's momentum.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay rates of "adam", "adamw" and "nadam", in [0, 1); "rmsprop" uses ``beta_2``.
    epsilon : float, default=1e-8
        Added to the denominator of all solvers except "sgd" and "lbfgs".
    clip_norm : float or None, default=None
        Largest Euclidean norm of the gradient of a minibatch; a larger gradient is scaled down to it.
    averaging : {"ema", "swa"} or None, default="ema"
        Average of the weights, used for prediction. "ema": exponential moving average over steps. "swa":
        plain average of the weights at the end of each of the last epochs; ``partial_fit`` refuses it. The
        running statistics of batch normalization are computed anew for the average, by a pass over the
        training data or, before a validation, over about 10,000 samples, and fewer if ``max_time`` is short.
        ``partial_fit`` updates them from call to call.
    averaging_decay : float, default=0.999
        Share of the average that a step of "ema" keeps, in [0, 1); the first steps keep less.
    averaging_start : float, default=0.75
        Share of the ``max_iter`` epochs after which "swa" starts to average, in [0, 1).
    max_iter : int or None, default=None
        Largest number of epochs. None: as many as it takes to see 200,000 training samples, repetitions
        included, but at least 10 and at most 50.
    tol : float, default=1e-4
        Smallest change of the loss, or of the validation score, that counts as an improvement.
    n_iter_no_change : int or inf, default=10
        Training ends after more than this number of epochs in a row without improvement; ``np.inf`` turns
        this rule off.
    shuffle : bool, default=True
        Whether to draw a new order of the samples for each epoch.
    early_stopping : bool, default=False
        Whether the validation score decides when training ends and which weights are kept. The validation
        data are those given to ``fit``, or are split off from the training data.
    validation_fraction : float, default=0.1
        Share of the training data to split off, in (0, 1), stratified by class; each class of at least two
        samples is in both parts. Multilabel targets are stratified by the rarest that they say of an image,
        such as that it has a rare label, and split at random if that is too much for the samples. If there
        are too few samples for a split, ``fit`` warns and trains without early stopping.
    validation_split : splitter or None, default=None
        Splits off the validation data in place of ``validation_fraction``: its first split is used. With
        ``GroupShuffleSplit(1, random_state=0)``, for example, and the ``groups`` of ``fit``, no group is in
        both parts. Every ``fit`` splits again, with ``warm_start``, too: with a seed, the parts and the bits
        of the results stay the same. ``split`` gets y and the groups and, in place of X, rows without
        columns. Files cannot hold a splitter: ``skcnn.save(clf, path, drop="validation_split")`` leaves it
        out.
    scoring : str, callable or None, default=None
        Validation score. None: the negative loss, weighted by sample and class weights; else the name of a
        scorer such as "accuracy", or a callable ``scorer(estimator, X, y)``. Scorers of scikit-learn, also
        from ``make_scorer``, are tried before training, and an error is raised if they fail: "neg_log_loss",
        for example, needs all classes among the validation samples. Other callables first run after the
        first epoch.
    max_time : float or None, default=None
        Time limit of a call of ``fit`` or ``partial_fit``, in seconds. Training ends with the current
        minibatch, early enough for a validation and for the running statistics of the average: from about
        1,000 samples, or as many as the time allows. A call always completes the work before training
        (``input_scaling``, initialization from the data), compiling kernels, a minibatch, an iteration of
        "lbfgs", a validation, and two minibatches of running statistics. Results then depend on the speed of
        the machine.
    backend : {"numpy", "numba"}, default="numpy"
        What computes in ``fit``, in predictions and in :class:`ConvNetFeatures`; explanations use numpy.
        "numba": compiled kernels, which are faster; ``python -m pip install "skcnn[numba]"``. The first fit
        on a machine compiles them, which takes ten seconds to half a minute. Each step differs by rounding
        between the two, which training amplifies: expect other weights of the same quality. A network that
        one has trained predicts with either. Without Numba, ``fit`` raises an error, and predictions warn and
        use numpy.
    checkpoint : Checkpoint or None, default=None
        Where and how often ``fit`` writes the state of training, from which a later ``fit`` with the same
        hyperparameters and data goes on if the process ends; see :class:`Checkpoint`.
    warm_start : bool, default=False
        Whether ``fit`` continues with the network, optimizer and random draws of the last call.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights and of the minibatch that scales them, the validation split, the order of
        samples, augmentation and dropout.
    verbose : bool, default=False
        Whether to print a line for each epoch.

    Attributes
    ----------
    model_ : Model
        All that prediction needs. ``fit`` replaces it as a whole; the attributes about the network are parts
        of it.
    classes_ : ndarray of shape (n_classes,)
        Class labels; in multilabel classification, the numbers of the columns of y.
    n_features_in_ : int
        Height times width times channels of an image. Packages that compare it with ``X.shape[1]``, such as
        MAPIE, need flat rows: set ``image_shape`` and pass flat rows.
    feature_names_in_ : ndarray of shape (n_columns,)
        Column names of X, defined only if all are strings: one for each feature, or a single one for a column
        of images.
    image_shape_ : tuple of int
        ``(height, width, channels)``.
    layers_ : list of (str, Layer)
        The layers of the network, including the output layer.
    network_ : Network
        The layers with their weights: ``network_.params["conv1"]["weight"]``.
    n_params_ : int
        Number of weights, including frozen ones, without running statistics.
    loss_ : float
        Loss of the last epoch, penalty included (not with "adamw"); nan if no epoch was completed.
    best_loss_ : float or None
        Smallest loss of an epoch since the parameters of the loss last changed; None if the last call had
        early stopping.
    loss_curve_ : list of float
        Loss of each epoch.
    batch_losses_ : list of float
        Loss of each minibatch; with "lbfgs", of each iteration.
    validation_scores_ : list of float or None
        Score of each epoch with early stopping, larger is better; None if there was none.
    best_validation_score_ : float or None
        Largest score; None if the last call had no early stopping.
    history_ : list of dict
        One record for each epoch: "epoch", "step" (minibatches so far), "loss", "learning_rate" (of the last
        minibatch; not with "lbfgs"), "seconds" and, with early stopping, "validation_score".
    n_iter_ : int
        Epochs of the last call of ``fit``.
    t_ : int
        Samples seen in training, repetitions included.
    init_report_ : dict or None
        Names of weights: "taken" from ``init``, "new" (missing in ``init``, or left out: the output layer of
        other classes, all else of a layer with a weight of another shape, counts of running statistics that
        do not fit), of "other shape", and "unused" (missing in the network). None without ``init``.
    n_outputs_ : int
        Number of scores of the network, one for each class or label.
    out_activation_ : str
        "softmax", "identity" with "hinge" and "squared_hinge", or "logistic" in multilabel classification.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : Network of fully connected layers.

    Notes
    -----
    With the same ``random_state`` and the same calls, weights and predictions have the same bits on any
    number of threads. The environment variable ``SKCNN_NUM_THREADS`` sets the number of threads; the default
    follows the limits of the BLAS.

    ``set_callbacks`` takes callbacks of scikit-learn 1.9 and later. They see ``fit`` as a task with at most
    ``max_iter`` subtasks, one for each epoch, and ``partial_fit`` as a task with a single epoch. The X, y and
    sample weights that they get are those used for training, without validation samples and samples of weight
    zero. Their ``fitted_estimator`` is a copy, fitted as if training ended at this point; with early
    stopping, it has the best weights so far. Training ends if a callback returns True at the end of an epoch.
    An error in a callback leaves the estimator unchanged.

    ``sample_weight`` has the same effect as repeated samples: exactly if an epoch is one minibatch and
    ``max_iter`` is the same, otherwise in expectation. Samples of weight zero are dropped first.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = ConvNetClassifier(max_iter=5, random_state=0).fit(X_train, y_train)
    >>> clf.score(X_test, y_test) > 0.95
    True
    """

    _parameter_constraints: dict = {
        **BaseConvNet._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "focal_gamma": [NOT_NEGATIVE],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    _losses, _kinds = LOSSES, ("classes", "labels")

    classes_ = ReadFrom("model_", "classes")

    def __init__(
        self,
        layers=None,
        *,
        conv_layer_sizes="auto",
        kernel_size=3,
        pool_size=2,
        pooling="max",
        normalization="batch",
        hidden_layer_sizes=(128,),
        activation="relu",
        dropout=0.0,
        image_shape=None,
        data_format="channels_last",
        input_scaling="standardize",
        init_scaling=None,
        init=None,
        dtype="auto",
        augmentation=None,
        tta=None,
        loss="log_loss",
        focal_gamma=2.0,
        label_smoothing=0.0,
        class_weight=None,
        solver="adamw",
        alpha="auto",
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=3e-3,
        learning_rate_factors=None,
        warmup=0.0,
        step_size=10,
        step_factor=0.1,
        momentum=0.9,
        nesterovs_momentum=True,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        clip_norm=None,
        averaging="ema",
        averaging_decay=0.999,
        averaging_start=0.75,
        max_iter=None,
        tol=1e-4,
        n_iter_no_change=10,
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        validation_split=None,
        scoring=None,
        max_time=None,
        backend="numpy",
        checkpoint=None,
        warm_start=False,
        random_state=None,
        verbose=False,
    ):
        self._assign(locals())

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        class_probabilities=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        groups=None,
    ):
        """Train on images and labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n, h, w), (n, h, w, c) or (n, c, h, w)
            Images, of any real dtype. Arrays, memory maps, :class:`ImageFiles`, and datasets of HDF5 or zarr
            are read batch by batch, never converted as a whole. Lists, object arrays, Series and data frames
            of one column are stacked; their images must have the same shape.
        y : array-like of shape (n_samples,), or array-like or sparse matrix of shape (n_samples, n_labels)
            Class labels. A matrix of 0 and 1: multilabel classification, with a sigmoid for each label. So
            for one-hot classes, pass ``y.argmax(axis=1)``. Columns are known by their order: those of a data
            frame are not matched by name.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. None: equal weights.
        class_probabilities : array-like of shape (n_samples, n_classes), default=None
            Targets in place of the classes, such as the probabilities of a larger network. A sample counts
            like one sample of each class, weighted by its share. Columns are in the order of the sorted
            classes of y, which tells the classes and stratifies a validation split. A data frame whose
            columns are the classes in another order is refused; other names are not looked at.
        X_val : array-like of shape (n_validation, ...), default=None
            Validation images, in any layout that X may have. They need ``early_stopping=True``.
        y_val : array-like of shape (n_validation,) or (n_validation, n_labels), default=None
            Validation labels. Given validation data are scored by these, also with ``class_probabilities``.
        sample_weight_val : array-like of shape (n_validation,), default=None
            Validation weights.
        groups : array-like of shape (n_samples,), default=None
            Groups of the samples, such as patients, for ``validation_split``.

        Returns
        -------
        self : ConvNetClassifier

        Raises
        ------
        ValueError
            If a parameter or the data are invalid. The estimator stays unchanged.
        TypeError
            If X is sparse or holds objects that are not numbers.

        Warns
        -----
        UserWarning
            If there are too few samples to split off validation samples. If training ends before "swa"
            averages anything. After Ctrl-C: ``fit`` keeps the weights of the last complete step, without
            averaging, or with early stopping those of the best epoch; then it raises KeyboardInterrupt.
        ConvergenceWarning
            If the loss or a weight is no longer finite; ``fit`` keeps the weights of the last good epoch. If
            "lbfgs" finds no smaller loss although the gradient is larger than ``tol``.
        """
        given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val, "groups": groups}
        mode = self._begin_call(given_validation=given)
        return self._fit(
            X, y, sample_weight, mode, given_validation=given, class_probabilities=class_probabilities
        )

    @available_if(is_stochastic)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, class_probabilities=None):
        """Train for one epoch, from where the last call stopped.

        Layers, image shape and dtype stay those of the first call. ``input_scaling="standardize"`` uses the
        mean and deviation of all samples so far, from the first call and every later ``partial_fit``, all of
        equal weight; a scaling taken from ``init`` stays. A chunk of fewer than 8 samples, or of one class,
        does not represent the stream: batch normalization then uses the running statistics, updated with the
        chunk; see :class:`~skcnn.layers.BatchNorm` for the details. Initialization from the data uses the
        first chunk.

        A network forgets classes that do not occur for many chunks: mix the stream, or take smaller steps,
        such as ``learning_rate_init=1e-3``.

        ``early_stopping``, ``max_iter`` and ``tol`` do not apply, ``max_time`` does. After ``fit`` the
        optimizer starts anew, but the average continues from the fitted weights and changes slowly: a smaller
        ``averaging_decay``, or ``averaging=None``, lets predictions follow new samples faster.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n, h, w), (n, h, w, c) or (n, c, h, w)
            Images.
        y : array-like of shape (n_samples,), or array-like or sparse matrix of shape (n_samples, n_labels)
            Class labels, or a matrix of 0 and 1.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever occur; with a matrix, the numbers of its columns, such as ``range(3)``.
            Required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, relative to the mean weight of the first call or the last ``fit``. If all
            are zero, nothing is trained; in the first call, at least one must be positive.
        class_probabilities : array-like of shape (n_samples, n_classes), default=None
            Targets in place of the classes, as in ``fit``; columns are in the order of ``classes_``.

        Returns
        -------
        self : ConvNetClassifier

        Raises
        ------
        ValueError
            If a parameter or the data are invalid. The estimator stays unchanged.
        TypeError
            If X is sparse or holds objects that are not numbers.
        """
        mode = self._begin_call(is_partial=True)
        if mode.is_fresh and classes is None:
            raise ValueError(
                "classes must be passed on the first call to partial_fit; if each image may have several "
                "labels, the numbers of the columns of y, such as range(3)"
            )
        if classes is not None:
            labels = check_labels(classes, None, name="classes", are_classes=True)
            classes = check_classes(labels, type(self).__name__)
            if not mode.is_fresh and not np.array_equal(classes, self.classes_):
                raise ValueError(f"classes={classes} is not the same as on the first call: {self.classes_}")
        return self._fit(X, y, sample_weight, mode, classes=classes, class_probabilities=class_probabilities)

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        y : ndarray of shape (n_samples,), or (n_samples, n_labels) of 0 and 1

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, has images of another shape, or has values so large that a score is not finite.
        """
        model, scores = self._score_images(X)
        if model.loss.kind == "labels":
            return (scores > 0).astype(int)
        return model.classes[scores.argmax(axis=1)]

    @available_if(gives_probabilities)
    def predict_proba(self, X):
        """Predict class probabilities; not available with a hinge loss.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), in the compute dtype
            Columns in the order of ``classes_``. In multilabel classification, each is a probability of its
            own.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, has images of another shape, or has values so large that a score is not finite.
        """
        model, scores = self._score_images(X)
        return model.loss.probabilities(scores)

    @available_if(gives_probabilities)
    def predict_log_proba(self, X):
        """Predict logarithms of class probabilities, which stay finite if the probabilities underflow.

        Not available with a hinge loss.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), in the compute dtype
            Columns in the order of ``classes_``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, has images of another shape, or has values so large that a score is not finite.
        """
        model, scores = self._score_images(X)
        return model.loss.log_probabilities(scores)

    def decision_function(self, X):
        """Return the scores of the classes; the predicted class has the largest.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            With two classes, the score of ``classes_[1]`` minus that of ``classes_[0]``. In multilabel
            classification, a label is predicted where its score is positive.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, has images of another shape, or has values so large that a score is not finite.
        """
        model, scores = self._score_images(X)
        is_binary = model.loss.kind == "classes" and len(model.classes) == 2
        return scores[:, 1] - scores[:, 0] if is_binary else scores

    def _check_samples(self, X, y, sample_weight, known=None, *, class_probabilities=None, **options):
        """Return samples with the codes of their classes, or with a matrix of labels."""
        samples = super()._check_samples(X, y, sample_weight, known, **options)
        if class_probabilities is None:
            return samples
        if samples.outputs.kind == "labels":
            raise ValueError("class_probabilities are for one class of each image, y has several labels")
        shares = check_class_probabilities(class_probabilities, len(X), samples.rows, samples.outputs.classes)
        return replace(samples, class_probabilities=shares)

    def _check_targets(self, y, n_samples, rows=slice(None), known=None, *, name="y", classes=None):
        """Return the codes of classes, or a matrix of labels, and what the scores are for."""
        targets = check_targets(y, n_samples, rows, name=name)
        if known is None:
            known = self._outputs_of(targets[rows], classes)
        expected = (len(targets), *(known.classes.shape if known.kind == "labels" else ()))
        if targets.shape != expected:
            why = "as in the last call" if name == "y" else "as y has"
            raise ValueError(f"{name} must have shape {expected}, {why}, got {targets.shape}")
        if known.kind == "classes":
            codes = np.zeros(len(targets), np.int32)
            codes[rows] = encode_labels(targets[rows], known.classes, name=name)
            return codes, known
        if self.loss != "log_loss":
            raise ValueError(
                f"loss={self.loss!r} is for one class of each image: multilabel targets need loss='log_loss'"
            )
        return targets, known

    def _outputs_of(self, targets, classes):
        """Return what the scores are for, by the targets of a first call and the classes given with them."""
        if targets.ndim == 1:
            name = type(self).__name__
            return Outputs("classes", check_classes(targets, name) if classes is None else classes)
        columns = np.arange(targets.shape[1])
        if classes is not None and not np.array_equal(classes, columns):
            raise ValueError(
                f"classes must be 0 to {columns[-1]}, the numbers of the columns of y, got "
                f"{shorten(classes.tolist())}"
            )
        return Outputs("labels", columns)

    def _class_weights(self, samples):
        """Return the factor that ``class_weight`` gives each class; labels have theirs in the loss."""
        if self.class_weight is None or samples.outputs.kind == "labels":
            return None
        return self._weights_of_outputs(samples)

    def _weights_of_outputs(self, samples):
        shares, rows = samples.class_probabilities, samples.rows
        targets = samples.targets if shares is None else shares
        return class_weights(self.class_weight, samples.outputs.classes, targets[rows], samples.weights[rows])

    def _make_loss(self, samples):
        """Return the loss, in multilabel classification that of several labels."""
        if samples.outputs.kind != "labels":
            return super()._make_loss(samples)
        weights = None
        if self.class_weight is not None:  # relative to their mean, as those of classes are
            weights = self._weights_of_outputs(samples)
            weights = weights / mean_of_weights(weights)
        return BinaryLogLoss(self.label_smoothing, weights)

    def _smoothing(self, loss):
        """Return the label smoothing; 0 for losses whose targets are margins, or which smooth themselves."""
        is_smoothed = loss.kind == "classes" and loss.gives_probabilities
        return float(self.label_smoothing) if is_smoothed else 0.0

    def _aim(self, loss):
        """Return everything except the data that the loss of an epoch depends on, as a string."""
        return super()._aim(loss) + repr((self.label_smoothing, self.class_weight))

    def _check_needs_no_foresight(self):
        """Also refuse balanced class weights."""
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which does not see all samples: "
                "give the weights as a dict"
            )
        super()._check_needs_no_foresight()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.loss == "log_loss"
        return tags
