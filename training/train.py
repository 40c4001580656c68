"""Train the network: `python -m training.train --out DIR [--spider DIR] [--minutes M] [--cool-down M]`.

Stops at the end of its minutes or on SIGTERM, always after writing a checkpoint, and goes on from the checkpoint in
--out when it is called again. The learning rate is constant after a short warm-up, so that the training can go on
for as long as one likes; --cool-down lets it fall to nothing over the last minutes, which is worth a good point of
Dice. The weights that are used are a running average.
"""

import argparse
import copy
import csv
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training import checkpoint
from training.batches import draw_batch
from training.feed import Pool
from training.loss import segmentation_loss
from training.net import SegmentationNet
from training.spider import SpiderSlices
from training.validate import Case, drawn_cases, drawn_dice, spider_cases, spider_dice

_WARM_UP_STEPS = 200
_AVERAGE = 0.998
_CHECKPOINT_SECONDS = 180
_VALIDATE_STEPS = 500


@dataclass(frozen=True)
class Plan:
    out: Path
    log: Path
    spider: Path | None
    minutes: float
    cool_down_minutes: float
    batch: int
    rate: float
    pool: int
    spider_share: float


class Trainer:
    """The state of a training: network, its running average, optimiser, step, seconds, next seed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.net = SegmentationNet()
        self.average = copy.deepcopy(self.net).eval()
        self.optimiser = torch.optim.AdamW(self.net.parameters(), plan.rate, weight_decay=1e-3)
        self.step, self.seconds, self.next_seed = 0, 0.0, 0
        self.path = plan.out / "checkpoint.npz"
        if self.path.exists():
            self._restore()
        self.smooth_loss: float | None = None

    def _restore(self) -> None:
        arrays = checkpoint.read(self.path)
        average = checkpoint.unpack("average", arrays)
        self.average.load_state_dict(average)
        self.net.load_state_dict(checkpoint.unpack("net", arrays) or average)  # a committed checkpoint has no other
        checkpoint.restore_optimiser(self.optimiser, self.net, checkpoint.unpack("optimiser", arrays))
        step, self.seconds, seed = (float(x) for x in arrays["progress"])
        self.step, self.next_seed = int(step), int(seed)

    def save(self, next_seed: int) -> None:
        arrays = {
            **checkpoint.pack("net", self.net.state_dict()),
            **checkpoint.pack("average", self.average.state_dict()),
            **checkpoint.pack("optimiser", checkpoint.optimiser_state(self.optimiser, self.net)),
            "progress": np.array([self.step, self.seconds, next_seed]),
        }
        checkpoint.write(self.path, arrays)

    def rate(self, left_minutes: float) -> float:
        """The learning rate at this step, `left_minutes` before the end."""
        warm = min(1.0, (self.step + 1) / _WARM_UP_STEPS)
        cool = self.plan.cool_down_minutes
        return self.plan.rate * warm * (min(1.0, max(left_minutes, 0.0) / cool) if cool else 1.0)

    def learn(self, inputs: torch.Tensor, targets: torch.Tensor, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.net.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.net(inputs)
        loss, _ = segmentation_loss(logits.float(), targets)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        value = loss.item()
        self.smooth_loss = value if self.smooth_loss is None else 0.98 * self.smooth_loss + 0.02 * value
        keep = min(_AVERAGE, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for kept, new in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
                if kept.dtype.is_floating_point:
                    kept.lerp_(new, 1 - keep)
                else:
                    kept.copy_(new)


def _log(path: Path, row: dict[str, float | None]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as out:
        writer = csv.DictWriter(out, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def _validated(trainer: Trainer, drawn: list[Case], real: list[Case], rate: float) -> dict[str, float | None]:
    row: dict[str, float | None] = {
        "step": trainer.step,
        "minutes": round(trainer.seconds / 60, 1),
        "rate": round(rate, 6),
        "loss": round(trainer.smooth_loss or 0.0, 4),
    }
    return {**row, **drawn_dice(trainer.average, drawn), **spider_dice(trainer.average, real)}  # None is left blank


def train(plan: Plan) -> None:
    plan.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(plan)
    pool = Pool(plan.pool, trainer.next_seed)
    spider = SpiderSlices.load(plan.spider, held_back=False) if plan.spider else None
    drawn = drawn_cases()
    real = spider_cases(SpiderSlices.load(plan.spider, held_back=True)) if plan.spider else []
    stopping = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    rng = np.random.default_rng([7, trainer.step])
    first_step = trainer.step
    began = last = saved = time.monotonic()
    while not stopping and last - began < plan.minutes * 60:
        pool.take_in(at_least=64)
        inputs, targets = draw_batch(rng, pool, spider, plan.batch, plan.spider_share)
        rate = trainer.rate(plan.minutes - (last - began) / 60)
        prepared = torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)
        trainer.learn(prepared, torch.from_numpy(targets), rate)
        now = time.monotonic()
        trainer.seconds, last = trainer.seconds + now - last, now
        if trainer.step % 50 == 0:
            per = (now - began) / (trainer.step - first_step)
            print(
                f"step {trainer.step} {per:.2f} s/step loss {trainer.smooth_loss:.3f} drawn {pool.next_seed}",
                flush=True,
            )
        if trainer.step % _VALIDATE_STEPS == 0:
            _log(plan.log, _validated(trainer, drawn, real, rate))
        if now - saved > _CHECKPOINT_SECONDS:
            trainer.save(pool.next_seed)
            saved = now
    trainer.save(pool.next_seed)
    _log(plan.log, _validated(trainer, drawn, real, trainer.rate(0.0)))
    pool.close()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="training.train", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the checkpoint; an existing one is continued"
    )
    parser.add_argument("--log", type=Path, default=Path("docs/training/log.csv"))
    parser.add_argument("--spider", type=Path, help="folder of the SPIDER slices (images/, masks/)")
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument(
        "--cool-down", type=float, default=0, help="minutes at the end over which the rate falls to zero"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--pool", type=int, default=5000)
    parser.add_argument("--spider-share", type=float, default=0.12)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args(arguments)
    torch.set_num_threads(a.threads)
    train(Plan(a.out, a.log, a.spider, a.minutes, a.cool_down, a.batch, a.rate, a.pool, a.spider_share))


if __name__ == "__main__":
    main(sys.argv[1:])
