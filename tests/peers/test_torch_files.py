"""Files written by the installed PyTorch, in both containers, are read bit for bit."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from helpers import peer

from gradcam import weights
from gradcam.weights import WeightsError

torch = peer("torch")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore"),  # deprecated types, which are still in files
]
DATA = Path(__file__).parent.parent / "data"
make = runpy.run_path(str(DATA / "make_torch_files.py"))
CONTAINERS = {"zip": True, "stream": False}


@pytest.fixture(params=CONTAINERS)
def saved(request, tmp_path):
    """A function that saves in one of the containers and returns the path."""

    def save(tree, protocol: int = 2) -> Path:
        path = tmp_path / "w.pth"
        is_zip = CONTAINERS[request.param]
        torch.save(tree, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
        return path

    return save


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """Check that names, their order, types, shapes and bits are equal."""
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        assert ours[name].dtype == values.dtype and ours[name].shape == values.shape, name
        assert ours[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("content", ["state_dict", "kinds", "checkpoint"])
def test_all_tensors_in_all_protocols(content, protocol, saved):
    tree = make[content]()
    assert_same(weights.load(saved(tree, protocol)).tensors, make["flat"](tree))


def test_committed_files_equal_those_read_by_pytorch():
    for path in sorted((DATA / "torch").glob("*.pth")):
        theirs = torch.load(path, weights_only=False)
        assert_same(weights.load(path).tensors, make["flat"](theirs))


def test_extreme_values_of_each_type(saved):
    values = [0.0, -0.0, math.inf, -math.inf, math.nan, 6e-8, -1e-40, 1e-310, 65504, 3.4e38, 1e300]
    types = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    tree = {str(t): torch.tensor(values, dtype=t) for t in types}
    assert_same(weights.load(saved(tree)).tensors, make["flat"](tree))


def test_random_views(saved):
    rng = np.random.default_rng(0)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int16):
        tree = {}
        base = torch.from_numpy(rng.integers(-1000, 1000, 500)).to(dtype)
        for i in range(40):
            size = tuple(rng.integers(0, 5, rng.integers(0, 5)).tolist())
            strides = tuple(rng.integers(0, 20, len(size)).tolist())
            tree[str(i)] = torch.as_strided(base, size, strides, int(rng.integers(0, 100)))
        assert_same(weights.load(saved(tree)).tensors, make["flat"](tree))


def test_data_parallel_model_with_optimizer(saved):
    model = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    tree = {
        "optimizer": optimizer.state_dict(),
        "state_dict": model.state_dict(),
        "scheduler": scheduler.state_dict(),
        "classes": ["doctor", "nurse"],
        "seen": {"accuracy": 0.5, 7: None},
    }
    ours = weights.load(saved(tree)).tensors
    assert_same(ours, make["flat"](tree))
    assert "state_dict.module.0.weight" in ours
    assert "optimizer.state.0.momentum_buffer" in ours


def test_tied_parameters(saved):
    one = torch.nn.Parameter(torch.randn(3, 3))
    ours = weights.load(saved({"a": one, "b": one, "c": one.detach().t()})).tensors
    assert ours["a"] is ours["b"] and np.shares_memory(ours["a"], ours["c"])


def test_state_dicts_with_buffers(saved):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).half()
    ours = weights.load(saved(model.state_dict())).tensors
    assert_same(ours, make["flat"](model.state_dict()))
    assert ours["1.num_batches_tracked"].shape == ()


REFUSED = {
    "a model": (
        lambda: torch.nn.Conv2d(1, 1, 1),
        r"torch\.nn\.modules\.conv\.Conv2d|whole pickled",
    ),
    "a tensor": (lambda: torch.ones(3), "single tensor"),
    "a Parameter": (lambda: torch.nn.Parameter(torch.ones(3)), "single tensor"),
    "a list": (lambda: [torch.ones(3)], "a list"),
    "a number": (lambda: 3.5, "not a dictionary"),
    "no tensors": (lambda: {"epoch": 3}, "without tensors"),
    "complex": (lambda: {"a": torch.ones(2, dtype=torch.complex64)}, "torch.ComplexFloatStorage"),
    "sparse": (lambda: {"a": torch.eye(3).to_sparse()}, "_rebuild_sparse_tensor"),
    "quantised": (
        lambda: {"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)},
        "QInt8Storage|_rebuild_qtensor",
    ),
    "a bare storage": (lambda: {"a": torch.ones(2).untyped_storage()}, "torch.storage.Untyped"),
    "a recursive list": (lambda: _recursive(), "a list"),
}


def _recursive() -> list[object]:
    items: list[object] = [torch.ones(2)]
    items.append(items)
    return items


@pytest.mark.parametrize("case", REFUSED)
def test_other_content_than_a_state_dict_is_described(case, saved):
    content, words = REFUSED[case]
    with pytest.raises(WeightsError, match=words):
        weights.load(saved(content()))


def anonymous_bytes() -> int:
    """Memory of this process without mapped files (Linux only)."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        pytest.skip("memory is measured through /proc, which this system does not have")
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) << 10


def vgg16_tensors() -> dict[str, object]:
    """Return full-size tensors in torchvision's order."""
    torch.manual_seed(0)
    tensors, channels, index = {}, 3, 0
    for block in ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3):
        for outputs in block:
            tensors[f"features.{index}.weight"] = torch.randn(outputs, channels, 3, 3)
            tensors[f"features.{index}.bias"] = torch.randn(outputs)
            channels, index = outputs, index + 2
        index += 1
    for i, outputs, inputs in ((0, 4096, 25088), (3, 4096, 4096), (6, 1000, 4096)):
        tensors[f"classifier.{i}.weight"] = torch.randn(outputs, inputs)
        tensors[f"classifier.{i}.bias"] = torch.randn(outputs)
    return tensors


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zip", "stream", "2017"])
def test_full_size_file_is_mapped(form, tmp_path):
    """553 MB, of which almost nothing is read into memory."""
    tensors = vgg16_tensors()
    path = tmp_path / "vgg16.pth"
    if form == "2017":
        path.write_bytes(make["stream_of_2017"](tensors))
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=CONTAINERS[form])
    assert path.stat().st_size > 553e6
    weights.load(DATA / "torch" / "state_dict_zip.pth")  # so that imports do not count
    before = anonymous_bytes()
    ours = weights.load(path).tensors
    assert anonymous_bytes() - before < 4e6
    for name, values in tensors.items():
        assert np.array_equal(ours[name], values.numpy()), name
    assert anonymous_bytes() - before < 20e6
