"""The searches of ``fastsr pulse``: pictures, or the faces in them, in batches and from several seeds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import tee
from pathlib import Path
from time import perf_counter

from torch import Tensor

from ..align import Face
from ..errors import FastsrError
from ..images import Picture
from ..pulse.arguments import Options
from ..pulse.call import Found, search_pictures
from ..pulse.search import State

Cut = Callable[[Picture], tuple[list[Face], list[Picture]]]


@dataclass(frozen=True)
class Result:
    """What a search found for one input, and its share of the seconds that the batch took."""

    found: Found
    seconds: float


@dataclass(eq=False)
class Job:
    """A picture and the searches for it.

    Attributes:
        picture: what came.
        target: what its result is called.
        faces: where the inputs are in it; empty where the picture itself is the input.
        inputs: what to search for.
        results: for each input one from each seed.
        error: why there are no inputs.
    """

    picture: Picture
    target: Path
    faces: list[Face] = field(default_factory=list)
    inputs: list[Picture] = field(default_factory=list)
    results: list[tuple[Result, ...]] = field(default_factory=list)
    error: FastsrError | None = None


Watch = Callable[[Job, int, int, int, Tensor], None]
"""Called after each step with the job, the number of the input, that of the seed, the step, and the best picture."""


class Searches:
    """Searches for the pictures of a call.

    A batch is made of inputs that follow each other and are of one size, from one picture or several. Where it fails,
    its pictures are searched for one by one, so that the one at fault does not keep the others from being found.

    Args:
        options: of the search.
        seeds: each gives a result of its own.
        cut: returns the faces of a picture, and what to search for.
        watch: see `Watch`.
        total: how many inputs there are, for the bar; None where that is not known.
    """

    def __init__(
        self,
        options: Options,
        seeds: Sequence[int],
        cut: Cut,
        watch: Watch | None = None,
        total: int | None = None,
    ):
        self._options, self._seeds, self._cut, self._watch = options, seeds, cut, watch
        self._total = total

    def __call__(self, pictures: Iterator[tuple[Picture, Path]]) -> Iterator[Job]:
        """Yield the job of each picture and target, in their order, done; raise where one fails, after those before."""
        ended, done = False, 0
        while not ended:
            feed = _Feed(pictures, self._cut)
            left = None if self._total is None else self._total - done
            try:
                for results in self._searched(feed, feed.fed, self._options, left):
                    job = feed.jobs[0]
                    job.results.append(results)
                    done += 1
                    if len(job.results) == len(job.inputs):
                        yield feed.jobs.popleft()
            except FastsrError:
                if sum(len(job.inputs) for job in feed.jobs) < 2:
                    raise
                while feed.jobs and feed.jobs[0].error is None:
                    done += len(feed.jobs[0].inputs) - len(feed.jobs[0].results)
                    yield self._alone(feed.jobs.popleft())
            if feed.jobs and feed.jobs[0].error is not None:
                raise feed.jobs[0].error
            ended = feed.ended

    def _alone(self, job: Job) -> Job:
        fed = [(job, number) for number in range(len(job.inputs))]
        job.results = list(self._searched(job.inputs, fed, replace(self._options, batch=1), len(job.inputs)))
        return job

    def _searched(
        self, inputs: Iterable[Picture], fed: Sequence[tuple[Job, int]], options: Options, total: int | None
    ) -> Iterator[tuple[Result, ...]]:
        """Yield for each of `total` inputs the results from all seeds; `fed` has the inputs asked for so far."""
        streams = [
            self._stream(own, fed, number, replace(options, seed=seed), total)
            for number, (seed, own) in enumerate(zip(self._seeds, tee(inputs, len(self._seeds)), strict=True))
        ]
        return zip(*streams, strict=True)

    def _stream(
        self,
        inputs: Iterator[Picture],
        fed: Sequence[tuple[Job, int]],
        number: int,
        options: Options,
        total: int | None,
    ) -> Iterator[Result]:
        rows, step, first = 1, 0, -1

        def callback(_: int, images: Tensor, state: State) -> None:
            nonlocal rows, step, first
            # Not the state's step: starts that do not fit into memory together begin again from 1.
            rows, step, first = len(images), step + 1 if state.first == first else 1, state.first
            if self._watch is not None:
                for image, (job, which) in zip(images, fed[first : first + rows], strict=True):
                    self._watch(job, which, number, step, image)

        stream = search_pictures(((one, "IN") for one in inputs), options, callback, total=total)
        left, seconds = 0, 0.0
        while True:
            begin = perf_counter()
            found = next(stream, None)
            if found is None:
                return
            if not left:
                left, seconds = rows, (perf_counter() - begin) / rows
            left -= 1
            yield Result(found, seconds)


class _Feed:
    """The inputs of pictures, as they are asked for, up to the first picture that has none.

    Attributes:
        jobs: begun and not done.
        fed: the job of each input that was asked for, and its number there.
        ended: whether there are no more pictures.
    """

    def __init__(self, pictures: Iterator[tuple[Picture, Path]], cut: Cut):
        self.jobs: deque[Job] = deque()
        self.fed: list[tuple[Job, int]] = []
        self.ended = False
        self._pictures, self._cut = pictures, cut

    def __iter__(self) -> Iterator[Picture]:
        for picture, target in self._pictures:
            job = Job(picture, target)
            self.jobs.append(job)
            try:
                job.faces, job.inputs = self._cut(picture)
            except FastsrError as error:
                job.error = error
                return
            for number, one in enumerate(job.inputs):
                self.fed.append((job, number))
                yield one
        self.ended = True
