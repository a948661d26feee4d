"""A table of the nodes of a network: shapes, parameters, work and memory."""

from dataclasses import dataclass, replace
from html import escape
from inspect import Parameter, signature
from math import prod
from textwrap import fill

import numpy as np

from skcnn.layers.base import Layer, Shape
from skcnn.network.graph import Node
from skcnn.network.network import Network

SUMS = ("trained", "not_trained", "multiply_adds", "activation_bytes")
"""Keys of the records that have totals."""

HEADERS = {
    "name": "name",
    "layer": "layer",
    "reads": "reads",
    "output_shape": "output shape",
    "trained": "trained",
    "not_trained": "not trained",
    "multiply_adds": "multiply-adds",
    "activation_bytes": "activation",
}
"""Headers of the columns by key."""

LAYER_WIDTH = 40
"""Longest text of a layer in the table."""

LINE_WIDTH = 100
"""Longest line of the remarks below the table."""

LEGEND = (
    "Parameters that are trained and that are not; multiply-adds of a forward pass of one sample; size of "
    "the output of each layer for one sample, in {}."
)

ASSUMED_DTYPE = "Images of dtype float64 are computed in float64, with twice the size."

UNKNOWN_OUTPUT = (
    "The output layer has a unit for each class. Without y it is not in the totals: {:,} parameters and {:,} "
    "multiply-adds per class."
)


@dataclass(frozen=True, repr=False)
class NetworkSummary:
    """Table of the nodes of a network, returned by ``summary`` of an estimator.

    ``print`` shows aligned text with totals below; a notebook shows an HTML table in the colours of the
    page. ``records`` has the same numbers without units, for ``pandas.DataFrame(summary.records)``.

    Attributes
    ----------
    records : list of dict
        One for each node, in the order of computation, the first for the input:

        - "name" : str, the name of the node. The name of a layer in a container starts with the name of the
          container, ``"res1__conv1"``; the activation of a layer is named after the layer, ``"conv1_relu"``.
        - "layer" : str or None, the layer as Python code; None for the input.
        - "reads" : list of str, the nodes whose results it reads.
        - "output_shape" : tuple of int, the shape for one sample: ``(h, w, c)`` or ``(f,)``.
        - "trained" : int, the number of parameters that have a gradient.
        - "not_trained" : int, the number of all others: running statistics, the count of their updates,
          filters that come from the data.
        - "multiply_adds" : int, for the forward pass of one sample.
        - "activation_bytes" : int, the size of the result for one sample.

        Unknown values are None.
    dtype : str
        The compute dtype, which determines the bytes: "float32" or "float64".
    notes : tuple of str
        Sentences about unknown values.

    Notes
    -----
    Elementwise activations, pooling and additions count no multiply-adds. The results of all nodes together
    need more memory than a network takes at a time, because nodes reuse memory that is no longer needed.

    Examples
    --------
    >>> from skcnn import Conv2D, ConvNetClassifier, MaxPool2D
    >>> clf = ConvNetClassifier([Conv2D(4, activation="relu"), MaxPool2D(4)], image_shape=(8, 8))
    >>> summary = clf.summary(y=["cat", "dog"])
    >>> summary.records[1]["output_shape"], summary.records[1]["trained"]
    ((8, 8, 4), 40)
    >>> summary.totals["trained"]
    74
    """

    records: list[dict]
    dtype: str
    notes: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[str, int]:
        """Sums of the known values of all records: "trained", "not_trained" and so on."""
        return {key: sum(record[key] for record in self.records if record[key] is not None) for key in SUMS}

    def __str__(self):
        table = self._cells()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        pads = [str.rjust if key in SUMS else str.ljust for key in self._columns()]
        rule = "  ".join("-" * width for width in widths)

        def line(cells):
            padded = (pad(cell, width) for pad, cell, width in zip(pads, cells, widths, strict=True))
            return "  ".join(padded).rstrip()

        header, *body, total = map(line, table)
        remarks = (fill(remark, LINE_WIDTH) for remark in self._remarks())
        return "\n".join([header, rule, *body, rule, total, "", *remarks])

    __repr__ = __str__

    def _repr_html_(self):
        """Return the table for a notebook. It sets no colours, so it suits light and dark pages."""
        header, *body, total = self._cells()
        styles = [_html_style(key) for key in self._columns()]

        def row(cells, tag="td", border="border: none"):
            styled = zip(styles, map(escape, cells), strict=True)
            return "".join(
                [
                    "<tr>",
                    *(f'<{tag} style="{border}; {style}">{cell}</{tag}>' for style, cell in styled),
                    "</tr>",
                ]
            )

        return "\n".join(
            [
                '<div style="overflow-x: auto"><table style="border-collapse: collapse">',
                f"<thead>{row(header, 'th', 'border-bottom: 1px solid')}</thead>",
                f"<tbody>{''.join(map(row, body))}</tbody>",
                f"<tfoot>{row(total, 'th', 'border-top: 1px solid')}</tfoot></table>",
                *(f"<p>{escape(remark)}</p>" for remark in self._remarks()),
                "</div>",
            ]
        )

    def _columns(self):
        """Return the keys of the columns; "reads" only if some node reads another than the one before."""
        is_chain = not any(map(_show_reads, [None, *self.records], self.records))
        return [key for key in HEADERS if not (key == "reads" and is_chain)]

    def _cells(self):
        """Return the texts of the table, row by row: headers, nodes, totals."""
        rows = [HEADERS]
        for before, record in zip([None, *self.records], self.records, strict=False):
            shown = {key: _show(key, value) for key, value in record.items()}
            rows.append(shown | {"reads": _show_reads(before, record)})
        rows.append({"name": "total"} | {key: _show(key, value) for key, value in self.totals.items()})
        return [[row.get(key, "") for key in self._columns()] for row in rows]

    def _remarks(self):
        """Return the paragraphs below the table."""
        return [LEGEND.format(self.dtype), *self.notes]


def _show_reads(before: dict | None, record: dict) -> str:
    """Return the nodes that a node reads as text; empty if it only reads the one before."""
    usual = [] if before is None else [before["name"]]
    return "" if record["reads"] == usual else ", ".join(record["reads"])


def _show(key: str, value) -> str:
    """Return an entry of a record as the table shows it."""
    if key == "layer":
        text = value or ""
        return text if len(text) <= LAYER_WIDTH else f"{text[: LAYER_WIDTH - 3]}..."
    if value is None:
        return "?"
    if key == "activation_bytes":
        return size_text(value)
    return f"{value:,}" if key in SUMS else str(value)


def _html_style(key: str) -> str:
    """Return the style of the cells of a column."""
    side = "right" if key in SUMS else "left"
    wrap = "normal" if key in ("layer", "reads") else "nowrap"
    return f"padding: 0.2em 0.6em; text-align: {side}; white-space: {wrap}"


def size_text(n_bytes: int) -> str:
    """Return a number of bytes with a decimal unit.

    Examples
    --------
    >>> size_text(999), size_text(25_088), size_text(1_049_000)
    ('999 B', '25.1 kB', '1.0 MB')
    """
    if n_bytes < 1000:
        return f"{n_bytes} B"
    sizes = [(n_bytes / 1000**power, unit) for power, unit in enumerate(("kB", "MB", "GB", "TB"), start=1)]
    fitting = (f"{size:.1f} {unit}" for size, unit in sizes if size < 999.95)  # rounds to below 1000
    return next(fitting, f"{sizes[-1][0]:.1f} TB")


def as_written(layer: Layer) -> str:
    """Return a layer as one line of Python code, without default values.

    Examples
    --------
    >>> from skcnn.layers import Conv2D
    >>> as_written(Conv2D(filters=16, kernel_size=5, padding="same", activation="relu"))
    "Conv2D(16, 5, activation='relu')"
    """
    arguments, needs_name = [], False
    for name, parameter in signature(type(layer)).parameters.items():
        value = getattr(layer, name)
        value = as_written(value) if isinstance(value, Layer) else repr(value)
        if value == repr(parameter.default):
            needs_name = True  # all parameters after an omitted one need their names
            continue
        needs_name = needs_name or parameter.kind is Parameter.KEYWORD_ONLY
        arguments.append(f"{name}={value}" if needs_name else value)
    return " ".join(f"{type(layer).__name__}({', '.join(arguments)})".split())


def record_of(node: Node, nodes: tuple[Node, ...], param_shapes: dict[str, Shape], dtype: np.dtype) -> dict:
    """Return the record of a node for a :class:`NetworkSummary`.

    Parameters
    ----------
    node : Node
    nodes : tuple of Node
        All nodes of the network.
    param_shapes : dict of str to tuple of int
        Shapes of the parameters of the node.
    dtype : numpy.dtype

    Returns
    -------
    record : dict
    """
    layer = node.layer
    others = () if layer is None else (*layer.buffer_params, *layer.constant_params)
    sizes = {name: prod(shape) for name, shape in param_shapes.items()}
    n_others = sum(size for name, size in sizes.items() if name in others)
    return {
        "name": node.name,
        "layer": None if layer is None else as_written(layer),
        "reads": [nodes[index].name for index in node.inputs],
        "output_shape": node.output_shape,
        "trained": sum(sizes.values()) - n_others,
        "not_trained": n_others,
        "multiply_adds": 0 if layer is None else layer.multiply_adds(node.input_shape),
        "activation_bytes": prod(node.output_shape) * dtype.itemsize,
    }


def summary_of_network(network: Network) -> NetworkSummary:
    """Return the summary of a built network.

    Parameters
    ----------
    network : Network

    Returns
    -------
    summary : NetworkSummary
    """
    records = []
    for node in network.nodes:
        params = network.params.get(node.name, {})
        shapes = {name: value.shape for name, value in params.items()}
        records.append(record_of(node, network.nodes, shapes, network.dtype))
    return NetworkSummary(records, network.dtype.name)


def summary_of_nodes(nodes: tuple[Node, ...], dtype: np.dtype) -> NetworkSummary:
    """Return the summary of a network that is not built, from shapes only.

    Parameters
    ----------
    nodes : tuple of Node
    dtype : numpy.dtype

    Returns
    -------
    summary : NetworkSummary

    Raises
    ------
    MemoryError
        If a layer without ``param_shapes`` cannot allocate its parameters; the message names the layer.
    """
    records = []
    for node in nodes:
        with node.name_errors():  # some layers allocate parameters to find their shapes
            shapes = {} if node.layer is None else node.layer.param_shapes(node.input_shape)
        records.append(record_of(node, nodes, shapes, dtype))
    return NetworkSummary(records, dtype.name)


def with_unknown_output(summary: NetworkSummary) -> NetworkSummary:
    """Return the summary of a network for one class, changed to an unknown number of classes."""
    *records, output = summary.records
    note = UNKNOWN_OUTPUT.format(output["trained"], output["multiply_adds"])
    unknown = {"layer": "Dense(?)", "output_shape": None} | dict.fromkeys(SUMS)
    return replace(summary, records=[*records, output | unknown], notes=(*summary.notes, note))
