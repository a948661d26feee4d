"""In which order the steps of a network run, and where their results and gradients stand.

The flat list of steps becomes phases. A phase runs on every shard without waiting for the others;
where a layer merges statistics of the whole minibatch, one phase ends and the next begins.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from skcnn.network import Step
from skcnn.units import Unit


class Segment(NamedTuple):
    """Operations that follow each other, all on images or all on vectors.

    An operation is a method of :class:`Unit` and the index of a step.
    """

    on_images: bool
    operations: list[tuple[Callable, int]]


class Program:
    """The phases of a forward and a backward pass, and what must be kept between their segments.

    Parameters
    ----------
    steps : tuple of Step
    trained : set of str or None
        Names of the layers with parameters to train; None in prediction, when no statistics are merged and
        no backward pass follows.
    input_gradient : bool
        Whether the gradient with respect to the images is wanted, too.

    Attributes
    ----------
    steps : tuple of Step
    reads : list of tuple of str
        For each step, which of "X" and "Y" its backward pass reads.
    merging, backward_merging : list of int
        Steps that merge statistics, in the order of the pass; each begins a phase.
    forward, backward : list of list of Segment
        Phases in the order of execution.
    need_gradient : set of int
        Steps whose result needs a gradient.
    gradient_shares : list of tuple of {"first", "further", None}
        For each step, what its backward pass does with the gradient of each input: the first of a result's
        readers to come writes it, further ones add to it; None where nothing reads it.
    homes : dict of {"value", "gradient"} to list of int
        For each step, the one in whose memory its result, or its gradient, stands: its own or, where a layer
        works in place, that of another step.
    kept : dict of {"value", "gradient"} to set of int
        Homes that are read beyond the segment that writes them.
    """

    def __init__(self, steps: tuple[Step, ...], trained: set[str] | None, *, input_gradient: bool = False):
        training = trained is not None
        self.steps = steps
        self.reads = [()] + [step.layer.reads_in_backward(step.input_shape) for step in steps[1:]]
        self.merging = [index for index, step in enumerate(steps) if step.merges] if training else []
        self.need_gradient = self._find_need_gradient(trained, input_gradient) if training else set()
        self.gradient_shares = self._find_gradient_shares()
        self.backward_merging = [index for index in reversed(self.merging) if index in self.need_gradient]
        self.forward = self._phases(range(len(steps)), Unit.statistics, Unit.forward)
        self.backward = self._phases(self._backward_order(), Unit.backward_statistics, Unit.backward)
        self.homes = self._find_homes(training)
        kept = {"value": self._crossing(self.forward), "gradient": self._crossing(self.backward)}
        if training:
            kept["value"] |= self._read_in_backward()
        if input_gradient:
            kept["gradient"].add(0)
        self.kept = {kind: {self.homes[kind][index] for index in kept[kind]} for kind in kept}

    def _find_need_gradient(self, trained, input_gradient):
        needed = {0} if input_gradient else set()
        for index, step in enumerate(self.steps[1:], start=1):
            if step.name in trained or needed.intersection(step.inputs):
                needed.add(index)
        return needed

    def _backward_order(self):
        return sorted(self.need_gradient - {0}, reverse=True)

    def _find_gradient_shares(self):
        shares = [()] * len(self.steps)
        written = set()
        for index in self._backward_order():
            own = []
            for source in self.steps[index].inputs:
                first = source not in written
                written.add(source)
                own.append(None if source not in self.need_gradient else "first" if first else "further")
            shares[index] = tuple(own)
        return shares

    def _find_homes(self, training):
        """Let layers that can write over what they read do so, where nothing else reads it."""
        steps, values, gradients = self.steps, list(range(len(self.steps))), list(range(len(self.steps)))
        n_readers = Counter(source for step in steps for source in step.inputs)
        alone = [
            index
            for index, step in enumerate(steps[1:], start=1)
            if step.layer.declares("works_in_place")
            and n_readers[step.inputs[0]] == 1
            and not (training and "X" in self.reads[index])
        ]
        for index in alone:
            (source,) = steps[index].inputs
            if not (training and "Y" in self.reads[source]):
                values[index] = values[source]
        for index in reversed(alone):
            (source,) = steps[index].inputs
            gradients[source] = gradients[index]
        return {"value": values, "gradient": gradients}

    def _phases(self, order, statistics, operation):
        """Cut an order of steps into phases, before each merging step, and these into segments."""
        phases = [[]]
        for index in order:
            if index in self.merging:
                self._append(phases[-1], statistics, index)
                phases.append([])
            self._append(phases[-1], operation, index)
        return phases

    def _append(self, phase, operation, index):
        on_images = self.steps[index].takes_images
        if not phase or phase[-1].on_images != on_images:
            phase.append(Segment(on_images, []))
        phase[-1].operations.append((operation, index))

    def _crossing(self, phases):
        """Return the steps whose arrays more than one segment touches."""
        touching = {}
        for number, segment in enumerate(segment for phase in phases for segment in phase):
            for operation, index in segment.operations:
                for array in self._touched(operation, index):
                    touching.setdefault(array, set()).add(number)
        return {array for array, segments in touching.items() if len(segments) > 1}

    def _touched(self, operation, index):
        """Return the steps whose arrays an operation reads or writes."""
        inputs = self.steps[index].inputs
        if operation is Unit.statistics:
            return inputs
        if index in self.merging and operation is not Unit.backward:
            return (index,)  # what they need of the input, statistics have kept
        return (index, *inputs)

    def _read_in_backward(self):
        read = set()
        for index in self._backward_order():
            reads = self.reads[index]
            read.update(self.steps[index].inputs if "X" in reads else ())
            read.update((index,) if "Y" in reads else ())
        return read
