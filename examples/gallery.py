"""What the examples with figures share: their options, and how a figure is written."""

import argparse
import io
from pathlib import Path

try:
    import matplotlib  # noqa: F401
    from PIL import Image
except ImportError as error:
    raise ImportError("figures need matplotlib and Pillow: python -m pip install -e '.[examples]'") from error


def option_parser(description, figure, *, epochs=None):
    """Return a parser of the options that most examples have; without a number, there is no ``--epochs``."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--figure", default=figure, metavar="FILE", help=f"file to write (default: {figure})")
    parser.add_argument("--dpi", type=int, default=100, help="pixels an inch")
    if epochs is not None:
        parser.add_argument("--epochs", type=int, default=epochs, help="epochs of training")
    return parser


def save(figure, arguments, *, suffix="", colors=256):
    """Write a figure as the options say; a PNG file with a palette, which makes it several times smaller."""
    path = Path(arguments.figure)
    path = path.with_stem(path.stem + suffix)
    if path.suffix.lower() == ".png":
        file = io.BytesIO()
        figure.savefig(file, dpi=arguments.dpi)
        with Image.open(file) as image:
            image.convert("RGB").quantize(colors).save(path, optimize=True)
    else:
        figure.savefig(path, dpi=arguments.dpi)
    print(f"figure: {path}")
