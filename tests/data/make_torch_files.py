"""Write the small PyTorch files of the tests, and their values (needs PyTorch).

    python tests/data/make_torch_files.py

The files are kept, so that the tests need no PyTorch; ``tests/peers/test_torch_files.py`` writes
others afresh. ``expected.npz`` holds what is in them, floating tensors as float32, by
"FUNCTION/NAME". ``state_dict_2017.pth`` is written as PyTorch 0.2 did it: with
``_rebuild_tensor``, and its storages not aligned.
"""

from __future__ import annotations

import collections
import io
import pickle
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "torch"


def state_dict() -> dict[str, torch.Tensor]:
    """A convolution and a fully connected layer, as torchvision names them."""
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.features = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())
    model.classifier = torch.nn.Sequential(torch.nn.Linear(5, 3))
    return model.state_dict()


def kinds() -> dict[str, object]:
    """A tensor of every type, and every kind of view of a storage."""
    torch.manual_seed(1)
    base = torch.randn(24)
    return {
        "half": torch.randn(4).half(),
        "bfloat16": torch.randn(3, 2).bfloat16(),
        "double": torch.randn(3, dtype=torch.float64),
        "long": torch.tensor([-(2**40), 7]),
        "int": torch.tensor([-7, 2**30], dtype=torch.int32),
        "short": torch.tensor([-7, 300], dtype=torch.int16),
        "char": torch.tensor([-7, 100], dtype=torch.int8),
        "byte": torch.tensor([7, 200], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "whole": base,
        "shared": base[4:10],
        "transposed": base.view(4, 6).t(),
        "strided": base.view(2, 3, 4)[:, ::2, 1:3],
        "expanded": base[:1].expand(5),
    }


def checkpoint() -> dict[str, object]:
    """A checkpoint of a training script: the state, an optimiser and numbers."""
    parameter = torch.nn.Parameter(torch.arange(4.0))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    return {
        "epoch": 90,
        "arch": "vgg16",
        "best": 71.5,
        "losses": [6.9, 2.3],
        "state_dict": {f"module.{name}": value for name, value in state_dict().items()},
        "optimizer": optimizer.state_dict(),
    }


def written_in_2017(tensors: dict[str, torch.Tensor]) -> bytes:
    """The stream of PyTorch 0.2, with keys of storages for which none is aligned."""

    class Rebuilt:
        def __init__(self, key: str, values: torch.Tensor) -> None:
            self.key, self.values = key, values

        def __reduce__(self):
            storage = Key(self.key, self.values.numel())
            shape = (tuple(self.values.shape), self.values.stride())
            return torch._utils._rebuild_tensor, (storage, 0, *shape)

    class Key:
        def __init__(self, key: str, count: int) -> None:
            self.identifier = ("storage", torch.FloatStorage, key, "cpu", count, None)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return value.identifier if isinstance(value, Key) else None

    for digits in (7, 8):
        file = io.BytesIO()
        info = dict(
            protocol_version=1001, little_endian=True, type_sizes=dict(short=2, int=4, long=4)
        )
        for head in (0x1950A86A20F9469CFC6C, 1001, info):
            pickle.dump(head, file, protocol=2)
        keys = [str(10**8 + 48 * i) for i in range(len(tensors))]
        keys[0] = str(10**digits + 1)
        items = zip(tensors.items(), keys, strict=True)
        tree = collections.OrderedDict((name, Rebuilt(key, v)) for (name, v), key in items)
        Pickler(file, protocol=2).dump(tree)
        pickle.dump(sorted(keys), file, protocol=2)
        if file.tell() % 4 == 1:  # as in torchvision's file
            break
    for key in sorted(keys):
        values = tensors[list(tensors)[keys.index(key)]]
        file.write(values.numel().to_bytes(8, "little") + values.numpy().tobytes())
    return file.getvalue()


def flat(tree, prefix: str = "") -> dict[str, np.ndarray]:
    """The tensors of a tree by the reader's names, as NumPy arrays."""
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, torch.Tensor):
            floating = value.is_floating_point()
            found[f"{prefix}{key}"] = (value.detach().float() if floating else value).numpy()
    return found


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    expected = {}
    for make in (state_dict, kinds, checkpoint):
        name = make.__name__
        expected |= {f"{name}/{key}": values for key, values in flat(make()).items()}
        torch.save(make(), FOLDER / f"{name}_zip.pth")
        torch.save(make(), FOLDER / f"{name}_stream.pth", _use_new_zipfile_serialization=False)
    torch.save(state_dict(), FOLDER / "state_dict_protocol4.pth", pickle_protocol=4)
    (FOLDER / "state_dict_2017.pth").write_bytes(written_in_2017(state_dict()))
    np.savez_compressed(FOLDER / "expected.npz", **expected)


if __name__ == "__main__":
    main()
