"""Net, loss and checkpoint: only where torch is installed, which the project's own environment does without."""

from pathlib import Path

import numpy as np
import pytest

from training.generator.labels import BODY, CANAL, CSF, SACRUM, as_targets, bit

torch = pytest.importorskip("torch")


def certain_of(label: int, rows: int = 32, columns: int = 32) -> "torch.Tensor":
    logits = torch.zeros(1, 6, rows, columns)
    logits[:, label] = 9.0
    return logits


def test_the_net_gives_six_logits_a_pixel() -> None:
    from training.net import SegmentationNet

    net = SegmentationNet().eval()
    assert net(torch.zeros(2, 3, 64, 96)).shape == (2, 6, 64, 96)
    assert sum(p.numel() for p in net.parameters()) < 1_500_000


def test_an_allowed_answer_costs_nothing_and_a_forbidden_one_much() -> None:
    from training.loss import segmentation_loss

    either = torch.full((1, 32, 32), bit(BODY, SACRUM), dtype=torch.uint8)
    good = [segmentation_loss(certain_of(one), either)[0].item() for one in (BODY, SACRUM)]
    bad = segmentation_loss(certain_of(CANAL), either)[0].item()
    assert max(good) < 0.05
    assert bad > 3


def test_dice_is_one_for_the_right_answer() -> None:
    from training.loss import segmentation_loss

    targets = torch.from_numpy(as_targets(np.full((1, 32, 32), CSF)))
    _, dice = segmentation_loss(certain_of(CSF), targets)
    assert dice[CSF].item() > 0.99


def test_a_checkpoint_gives_back_net_and_optimiser(tmp_path: Path) -> None:
    from training import checkpoint
    from training.net import SegmentationNet

    torch.manual_seed(0)
    net = SegmentationNet()
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3)
    net(torch.rand(1, 3, 64, 64)).sum().backward()
    optimiser.step()
    path = tmp_path / "checkpoint.npz"
    state = checkpoint.optimiser_state(optimiser, net)
    checkpoint.write(path, {**checkpoint.pack("net", net.state_dict()), **checkpoint.pack("optimiser", state)})
    other = SegmentationNet()
    again = torch.optim.AdamW(other.parameters(), 1e-3)
    other.load_state_dict(checkpoint.unpack("net", checkpoint.read(path)))
    checkpoint.restore_optimiser(again, other, checkpoint.unpack("optimiser", checkpoint.read(path)))
    net.eval()
    other.eval()
    image = torch.rand(1, 3, 64, 32)
    assert torch.equal(net(image), other(image))
    kept = checkpoint.optimiser_state(again, other)
    assert all(torch.equal(value, kept[name]) for name, value in state.items())
    assert not list(tmp_path.glob("*.part"))
