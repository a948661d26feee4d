"""The gradient checker of skcnn for layers that have kinks."""

from skcnn.gradient_check import layer_gradient_error


def error_away_from_kinks(layer, input_shape, **options):
    """Return the error of a layer's gradients for a step of 1e-5, or of 1e-6 where that is too long.

    A wrong gradient is wrong for both. Few steps cross a kink, and a tenth of their length makes it a tenth
    of them; errors that grow with the square of the step are a hundredth, and those of rounding, 1e-16 of
    the loss in 1e-6, are still far below 1e-7.
    """
    error = layer_gradient_error(layer, input_shape, **options)
    return error if error < 1e-7 else layer_gradient_error(layer, input_shape, step=1e-6, **options)
