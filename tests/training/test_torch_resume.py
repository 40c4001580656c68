"""A training that was stopped goes on; only where torch is installed."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def test_the_small_checkpoint_and_the_full_one_both_continue(tmp_path: Path) -> None:
    from training import checkpoint
    from training.export import halve
    from training.train import Plan, Trainer

    def plan(folder: str) -> Plan:
        (tmp_path / folder).mkdir(exist_ok=True)
        return Plan(tmp_path / folder, tmp_path / "log.csv", None, 1, 0, 2, 2e-3, 8, 0)

    trainer = Trainer(plan("full"))
    inputs, targets = torch.rand(2, 3, 64, 64), torch.ones(2, 64, 64, dtype=torch.uint8)
    for _ in range(3):
        trainer.learn(inputs, targets, 1e-3)
    trainer.save(77)
    again = Trainer(plan("full"))
    assert (again.step, again.next_seed) == (3, 77)
    for kept, new in zip(trainer.net.state_dict().values(), again.net.state_dict().values(), strict=True):
        assert torch.equal(kept, new)
    (tmp_path / "half").mkdir()
    halve(tmp_path / "full" / "checkpoint.npz", tmp_path / "half" / "checkpoint.npz")
    small = Trainer(plan("half"))
    assert small.step == 3
    weights = checkpoint.pack("average", trainer.average.state_dict())
    for name, array in checkpoint.pack("average", small.average.state_dict()).items():
        assert np.allclose(array, weights[name], atol=2e-3)
    small.learn(inputs, targets, 1e-3)
