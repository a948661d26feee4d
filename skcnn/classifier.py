"""The classifier: its hyperparameters, what its targets are, and its public methods."""

from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from skcnn._sklearn import Interval, StrOptions, fit_context
from skcnn.data.samples import (
    NO_WEIGHT,
    Samples,
    check_classes,
    check_labels,
    check_sample_weight,
    class_weights,
    encode_labels,
)
from skcnn.encoding import register
from skcnn.estimator import NOT_NEGATIVE, BaseConvNet
from skcnn.fitted_attributes import ReadFrom
from skcnn.network.losses import LOSSES, LogLoss


def is_stochastic(estimator) -> bool:
    """Whether training takes minibatches, so that there is a ``partial_fit``; else an AttributeError."""
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is not available with solver='lbfgs', which takes all samples at once"
        )
    return True


def gives_probabilities(estimator) -> bool:
    """Whether the loss gives probabilities; else an AttributeError."""
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

    Trains a stack of convolution, pooling, normalization and fully connected layers by stochastic
    gradient descent, by default on the softmax cross-entropy, in numpy alone. It follows the contract of
    scikit-learn's classifiers, and takes images as they come: flat rows, ``(n, h, w)``,
    ``(n, h, w, c)`` or ``(n, c, h, w)``.

    Parameters
    ----------
    layers : list or tuple, default=None
        Layers between the images and the output, such as ``[Conv2D(32), MaxPool2D()]`` or
        ``[("conv1", Conv2D(32)), ("pool1", MaxPool2D())]``. The output layer and, where needed, a
        :class:`~skcnn.layers.Flatten` are added. "passthrough" stands for no layer. Layers can be searched
        by name, ``conv1__filters``; unnamed ones are called ``conv2d_1``, ``conv2d_2`` and so on. None:
        built from the parameters from ``conv_layer_sizes`` to ``dropout``, which are not used otherwise. As
        elsewhere in scikit-learn, estimators that are given the same Layer object share it; ``fit`` works on
        copies.
    conv_layer_sizes : int, array-like of int or "auto", default="auto"
        Filters of each block of convolution, normalization, activation and pooling. "auto": (32, 64) for
        images whose longer side has less than 16 pixels, (32, 64, 128) up to 31, (32, 64, 128, 256) up to
        63, (32, 64, 128, 256, 512) from there on; fewer with a larger ``pool_size``, two without pooling. Of
        signals, images of one row or column, one block more: (64, 64, 128), (64, 64, 128, 128) and so on.
    kernel_size : int or pair of int, default=3
        Height and width of the filters, in pixels. Images are padded so that convolution keeps their size;
        filters are cut to what they reach of an axis, one pixel of an axis of one.
    pool_size : int or pair of int, default=2
        Height and width of the pooled windows, in pixels. An axis smaller than that is not pooled.
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
        Share of activations dropped after each fully connected layer, in [0, 1).
    image_shape : tuple of int, default=None
        Shape of one image as it is stored: ``(h, w)``, ``(h, w, c)`` or, with
        ``data_format="channels_first"``, ``(c, h, w)``. None: the shape of X without its first axis; flat
        rows of s * s features are square grey images, never colour ones, and of any other number f signals,
        images of shape ``(1, f, 1)``; from 64 features on with a warning.
    data_format : {"channels_last", "channels_first"}, default="channels_last"
        Where the channels of a stored image are. ``fit`` warns where the other place is the likely one, if
        ``image_shape`` is not given.
    input_scaling : {"standardize"}, (mean, deviation) or None, default="standardize"
        "standardize": subtract the mean of each channel of the training data and divide by its deviation, in
        float64 where the training data are of a dtype whose digits are too many for ``dtype``. A pair of
        numbers, or of numbers for each channel: subtract and divide by these, as networks trained elsewhere
        need it.
    init_scaling : {"unit_variance"} or None, default=None
        Scale of initial weights. None: by the number of inputs and the activation. "unit_variance": so that
        the results of each layer with such weights have a variance of one over a minibatch of the training
        samples, for deep stacks without normalization; ``partial_fit`` takes those of its first call.
    init : mapping of str to array, FrozenEstimator or None, default=None
        Initial weights from elsewhere, for all layers that have weights of the same names and shapes; others
        start at random, and ``init_report_`` lists both. A mapping: by "layer/parameter", as ``get_weights``
        returns them. ``FrozenEstimator(clf)``: those of a fitted classifier, and its scaling of images where
        ``input_scaling="standardize"``; with other classes, the output layer starts at random. What layers
        take from the data before training, they do not take where a weight is given.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Type to compute in. "auto": float64 for float64 X, float32 for everything else.
    augmentation : None, "auto" or list, default=None
        Random changes of the images of each minibatch of training, never of those that are predicted or
        validated: objects of :mod:`skcnn.augmentation` such as ``[RandomFlip(), RandomCrop(4), Mixup(0.2)]``.
        They see images as the network does, after ``input_scaling``, one after the other, those that mix
        images last; or pairs of a name and one of them, so that a search finds
        ``augmentation__mixup__alpha``, where unnamed ones are called ``mixup_1``, ``mixup_2`` and so on.
        "passthrough" stands for none. "auto": mirrors and shifts images of three channels, and only shifts
        others, see :func:`~skcnn.augmentation.auto_augmentation`.
    tta : None, "flip" or list, default=None
        Test-time augmentation: scores are averaged over views of each image. "flip": as it is and mirrored,
        ``[RandomFlip()]``. Of a list, all combinations of the views that its augmentations offer; those of
        :class:`~skcnn.augmentation.RandomShift` are three: in place, up and to the left, down and right.
    loss : {"log_loss", "focal", "hinge", "squared_hinge"}, default="log_loss"
        Loss to minimise. "log_loss": softmax cross-entropy. "focal": the same, with less weight on samples
        that are classified well; its probabilities are mostly less certain than they are right. "hinge" and
        "squared_hinge": multiclass support vector machine of Weston and Watkins with margin 1; there is no
        ``predict_proba`` then.
    focal_gamma : float, default=2.0
        How much less weight "focal" gives; 0 is the cross-entropy.
    label_smoothing : float, default=0.0
        Share s of each target that is spread evenly over all K classes, in [0, 1). The loss of such a target
        is the mean over classes, by their shares. Probabilities are then those of smoothed labels: even a
        certain one tends to 1 - s + s / K, so that they are less certain than they are right. Not used by the
        hinge losses, whose targets are margins.
    class_weight : dict, "balanced" or None, default=None
        Factors of the losses by class. "balanced": inversely proportional to the total weight of a class.
    solver : {"adamw", "adam", "nadam", "rmsprop", "adagrad", "sgd", "lbfgs"}, default="adamw"
        Optimizer. "lbfgs": all samples at once, for small data, as in
        :class:`~sklearn.neural_network.MLPClassifier`. An iteration is an epoch, ``tol`` is also the largest
        component of the gradient at which training ends, and the parameters from ``batch_size`` to
        ``averaging_start`` are not used. It needs layers that are not random in training.
    alpha : float or "auto", default="auto"
        How strongly weights decay; biases and normalization are left out. With "adamw", each step multiplies
        them by ``1 - learning rate * alpha``, which must be positive; with the other solvers,
        ``alpha / 2 * sum(weight ** 2)`` is added to the mean loss. "auto": 0.5 with "adamw", else 1e-4.
    batch_size : int or "auto", default="auto"
        Largest number of samples of a minibatch. The minibatches of an epoch are of equal size, give or take
        one sample. "auto": 64 for up to 10,000 samples, 128 above.
    learning_rate : {"constant", "invscaling", "adaptive", "step", "cosine", "one_cycle"}, default="constant"
        Schedule. "invscaling" and "adaptive" as in :class:`~sklearn.neural_network.MLPClassifier`: the
        initial rate divided by the square root of the number of samples seen, or divided by five when
        training stops to improve, down to 1e-6. "step": multiplied by ``step_factor`` every ``step_size``
        epochs. "cosine": down to zero at ``max_iter`` epochs. "one_cycle": up from a 25th during the first
        30 % of ``max_iter`` epochs, then down to almost zero. The last two are not for ``partial_fit``.
    learning_rate_init : float, default=3e-3
        Initial learning rate; with "one_cycle", the largest. The default is for "adamw" with an average of
        weights, which forgives large steps; without one, 1e-3 is usual.
    learning_rate_factors : mapping of str to float or None, default=None
        Factors of the learning rate by the names of layers, or by what these begin with; the longest key
        counts. 0 freezes a layer: its weights stay, its batch normalization uses running statistics, and if
        no layer before it is trained, its backward pass is spared.
    warmup : float, default=0.0
        Epochs during which the learning rate first rises to the initial one.
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
        Added to the denominator of all solvers but "sgd" and "lbfgs".
    clip_norm : float or None, default=None
        Largest Euclidean norm of the gradient of a minibatch; longer ones are scaled down.
    averaging : {"ema", "swa"} or None, default="ema"
        Average of the weights to predict with. "ema": exponential moving average over steps. "swa": equal
        average over the ends of the last epochs, not for ``partial_fit``. The running statistics of batch
        normalization are computed anew for it, by a pass over the training data, or over some 10,000 samples
        of it for each validation, less if ``max_time`` is short; ``partial_fit`` carries them on from call to
        call.
    averaging_decay : float, default=0.999
        Share of the average that a step of "ema" keeps, in [0, 1); less during the first steps.
    averaging_start : float, default=0.75
        Share of the epochs that ``max_iter`` allows before the first one that "swa" averages, in [0, 1).
    max_iter : int or None, default=None
        Largest number of epochs. None: as many as it takes to see 200,000 training samples, repetitions
        included, but at least 10 and at most 50.
    tol : float, default=1e-4
        Improvement of the loss, or of the validation score, that counts.
    n_iter_no_change : int or inf, default=10
        Training ends when more epochs than this in a row brought no improvement; with ``np.inf``, it does
        not end for this reason.
    shuffle : bool, default=True
        Whether each epoch has a new order of the samples.
    early_stopping : bool, default=False
        Whether the validation score decides when to end, and which weights are kept. The validation data
        are those given to ``fit``, or split off the training data.
    validation_fraction : float, default=0.1
        Share of the training data to split off, in (0, 1), stratified by class; a class of two samples or
        more is in both parts. Data too small for that are trained without early stopping, with a warning.
    scoring : str, callable or None, default=None
        Validation score. None: the negative loss, weighted by sample and class weights; else the name of a
        scorer such as "accuracy", or a callable ``scorer(estimator, X, y)``. Scorers of scikit-learn, also
        from ``make_scorer``, are tried once before training; one that fails is refused, as "neg_log_loss" is
        where a class is not among the validation samples. Other callables are called after each epoch only.
    max_time : float or None, default=None
        Seconds that a call of ``fit`` or ``partial_fit`` may take, from its beginning on. Training ends with
        the minibatch under way, early enough for a validation and for the running statistics of an average
        from some 1,000 samples, or as many as there is time for. Not cut short are what comes before training
        (``input_scaling``, starts from the data), one minibatch, an iteration of "lbfgs", a validation, and
        two minibatches of statistics. Results then depend on the speed of the machine.
    warm_start : bool, default=False
        Whether ``fit`` goes on with the network, optimizer and random draws of the last call.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights and the minibatch that scales them, validation split, order of samples,
        augmentation and dropout.
    verbose : bool, default=False
        Whether to print a line for each epoch.

    Attributes
    ----------
    model_ : Model
        All that prediction needs, which ``fit`` replaces as a whole; the attributes of the network are parts
        of it.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Height times width times channels of an image. Packages that compare it with ``X.shape[1]``, as MAPIE
        does, need flat rows: set ``image_shape`` and give them these.
    feature_names_in_ : ndarray of shape (n_columns,)
        Names of the columns of X, defined where they are all strings: one for each feature, or the one of a
        column of images.
    image_shape_ : tuple of int
        ``(height, width, channels)``.
    layers_ : list of (str, Layer)
        The layers that were built, the output layer included.
    network_ : Network
        The layers with their weights: ``network_.params["conv1"]["weight"]``.
    n_params_ : int
        Number of trained weights.
    loss_ : float
        Loss of the last epoch, penalty included (not with "adamw"); nan if none was completed.
    best_loss_ : float or None
        Smallest loss of an epoch since the loss last changed; None if the last call had early stopping.
    loss_curve_ : list of float
        Loss of each epoch.
    batch_losses_ : list of float
        Loss of each minibatch; with "lbfgs", of each iteration.
    validation_scores_ : list of float or None
        Score of each epoch with early stopping, the larger the better; None if there was none.
    best_validation_score_ : float or None
        Largest score; None if the last call had no early stopping.
    history_ : list of dict
        A record for each epoch: "epoch", "step" (minibatches of this epoch and those before), "loss",
        "learning_rate" (of the last minibatch; not with "lbfgs"), "seconds" and, with early stopping,
        "validation_score".
    n_iter_ : int
        Epochs of the last call of ``fit``.
    t_ : int
        Samples trained on, repetitions included.
    init_report_ : dict or None
        Names of weights: "taken" over from ``init``, "new" ones that it did not have, those of "other shape",
        and "unused" ones that the network does not have. None without ``init``.
    n_outputs_ : int
        Number of scores of the network, one for each class.
    out_activation_ : str
        "softmax", or "identity" with "hinge" and "squared_hinge".

    See Also
    --------
    sklearn.neural_network.MLPClassifier : Network of fully connected layers.

    Notes
    -----
    With the same ``random_state`` and the same call, weights and predictions have the same bits on any
    number of threads. The environment variable ``SKCNN_NUM_THREADS`` sets the number; otherwise it follows
    the limits of the BLAS.

    Callbacks of scikit-learn 1.9 and later, which ``set_callbacks`` takes, see ``fit`` as a task with a task
    for each of at most ``max_iter`` epochs, and ``partial_fit`` as one with a single epoch. Their X, y and
    sample weights are those that are trained on, without samples of weight zero and for validation; their
    ``fitted_estimator`` is a copy fitted as if training ended there, with early stopping by the best weights
    until then. If one returns True at the end of an epoch, training ends. An error in a callback leaves the
    estimator as it was.

    ``sample_weight`` equals repetition: exactly with one minibatch an epoch and the same ``max_iter``, in
    expectation else. Samples of weight zero are dropped before anything else.

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
        scoring=None,
        max_time=None,
        warm_start=False,
        random_state=None,
        verbose=False,
    ):
        self.layers = layers
        self.conv_layer_sizes = conv_layer_sizes
        self.kernel_size = kernel_size
        self.pool_size = pool_size
        self.pooling = pooling
        self.normalization = normalization
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.image_shape = image_shape
        self.data_format = data_format
        self.input_scaling = input_scaling
        self.init_scaling = init_scaling
        self.init = init
        self.dtype = dtype
        self.augmentation = augmentation
        self.tta = tta
        self.loss = loss
        self.focal_gamma = focal_gamma
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.learning_rate_factors = learning_rate_factors
        self.warmup = warmup
        self.step_size = step_size
        self.step_factor = step_factor
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.clip_norm = clip_norm
        self.averaging = averaging
        self.averaging_decay = averaging_decay
        self.averaging_start = averaging_start
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        self.max_time = max_time
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train on images and labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n, h, w), (n, h, w, c) or (n, c, h, w)
            Images, of any real dtype. Arrays and memory maps are read batch by batch and not converted
            as a whole. Lists, object arrays, Series and data frames of one column, of images of one shape,
            are stacked.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; None for equal ones.
        X_val : array-like of shape (n_validation, ...), default=None
            Validation images, in a layout that X may have. Needs ``early_stopping=True``.
        y_val : array-like of shape (n_validation,), default=None
            Validation labels.
        sample_weight_val : array-like of shape (n_validation,), default=None
            Validation weights.

        Returns
        -------
        self : ConvNetClassifier

        Raises
        ------
        ValueError
            If a parameter or the data are invalid. The estimator is then as it was.
        TypeError
            If X is sparse or holds objects that are not numbers.

        Warns
        -----
        UserWarning
            If there are too few samples to split off validation samples, if training ends before "swa"
            averages anything, or on an interrupt by Ctrl-C, which is raised after the last complete step, or
            with early stopping the best epoch, is kept; the last step has weights that are not averaged.
        ConvergenceWarning
            If the loss or a weight ceases to be finite; weights of the last good epoch are kept. If "lbfgs"
            finds no smaller loss though the gradient is larger than ``tol``.
        """
        given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        mode = self._begin_call(given_validation=given)
        return self._fit(X, y, sample_weight, mode, given_validation=given)

    @available_if(is_stochastic)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch, going on where the last call stopped.

        Layers, image shape and dtype are those of the first call. ``input_scaling`` follows the mean and the
        deviation of all samples, those of the first call and of each ``partial_fit`` since, which count
        equally and for ever. A chunk of fewer than 8 samples, or of one class, does not stand for the stream
        that it comes from: batch normalization uses running statistics for it, which take it in, see
        :class:`~skcnn.layers.BatchNorm`. What layers take from the data before training, they take from the
        first chunk.

        A network forgets classes that do not come again for many chunks: mix the stream, or take smaller
        steps, such as ``learning_rate_init=1e-3``.

        ``early_stopping``, ``max_iter`` and ``tol`` do not apply, ``max_time`` does. After ``fit`` the
        optimizer begins anew, while an average goes on from the fitted weights, slowly: a smaller
        ``averaging_decay``, or ``averaging=None``, lets predictions follow new samples faster.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n, h, w), (n, h, w, c) or (n, c, h, w)
            Images.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever occur. Required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, relative to the mean of the first call or the last ``fit``. If all are zero,
            nothing is trained; in the first call, at least one must be positive.

        Returns
        -------
        self : ConvNetClassifier

        Raises
        ------
        ValueError
            If a parameter or the data are invalid. The estimator is then as it was.
        TypeError
            If X is sparse or holds objects that are not numbers.
        """
        mode = self._begin_call(is_partial=True)
        if mode.is_fresh and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        if classes is not None:
            classes = check_classes(check_labels(classes, None, name="classes"), type(self).__name__)
            if not mode.is_fresh and not np.array_equal(classes, self.classes_):
                raise ValueError(f"classes={classes} is not the same as on the first call: {self.classes_}")
        return self._fit(X, y, sample_weight, mode, classes=classes)

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        y : ndarray of shape (n_samples,)

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, not made of such images, or so large that a score is not finite.
        """
        model, scores = self._score_images(X)
        return model.classes[scores.argmax(axis=1)]

    @available_if(gives_probabilities)
    def predict_proba(self, X):
        """Predict class probabilities; not there with a hinge loss.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), of the dtype computed in
            Columns in the order of ``classes_``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, not made of such images, or so large that a score is not finite.
        """
        model, scores = self._score_images(X)
        return model.loss.probabilities(scores)

    @available_if(gives_probabilities)
    def predict_log_proba(self, X):
        """Predict logarithms of class probabilities, finite where probabilities underflow.

        Not there with a hinge loss.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), of the dtype computed in
            Columns in the order of ``classes_``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, not made of such images, or so large that a score is not finite.
        """
        model, scores = self._score_images(X)
        return model.loss.log_probabilities(scores)

    def decision_function(self, X):
        """Return the scores that the predicted class is the largest of.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            With two classes, the score of ``classes_[1]`` minus that of ``classes_[0]``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, not made of such images, or so large that a score is not finite.
        """
        model, scores = self._score_images(X)
        return scores[:, 1] - scores[:, 0] if len(model.classes) == 2 else scores

    def _check_samples(self, X, y, sample_weight, classes=None, *, suffix="", may_be_empty=False):
        """Return samples with the codes of their labels, and the classes; see :class:`BaseConvNet`."""
        y = check_labels(y, len(X), name=f"y{suffix}")
        weights = check_sample_weight(sample_weight, len(X), name=f"sample_weight{suffix}")
        rows = np.flatnonzero(weights)
        if not (len(rows) or may_be_empty):
            raise ValueError(NO_WEIGHT.format(f"sample_weight{suffix}"))
        classes = check_classes(y[rows], type(self).__name__) if classes is None else classes
        codes = np.zeros(len(X), np.intp)
        codes[rows] = encode_labels(y[rows], classes, name=f"y{suffix}")
        return Samples(X, codes, weights, rows, given_weights=sample_weight is not None), classes

    def _class_weights(self, samples, classes):
        """Return the factors of ``class_weight``; see :class:`BaseConvNet`."""
        rows = samples.rows
        return class_weights(self.class_weight, classes, samples.codes[rows], samples.weights[rows])

    def _smoothing(self, loss):
        """Return the label smoothing, nil where targets are margins; see :class:`BaseConvNet`."""
        return float(self.label_smoothing) if loss.gives_probabilities else 0.0

    def _aim(self, loss):
        """Return all that the losses of epochs depend on but the data; see :class:`BaseConvNet`."""
        parts = (self.loss, vars(loss), self.label_smoothing, self.class_weight, self.alpha, self.solver)
        return repr(parts)

    def _check_needs_no_foresight(self):
        """Refuse balanced classes, too; see :class:`BaseConvNet`."""
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which does not see all samples: "
                "give the weights as a dict"
            )
        super()._check_needs_no_foresight()

    def _count_outputs(self, X, y):
        """Return the number of classes; see :class:`BaseConvNet`."""
        labels = check_labels(y, None if X is None else len(X))
        if not hasattr(self, "model_"):
            return len(check_classes(labels, type(self).__name__))
        encode_labels(labels, self.classes_)
        return self.n_outputs_
