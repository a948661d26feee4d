"""Networks as torchvision builds them, with weights drawn at random: the same scores."""

import numpy as np
import pytest
from seeds import SEED

from skcnn.architecture import from_torchvision, mobilenet_v2, resnet18, vgg11_bn
from skcnn.files import classifier_from_weights

torch = pytest.importorskip("torch", reason="networks are held against torchvision, which needs torch")


DECLARED = torch.library.Library("torchvision", "FRAGMENT")


def import_models():
    """Return ``torchvision.models``, which needs none of torchvision's compiled operators.

    Where these are built for another PyTorch than the one at hand (with CUDA, say, or without), importing
    torchvision asks for some of them nevertheless: declare these.
    """
    try:
        return pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    except RuntimeError:
        for name in ("nms", "qnms"):
            DECLARED.define(f"{name}(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")
        return pytest.importorskip("torchvision.models")


models = import_models()

TOLERANCES = {"float32": 1e-5, "float64": 1e-11}

STACKS = {
    "resnet18": resnet18,
    "mobilenet_v2": mobilenet_v2,
    "vgg11_bn": vgg11_bn,
}


def random_network(name, dtype, n_classes=1000):
    """Return a network of torchvision with random weights, running statistics included."""
    torch.manual_seed(SEED)
    network = getattr(models, name)(num_classes=n_classes).to(getattr(torch, dtype)).eval()
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif key.endswith(("running_mean", "bias")):
                value.normal_(std=0.2)
            elif value.ndim == 1:
                value.uniform_(0.5, 1.5)
    return network


def random_images(dtype, size=224):
    return torch.randn(
        1, 3, size, size, dtype=getattr(torch, dtype), generator=torch.Generator().manual_seed(SEED)
    )


@pytest.mark.costly
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", pytest.param("vgg11_bn", marks=pytest.mark.slow)]
)
def test_scores_are_those_of_torchvision(name, dtype):
    network, images = random_network(name, dtype), random_images(dtype)
    with torch.no_grad():
        expected = network(images).numpy()
    weights = from_torchvision(network.state_dict())
    classifier = classifier_from_weights(
        STACKS[name](), weights, range(1000), (3, 224, 224), dtype=dtype, data_format="channels_first"
    )
    scores = classifier.decision_function(images.numpy())
    error = np.abs(scores - expected).max() / np.abs(expected).max()
    assert error <= TOLERANCES[dtype]
