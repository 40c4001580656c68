"""Checkpoints as plain numpy archives: they load without running code, and survive a change of torch."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Arrays = dict[str, NDArray[np.generic]]


def pack(prefix: str, tensors: dict[str, Tensor], half: bool = False) -> Arrays:
    """Tensors under `prefix.`; `half` stores floating ones as 16 bit, for a checkpoint that is committed."""
    arrays: Arrays = {}
    for name, tensor in tensors.items():
        array = tensor.detach().contiguous().numpy()
        arrays[f"{prefix}.{name}"] = array.astype(np.float16) if half and array.dtype == np.float32 else array.copy()
    return arrays


def unpack(prefix: str, arrays: Arrays) -> dict[str, Tensor]:
    """The tensors under `prefix.`, floating ones as 32 bit."""
    tensors = {}
    for name, array in arrays.items():
        if name.startswith(f"{prefix}."):
            widened = array.astype(np.float32) if array.dtype == np.float16 else array
            tensors[name.removeprefix(f"{prefix}.")] = torch.from_numpy(np.array(widened))
    return tensors


def write(path: Path, arrays: Arrays) -> None:
    """Write beside the target and rename, so that a stop never leaves half a checkpoint."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as out:
        np.savez(out, allow_pickle=False, **arrays)
    part.replace(path)


def read(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def optimiser_state(optimiser: torch.optim.Optimizer, net: nn.Module) -> dict[str, Tensor]:
    """Adam's moments by parameter name."""
    state = {}
    for name, parameter in net.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            state[f"{name}:{key}"] = value
    return state


def restore_optimiser(optimiser: torch.optim.Optimizer, net: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back what `optimiser_state` gave; nothing where the checkpoint has none."""
    for name, parameter in net.named_parameters():
        kept = {key.split(":")[1]: value for key, value in state.items() if key.split(":")[0] == name}
        if kept:
            optimiser.state[parameter] = kept
