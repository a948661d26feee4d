"""The outputs of a layer as features for other estimators."""

from copy import deepcopy
from math import prod

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from skcnn._sklearn import (
    HasMethods,
    check_feature_names_in,
    fit_context,
    routing_enabled,
)
from skcnn.data.arrays import stack_images
from skcnn.encoding import register
from skcnn.estimator import BaseConvNet, plan_graph
from skcnn.network.named_nodes import names_of_nodes, result_node
from skcnn.pipelines import check_network, feature_node, layer_features, unwrap


@register
class ConvNetFeatures(MetaEstimatorMixin, TransformerMixin, BaseEstimator):
    """The outputs of a layer of a network as features.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
        The network. ``fit`` trains a clone of it, unless ``prefit``. To keep a network trained when a
        Pipeline is cloned, wrap it in :class:`sklearn.frozen.FrozenEstimator`.
    layer : str, default=None
        Name of the layer; an ``activation`` of the layer is part of it. None: the layer before the output
        layer.
    prefit : bool, default=False
        Whether the estimator is fitted; ``fit`` then takes a copy of it and trains nothing. A search or
        cross-validation clones the estimator: within one, wrap it in FrozenEstimator.

    Attributes
    ----------
    estimator_ : estimator
        The fitted network.
    n_features_in_ : int
        Features of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, defined if X has names and all are strings.

    See Also
    --------
    ConvNetClassifier, ConvNetRegressor : The networks.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier, ConvNetFeatures
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> X, y = load_digits(return_X_y=True)
    >>> network = ConvNetClassifier(max_iter=2, random_state=0)
    >>> svm = make_pipeline(ConvNetFeatures(network, layer="dense1"), SVC()).fit(X[:1000], y[:1000])
    >>> svm.score(X[1000:], y[1000:]) > 0.9
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "layer": [str, None],
        "prefit": ["boolean"],
    }

    def __init__(self, estimator, layer=None, *, prefit=False):
        self.estimator = estimator
        self.layer = layer
        self.prefit = prefit

    @fit_context(prefer_skip_nested_validation=False)  # the estimator validates its own parameters
    def fit(self, X, y=None, **fit_params):
        """Train a clone of the network; with ``prefit``, only check that the layer exists.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, as the estimator takes them.
        y : array-like of shape (n_samples,), default=None
            Class labels; not needed for a trained network.
        **fit_params : dict
            Passed to ``fit`` of the estimator, such as ``sample_weight``; routed if metadata routing is
            enabled.

        Returns
        -------
        self : ConvNetFeatures

        Raises
        ------
        NotFittedError
            With ``prefit``, if the estimator is not fitted.
        TypeError
            If the estimator is not a network.
        ValueError
            If the layer does not exist, the network cannot be trained, or ``fit_params`` are given with
            ``prefit``.
        """
        check_network(self.estimator)
        if not self.prefit and self.layer is not None:
            check_planned_layer(self.estimator, self.layer, X)
        if self.prefit and fit_params:
            raise ValueError(
                f"with prefit=True nothing is trained, so fit takes no fit_params, got {sorted(fit_params)}"
            )
        if self.prefit:
            self._check_prefit()
        trained = deepcopy(self.estimator) if self.prefit else self._train(X, y, fit_params)
        feature_node(unwrap(trained)[1].model_, self.layer)
        self.estimator_ = trained
        return self

    def _check_prefit(self):
        """Raise a NotFittedError unless the estimator is fitted."""
        try:
            unwrap(self.estimator)
        except NotFittedError as error:
            raise NotFittedError(
                f"with prefit=True, estimator must be fitted, got a {type(self.estimator).__name__} that is "
                "not; a search or cross-validation clones it, and a clone is not fitted: pass "
                "sklearn.frozen.FrozenEstimator(estimator), which stays fitted"
            ) from error

    def _train(self, X, y, fit_params):
        """Return a trained clone of the estimator."""
        if routing_enabled():
            fit_params = process_routing(self, "fit", **fit_params).estimator.fit
        return clone(self.estimator).fit(X, y, **fit_params)

    def transform(self, X):
        """Return the outputs of the layer.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, as the estimator takes them. Arrays and memory maps are read batch by batch; the other
            steps of a Pipeline transform them as a whole.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), in the compute dtype
            Outputs that are images are flattened, channels last.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X has images of another shape, or values so large that an output is not finite.
        """
        check_is_fitted(self, "estimator_")
        return layer_features(self.estimator_, self.layer, X)

    def get_feature_names_out(self, input_features=None):
        """Return names of features: the layer and the index, or the row, column and channel.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features of X, only checked: they must be the same as in ``fit``. A column of images
            has one name.

        Returns
        -------
        names : ndarray of str of shape (n_features_out,)

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If ``input_features`` differ from those in ``fit``.
        """
        check_is_fitted(self, "estimator_")
        known = getattr(self, "feature_names_in_", input_features)
        is_column = np.size(input_features) == 1 and np.array_equal(known, input_features)
        if not is_column:  # a column of images has one name for all features
            check_feature_names_in(self, input_features, generate_names=False)
        model = unwrap(self.estimator_)[1].model_
        index = feature_node(model, self.layer)
        layer = self.layer or names_of_nodes(model.graph)[index]
        places = np.ndindex(model.network.nodes[index].output_shape)
        return np.array([f"{layer}_{'_'.join(map(str, place))}" for place in places], dtype=object)

    @property
    def _n_features_out(self):
        model = unwrap(self.estimator_)[1].model_
        return prod(model.network.nodes[feature_node(model, self.layer)].output_shape)

    @property
    def n_features_in_(self):
        """Number of features of X."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the features of X."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.feature_names_in_

    def get_metadata_routing(self):
        """Return the routing of metadata: ``fit`` passes it to ``fit`` of the estimator.

        Returns
        -------
        routing : MetadataRouter
        """
        mapping = MethodMapping().add(caller="fit", callee="fit").add(caller="fit_transform", callee="fit")
        return MetadataRouter(owner=type(self).__name__).add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        is_trained = self.prefit or isinstance(self.estimator, FrozenEstimator)
        tags.target_tags.required = not is_trained
        keeps_dtype = not is_trained and getattr(self.estimator, "dtype", None) == "auto"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"] if keeps_dtype else []
        return tags


def check_planned_layer(estimator, layer: str, X) -> None:
    """Raise a ValueError before training if the network will have no layer of this name.

    In a Pipeline, the layers are known in advance only if ``image_shape`` is set. In a search, they may
    change. In these cases, and if X is invalid, the check is left to training.
    """
    network = estimator
    while isinstance(network, Pipeline):
        network = network.steps[-1][1]
    if not isinstance(network, BaseConvNet):
        return
    try:
        shape = np.shape(stack_images(X)) if network is estimator else None
    except ValueError:  # no images, or images of several shapes
        return
    if shape is None or (2 <= len(shape) <= 4 and 0 not in shape[1:]):
        graph = plan_graph(network, shape)
        if graph is not None:
            result_node(graph, layer)
