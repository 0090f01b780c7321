"""Measures of robustness against captum's, Quantus's and scikit-image's, on the same input."""

from __future__ import annotations

import nets
import numpy as np
import pytest
from helpers import peer

from gradcam import Layer, Network, measures

torch = peer("torch")
metrics = peer("captum.metrics")
quantus = peer("quantus")
skimage_metrics = peer("skimage.metrics")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
MOST = 1e-5
CLASS = 3
SEED, SAMPLES = 6, 8


def weights():
    rng = np.random.default_rng(1)
    shapes = {"one": (8, 3, 3, 3), "two": (12, 8, 3, 3), "three": (5, 12 * 36)}
    return {
        name: (nets.kernel(rng, *shape), nets.normal(rng, shape[0], scale=0.1))
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def tape():
    """Convolutions are computed by their definition, which rounds less."""
    given = {key: {"weight": w, "bias": b} for key, (w, b) in weights().items()}
    network = Network.from_layers(
        [
            Layer("one", "conv", weights=given["one"], attributes={"padding": 1}),
            Layer("relu1", "relu"),
            Layer("pool", "max_pool", attributes={"kernel": 2}),
            Layer("two", "conv", weights=given["two"], attributes={"padding": 1}),
            Layer("relu2", "relu"),
            Layer("pool2", "max_pool", attributes={"kernel": 2}),
            Layer("flat", "flatten"),
            Layer("three", "linear", weights=given["three"]),
        ],
        conv="direct",
    )
    picture = nets.normal(np.random.default_rng(2), 3, 24, 24)
    return network.forward(picture, input="normalised")


@pytest.fixture(scope="module")
def model():
    """The same network in float64."""
    nn = torch.nn
    parts = {
        "one": nn.Conv2d(3, 8, 3, padding=1),
        "two": nn.Conv2d(8, 12, 3, padding=1),
        "three": nn.Linear(12 * 36, 5),
    }
    for name, (weight, bias) in weights().items():
        parts[name].weight.data = torch.tensor(weight)
        parts[name].bias.data = torch.tensor(bias)
    made = nn.Sequential(
        *(parts["one"], nn.ReLU(), nn.MaxPool2d(2), parts["two"], nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), parts["three"]),
    )
    return made.double().eval()


@pytest.fixture(scope="module")
def x(tape):
    return torch.tensor(np.array(tape.input), dtype=torch.float64)


def gradient(model, x, **options):
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        model(x)[:, CLASS].sum().backward()
    return x.grad


def noise(picture, random):
    return picture + 0.1 * random.standard_normal(picture.shape)


def removal(picture, random):
    """A square of a baseline that is nowhere the picture's value."""
    top, left = random.integers(0, 16, 2)
    found = picture.copy()
    found[:, top : top + 8, left : left + 8] = 0.25
    return found


def copies(perturb, x):
    """The copies that gradcam makes."""
    picture = np.float32(x[0].numpy())
    found = [np.float32(perturb(picture, np.random.default_rng((SEED, n)))) for n in range(SAMPLES)]
    return torch.tensor(np.stack(found), dtype=torch.float64)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("perturb", [noise, removal])
def test_infidelity_of_captum(normalise, perturb, tape, model, x):
    theirs = metrics.infidelity(
        model,
        lambda inputs: (inputs - copies(perturb, x), copies(perturb, x)),
        x,
        gradient(model, x),
        target=CLASS,
        n_perturb_samples=SAMPLES,
        normalize=normalise,
    )
    options = {"samples": SAMPLES, "seed": SEED, "normalise": normalise, "baseline": 0.0}
    ours, nothing = (
        measures.infidelity(tape, each, CLASS, perturbation=perturb, **options)
        for each in (tape.saliency(CLASS), np.zeros((24, 24)))
    )
    # The scaled prediction is close to the score's changes: their squares cancel.
    assert ours == pytest.approx(float(theirs), abs=MOST * (nothing if normalise else ours))


@pytest.mark.parametrize("perturb", [noise, removal])
def test_infidelity_of_contributions_of_captum(perturb, tape, model, x):
    """captum's ``multiply_by_inputs`` with a baseline."""
    baseline = 0.25

    @metrics.infidelity_perturb_func_decorator(multiply_by_inputs=True)
    def perturbed(inputs, baselines):
        return copies(perturb, x)

    theirs = metrics.infidelity(
        model,
        perturbed,
        x,
        (x - baseline) * gradient(model, x),
        baselines=baseline,
        target=CLASS,
        n_perturb_samples=SAMPLES,
        normalize=False,
    )
    ours = measures.infidelity(
        tape,
        tape.integrated_gradients(CLASS, steps=1, quadrature="right", baseline=baseline),
        perturbation=perturb,
        baseline=baseline,
        samples=SAMPLES,
        seed=SEED,
        normalise=False,
    )
    assert ours == pytest.approx(float(theirs), rel=MOST)


def test_infidelity_where_values_are_the_baseline(tape, model, x):
    """Half of the picture is the baseline, noise changes it, and the map is not 0 there."""
    baseline = np.array(tape.input)
    baseline[:, :, ::2] = 0.25

    @metrics.infidelity_perturb_func_decorator(multiply_by_inputs=True)
    def perturbed(inputs, baselines):
        return copies(noise, x)

    theirs = metrics.infidelity(
        *(model, perturbed, x, x * gradient(model, x)),
        baselines=torch.tensor(baseline, dtype=torch.float64),
        target=CLASS,
        n_perturb_samples=SAMPLES,
        normalize=False,
    )
    ours = measures.infidelity(
        *(tape, tape.input_x_gradient(CLASS)),
        perturbation=noise,
        baseline=baseline[0],
        samples=SAMPLES,
        seed=SEED,
        normalise=False,
    )
    assert ours == pytest.approx(float(theirs), rel=MOST)


@pytest.mark.parametrize("perturb", [noise, removal])
def test_sensitivity_of_captum(perturb, tape, model, x):
    theirs = metrics.sensitivity_max(
        lambda inputs: (gradient(model, inputs[0]),),
        x,
        perturb_func=lambda inputs: (copies(perturb, x),),
        n_perturb_samples=SAMPLES,
    )
    ours = measures.max_sensitivity(
        tape, "saliency", CLASS, perturb=perturb, samples=SAMPLES, seed=SEED
    )
    assert ours == pytest.approx(float(theirs), rel=MOST)


def test_sensitivity_of_quantus(tape, model, x):
    given = iter(copies(noise, x).numpy())

    def explained(model, inputs, targets, **_):
        return gradient(model, torch.tensor(np.asarray(inputs), dtype=torch.float64)).numpy()

    metric = quantus.MaxSensitivity(
        nr_samples=SAMPLES,
        perturb_func=lambda arr, **_: next(given).reshape(arr.shape),
        disable_warnings=True,
    )
    (theirs,) = metric(
        model=model,
        x_batch=x.numpy(),
        y_batch=np.array([CLASS]),
        explain_func=explained,
        channel_first=True,
        device="cpu",
    )
    ours = measures.max_sensitivity(
        tape, "saliency", CLASS, perturb=noise, samples=SAMPLES, seed=SEED
    )
    assert ours == pytest.approx(float(theirs), rel=MOST)


def test_uniform_noise_is_that_of_captum(tape, x):
    """The default of both: uniform, up to the radius."""
    from captum.metrics._core.sensitivity import default_perturb_func

    (theirs,) = default_perturb_func(x, 0.02)
    seen = measures._variants.copies(
        tape, measures._sensitivity._uniform(0.02 * measures._variants.unit(tape)), 0, slice(0, 1)
    )
    for changes in (theirs - x, torch.tensor(seen) - x):
        assert 0.0195 < float(abs(changes).max()) <= 0.020001
        assert float(changes.std()) == pytest.approx(0.02 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_complexity_and_sparseness_of_quantus(seed):
    rng = np.random.default_rng(seed)
    maps = np.maximum(rng.standard_normal((4, 1, 20, 30)), -0.3 * seed)
    given = {"model": None, "x_batch": maps, "y_batch": np.zeros(4, int), "a_batch": maps}
    for theirs, ours in (
        (quantus.Complexity, measures.complexity),
        (quantus.Sparseness, measures.sparseness),
    ):
        expected = theirs(abs=True, normalise=False, disable_warnings=True)(**given)
        for each, value in zip(maps, expected, strict=True):
            assert ours(each[0]) == pytest.approx(float(value), abs=MOST)


def test_cascade_of_quantus(tape, model, x, monkeypatch):
    """Quantus draws weights by ``reset_parameters``, which copies those of gradcam here."""
    made = measures.randomised(tape.graph, seed=SEED)

    def reset(module):
        shapes = {tuple(w.shape): name for name, (w, _) in weights().items()}
        drawn = made.layers[shapes[tuple(module.weight.shape)]].weights
        with torch.no_grad():
            module.weight.copy_(torch.tensor(drawn["weight"]))
            module.bias.copy_(torch.tensor(drawn["bias"]))

    for kind in (torch.nn.Conv2d, torch.nn.Linear):
        monkeypatch.setattr(kind, "reset_parameters", reset)

    def explained(model, inputs, targets, **_):
        found = gradient(model, torch.tensor(inputs, dtype=torch.float64))
        return found.abs().amax(1, keepdim=True).numpy()

    for order, independent in (("top_down", False), ("independent", True)):
        metric = quantus.MPRT(layer_order=order, disable_warnings=True, normalise=True)
        theirs = metric(
            model=model,
            x_batch=x.numpy(),
            y_batch=np.array([CLASS]),
            explain_func=explained,
            channel_first=True,
            device="cpu",
        )
        ours = measures.cascading_randomisation(
            tape, "saliency", CLASS, independent=independent, seed=SEED
        )
        values = {key: float(np.ravel(value)[0]) for key, value in theirs.items()}
        found = dict(zip(ours.layers, ours.correlations, strict=True))
        names = {"0": "one", "3": "two", "7": "three"}
        shared = {names[key]: value for key, value in values.items() if key in names}
        assert set(shared) == {"one", "two", "three"}
        for name, value in shared.items():
            assert found[name] == pytest.approx(value, abs=MOST)


@pytest.mark.parametrize("shape", [(11, 11), (24, 40)])
def test_structural_similarity_of_scikit_image(shape):
    a, b = np.random.default_rng(3).uniform(size=(2, *shape))
    theirs = skimage_metrics.structural_similarity(
        *(a, b), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    assert measures.structural_similarity(a, b) == pytest.approx(theirs, abs=1e-12)
