"""What all trainings share, with a network of one layer."""

from __future__ import annotations

import argparse

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from gradcam.pictograms import _commands, _picture_run, _training_run  # noqa: E402


@pytest.fixture(autouse=True)
def _restore_number_of_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def options(out, *given: str, **defaults: float) -> argparse.Namespace:
    parser = _commands.new_parser("test train", "A test.")
    _training_run.common_options(parser, **defaults)
    return parser.parse_args([f"--out={out}", "--threads=1", *given])


class Numbers(_picture_run.NumberedBatches):
    def drawn(self, numbers: range) -> tuple[torch.Tensor, ...]:
        return (torch.tensor([[float(number)] for number in numbers]),)


class Run(_picture_run.PictureRun[nn.Module]):
    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.seen: list[float] = []
        net = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
        self.start(net, _training_run.adamw(net, 0.1), "one layer")

    def step(self, *batch: torch.Tensor) -> float:
        self.seen += batch[0].flatten().tolist()
        assert self.net.training
        return self.descend((self.net(batch[0]) - 1).square().mean())

    def validate(self) -> str:
        self.net.eval()
        return f"weight {self.net[0].weight.item():.6f}"

    def run(self, last: int) -> None:
        self.train_on(Numbers(self.done, last, self.arguments.batch), self.arguments.rate)


def run(out) -> Run:
    known = {"pictures": 12, "batch": 2, "rate": 0.1, "validate_every": 4, "workers": 0}
    return Run(options(out, **known))


def test_each_worker_draws_its_own_batches(monkeypatch):
    found = []
    for number in range(2):
        worker = argparse.Namespace(id=number, num_workers=2)
        monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda worker=worker: worker)
        found.append([batch.flatten().tolist() for (batch,) in Numbers(4, 12, 2)])
    assert found == [[[4, 5], [8, 9]], [[6, 7], [10, 11]]]


def test_a_run_that_is_resumed_continues_as_if_it_had_not_been_stopped(tmp_path, capsys):
    whole = run(tmp_path / "whole")
    whole.run(12)
    log = (tmp_path / "whole" / "training.log").read_text()
    assert log == capsys.readouterr().out and str(tmp_path) not in log
    lines = log.splitlines()
    assert "'pictures': 12" in lines[0] and lines[1] == "one layer"
    assert [line.split(" pictures")[0].strip() for line in lines[2:]] == ["4", "8", "12"]

    part, step = run(tmp_path / "part"), Run.step

    def stopped(*batch: torch.Tensor) -> float:
        if part.done == 10:
            raise KeyboardInterrupt
        return step(part, *batch)

    part.step = stopped
    with pytest.raises(KeyboardInterrupt):
        part.run(12)
    torch.rand(3)  # the state of the generator is in the checkpoint
    resumed = run(tmp_path / "part")
    assert "resumed at 8 pictures; planned are 12" in capsys.readouterr().out
    resumed.run(12)
    assert resumed.seen == [8, 9, 10, 11]
    assert torch.equal(resumed.net[0].weight, whole.net[0].weight)


def test_a_checkpoint_that_could_not_be_written_leaves_the_previous_one(tmp_path, monkeypatch):
    one = run(tmp_path)
    one.save()
    before = one.checkpoint.read_bytes()

    def full(state: object, path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        one.save()
    assert one.checkpoint.read_bytes() == before


def test_biases_and_normalisation_do_not_decay():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    optimiser = _training_run.adamw(net, 0.3)
    _training_run.set_rate(optimiser, 2.0)
    for weight, decay in ((net[0].weight, 0.3), (net[0].bias, 0.0), (net[1].weight, 0.0)):
        (group,) = [g for g in optimiser.param_groups if any(p is weight for p in g["params"])]
        assert group["weight_decay"] == decay and group["lr"] == 2.0


def test_a_long_gradient_is_made_shorter():
    net = nn.Linear(3, 1)
    optimiser = torch.optim.SGD(net.parameters(), lr=1.0)
    before = nn.utils.parameters_to_vector(net.parameters()).detach()
    loss = 100 * net(torch.ones(1, 3)).sum()
    _training_run.descend(optimiser, loss, clipped=net)
    moved = nn.utils.parameters_to_vector(net.parameters()).detach() - before
    assert moved.norm().item() == pytest.approx(1, rel=1e-4)


def test_options_have_the_given_defaults_and_kinds(tmp_path):
    found = options(tmp_path, "--validate-every=3", validate_every=7, rate=1e-3)
    assert (found.validate_every, found.rate, found.seed, found.threads) == (3, 1e-3, 0, 1)
    assert not hasattr(found, "maps") and not hasattr(found, "epochs")
