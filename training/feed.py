"""A process of its own draws slices without end; the training keeps the latest in a pool and draws batches from it."""

import multiprocessing
import os
from multiprocessing.queues import Queue
from queue import Empty, Full

import numpy as np
from numpy.typing import NDArray

from training.generator.labels import Targets
from training.generator.sample import SIDE, draw_sample

_Item = tuple[int, NDArray[np.float16], Targets]


def _draw_forever(first_seed: int, out: "Queue[_Item]") -> None:
    os.nice(4)  # behind the training, which then rather shows a slice twice than waits
    parent = multiprocessing.parent_process()
    seed = first_seed
    while True:
        sample = draw_sample(seed)
        item = (seed, np.minimum(sample.image, 8).astype(np.float16), sample.targets)
        while True:
            if parent is None or not parent.is_alive():  # a killed training must not leave its drawer behind
                out.cancel_join_thread()
                return
            try:
                out.put(item, timeout=20)
                break
            except Full:
                continue
        seed += 1


class Pool:
    """The latest `size` drawn slices. `next_seed` goes into the checkpoint, so that no slice is drawn twice."""

    def __init__(self, size: int, first_seed: int) -> None:
        self.images = np.zeros((size, SIDE, SIDE), dtype=np.float16)
        self.targets = np.ones((size, SIDE, SIDE), dtype=np.uint8)
        self.filled = 0
        self.next_seed = first_seed
        context = multiprocessing.get_context("spawn")
        self._queue: Queue[_Item] = context.Queue(maxsize=64)
        self._process = context.Process(target=_draw_forever, args=(first_seed, self._queue), daemon=True)
        self._drawn = 0
        self._process.start()

    def take_in(self, at_least: int) -> None:
        """Move what has been drawn into the pool, oldest out; wait until it holds `at_least`."""
        while True:
            try:
                seed, image, targets = self._queue.get(block=self.filled < at_least, timeout=60)
            except Empty:
                return
            place = self._drawn % len(self.images)
            self.images[place], self.targets[place] = image, targets
            self._drawn += 1
            self.filled = min(self._drawn, len(self.images))
            self.next_seed = seed + 1

    def close(self) -> None:
        self._process.terminate()
        self._process.join()
