"""Methods are objects in one registry: what is registered anywhere appears everywhere."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import small_pictograms
from click.testing import CliRunner

import gradcam
from gradcam import _registry, pictograms
from gradcam._cli import main
from gradcam._compare import on_one_scale

SOURCES = sorted(Path(gradcam.__file__).parent.rglob("*.py"))


@pytest.fixture
def outside():
    """A method that is no part of gradcam, in five lines."""

    @gradcam.method(title="Squared gradient", source="Somebody 2026", view="map")
    def squared_gradient(tape, objective, *, scale=1.0):
        """The squared gradient. A second sentence."""
        return scale * (objective.gradient(tape, "input") ** 2).sum(2)

    yield squared_gradient
    del gradcam.METHODS._methods["squared_gradient"]


@pytest.fixture(scope="module")
def tape():
    return pictograms.model().forward(pictograms.example("cat_and_dog"))


@pytest.fixture(scope="module")
def batch():
    names = ("cat_and_dog", "flamingo", "penguin_and_snail")
    return pictograms.model().forward([pictograms.example(name) for name in names])


# --- a method from outside ---


def test_it_explains_one_picture(outside, tape):
    found = tape.explain("squared_gradient", "cat")
    np.testing.assert_array_equal(found.raw, (tape.gradient("cat") ** 2).sum(1)[0])
    assert (found.method, found.title, found.view) == (
        "squared_gradient",
        "Squared gradient",
        "map",
    )
    assert found.layer == "input" and found.map.max() == 1
    assert outside is gradcam.METHODS["squared_gradient"]
    np.testing.assert_array_equal(tape.explain(outside, "cat").raw, found.raw)


def test_it_is_an_attribute_of_tapes(outside, tape, batch):
    cat, dog = tape.squared_gradient(["cat", "dog"])
    assert (cat.label, dog.label) == ("cat", "dog")
    found = batch.squared_gradient([["cat", "dog"], ["flamingo"], [None]])
    assert [len(each) for each in found] == [2, 1, 1]
    np.testing.assert_array_equal(found[0][1].raw, dog.raw)
    assert "squared_gradient" in dir(tape)
    assert "second sentence" in tape.squared_gradient.__doc__
    assert outside.summary == "The squared gradient."


def test_it_takes_its_options(outside, tape):
    twice = tape.squared_gradient("cat", scale=2.0)
    np.testing.assert_allclose(twice.raw, 2 * tape.squared_gradient("cat").raw)
    assert outside.options == ("scale",)
    with pytest.raises(TypeError, match=r"no option 'scales'.*scale, on, resize"):
        tape.squared_gradient("cat", scales=2.0)
    with pytest.raises(TypeError, match="no layer can be chosen for squared_gradient"):
        tape.squared_gradient("cat", layer="conv1_1")


def test_it_is_a_column_of_compare(outside, tape):
    figure = gradcam.compare(tape, ["cat"], methods=["grad_cam", "squared_gradient"])
    texts = {text.get_text() for ax in figure.axes for text in ax.texts}
    assert {"Squared gradient", "Somebody 2026"} <= texts


def test_it_is_on_the_command_line(outside, tmp_path):
    arguments = ["explain", str(pictograms.example("cat_and_dog")), "-m", "Squared-gradient"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    (made,) = json.loads(result.stdout)["explanations"]
    assert made["method"] == "squared_gradient" and Path(made["file"]).is_file()
    assert "squared_gradient" in CliRunner().invoke(main, ["explain", "--help"]).output


def test_it_is_measured(outside):
    from gradcam.pictograms._evaluate import evaluate

    network = small_pictograms.network()
    (row,) = evaluate(1, network=network, methods=["squared_gradient"])["rows"]
    assert row["title"] == outside.title and row["figures"]["pointing"]["scenes"] == 1


def test_a_package_offers_methods_through_an_entry_point(tmp_path):
    """An installed distribution is found without any import of it."""
    (tmp_path / "their_package.py").write_text(
        textwrap.dedent(
            """
            import gradcam
            @gradcam.method(title="Negated", source="Nobody 2026", view="magnitude")
            def negated(tape, objective):
                return -objective.gradient(tape, "input")
            """
        )
    )
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gradcam.methods]\nnegated = their_package\nbroken = no_such_module\n"
    )
    program = (
        "import warnings, gradcam\n"
        "tape = gradcam.pictograms.model().forward(gradcam.pictograms.example('flamingo'))\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    print(tape.negated().title, 'negated' in list(gradcam.METHODS))\n"
        "print([str(each.message) for each in caught])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": f"{tmp_path}:{SOURCES[0].parents[1]}", "GRADCAM_CACHE": "off"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Negated True\n")
    assert "no_such_module" in done.stdout and "cannot be loaded" in done.stdout


# --- options ---


def several(
    tape,
    objective,
    *,
    count: int = 3,
    level: float = 0.5,
    deep: bool = False,
    word: str = "mean",
    kind: Literal["one", "two"] = "one",
    pair: tuple[int, int] = (1, 2),
    many: tuple[float, ...] = (1.0,),
    size: int | None = None,
    amount: float | str = "mean",
    free=2.0,
    free_pair=(3, 4),
):
    """The gradient times a level."""
    return level * objective.gradient(tape, "input")


SEVERAL = _registry.Method("several", "Several", "S", "signed", several)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "7", 7),
        ("count", " -2 ", -2),
        ("level", "0.25", 0.25),
        ("level", "1e-3", 0.001),
        ("deep", "true", True),
        ("deep", "False", False),
        ("word", "blur", "blur"),
        ("kind", "two", "two"),
        ("pair", "5,6", (5, 6)),
        ("pair", "5, 6", (5, 6)),
        ("many", "1,2.5,3", (1.0, 2.5, 3.0)),
        ("size", "none", None),
        ("size", "8", 8),
        ("amount", "0.5", 0.5),
        ("amount", "blur", "blur"),
        ("free", "3", 3.0),
        ("free_pair", "5,6", (5, 6)),
    ],
)
def test_options_are_read_from_text(name, text, value):
    found = SEVERAL.read_option(name, text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("count", "1.5", "count must be an integer, got '1.5'"),
        ("level", "high", "level must be a number"),
        ("deep", "1", "deep must be true or false"),
        ("kind", "three", "kind must be 'one' or 'two'"),
        ("pair", "5", r"pair must be numbers separated by commas \(2 of them\)"),
        ("pair", "5,x", "pair must be numbers"),
        ("many", "x", "many must be numbers separated by commas, got"),
        ("size", "all", "size must be an integer or none"),
    ],
)
def test_text_that_is_no_value_of_an_option_is_refused(name, text, words):
    with pytest.raises(ValueError, match=words):
        SEVERAL.read_option(name, text)


def test_options_that_do_not_exist_cannot_be_read():
    for ask in (lambda: SEVERAL.read_option("cuont", "1"), lambda: SEVERAL.default("cuont")):
        with pytest.raises(TypeError, match="several has no option 'cuont'; its options are count"):
            ask()


def test_a_method_with_other_defaults(tape):
    twice = SEVERAL.with_options(level=2.0, pair=(3, 3))
    assert (twice.name, twice.view, twice.options) == ("several", "signed", SEVERAL.options)
    assert twice.title == "Several (level 2, pair (3, 3))"
    assert SEVERAL.with_options(title="Strong", level=2.0).title == "Strong"
    assert (twice.default("level"), SEVERAL.default("level"), twice.default("count")) == (2, 0.5, 3)
    assert twice.summary == SEVERAL.summary == "The gradient times a level."
    assert twice.read_option("level", "3") == 3.0
    weak, strong = tape.explain(SEVERAL, "cat"), tape.explain(twice, "cat")
    np.testing.assert_allclose(strong.raw, 4 * weak.raw, rtol=1e-6)
    assert strong.title == twice.title
    np.testing.assert_array_equal(tape.explain(twice, "cat", level=0.5).raw, weak.raw)
    again = twice.with_options(title=twice.title, level=1.0)
    np.testing.assert_allclose(tape.explain(again, "cat").raw, 2 * weak.raw, rtol=1e-6)
    assert again.title == twice.title
    thrice = twice.with_options(level=1.0, count=5)
    assert thrice.title == "Several (level 1, pair (3, 3), count 5)"
    assert "…" in SEVERAL.with_options(free=np.zeros((9, 9))).title
    with pytest.raises(TypeError, match=r"no option 'levle'; .*free_pair$"):
        SEVERAL.with_options(levle=1.0)


def test_compare_tells_other_options_apart(outside, tape):
    methods = [outside, outside.with_options(scale=2.0), outside.with_options(title="Mine")]
    figure = gradcam.compare(tape, ["cat"], methods=methods)
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    titles = [text.replace("\n", " ") for text in texts]
    assert titles.count("Squared gradient") == 2 and "Mine" in titles
    assert "scale 2" in texts and texts.count("Somebody 2026") == 2


def test_compare_tells_scores_and_probabilities_apart(tape):
    targets = [gradcam.Class("cat"), gradcam.Probability("cat")]
    figure = gradcam.compare(tape, targets, methods=["saliency"])
    texts = [text.get_text().replace("\n", " ") for ax in figure.axes for text in ax.texts]
    assert {"cat", "probability of cat"} <= set(texts)


# --- views ---


def shown(view, raw):
    """A method that returns these raw values for every objective."""

    def function(tape, objective):
        shape = (objective.count, len(tape), *raw.shape)
        return np.broadcast_to(np.asarray(raw, np.float32), shape)

    return _registry.Method("shown", "Shown", "S", view, function)


def test_a_range_is_shown_from_its_minimum_to_its_maximum(tape, tmp_path):
    raw = np.linspace(-3, 1, 64).reshape(8, 8)
    found = tape.explain(shown("range", raw), "cat")
    np.testing.assert_allclose(found.evidence, raw + 3, atol=1e-6)
    assert found.map.min() == 0 and found.map.max() == 1 and found.over_picture
    plain = tape.explain(shown("map", raw), "cat")
    assert not plain.map[:100].any() and found.map[100:].min() > 0.1
    np.testing.assert_array_equal(found.image, found.overlay())
    assert "0 is the minimum of all values, 1 their maximum" in found.caption
    assert "values from -3 to 1." in found.caption and "largest value" not in found.caption
    assert "0 is the map's minimum" in plain.caption
    found.save(tmp_path / "found.npz")
    again = gradcam.Explanation.load(tmp_path / "found.npz")
    assert again.view == "range" and again.caption == found.caption
    np.testing.assert_array_equal(again.map, found.map)


def test_contributions_are_summed_over_the_channels(tape, tmp_path):
    raw = np.zeros((3, 224, 224), np.float32)
    raw[0, :100], raw[1, :100] = 2, -1  # 1 in the upper part
    raw[2, 150:] = -1
    found = tape.explain(shown("contribution", raw), "cat")
    np.testing.assert_array_equal(found.evidence, np.maximum(raw.sum(0), 0))
    assert not found.over_picture and found.map[50, 0] == 1 and found.map[200, 0] == 0
    upper, middle, lower = (found.image[row, 100].astype(int) for row in (50, 125, 200))
    assert upper[0] > 90 and upper[0] > upper[2] + 60  # red
    assert lower[2] > 90 and lower[2] > lower[0] + 60  # blue
    assert middle.min() > 230  # zero is white
    assert "red raises the score, blue lowers it" in found.caption
    found.save(tmp_path / "found.npz")
    again = gradcam.Explanation.load(tmp_path / "found.npz")
    assert again.view == "contribution"
    np.testing.assert_array_equal(again.image, found.image)


def test_one_colour_for_all_contributions_of_zero(tape):
    with pytest.warns(gradcam.FlatMapWarning):
        found = tape.explain(shown("contribution", np.zeros((3, 224, 224))), "cat")
        assert not found.map.any()
    assert len(np.unique(found.image.reshape(-1, 3), axis=0)) == 1


def test_rounding_of_large_values_is_no_range(tape):
    raw = np.float32(1000) + np.zeros((8, 8), np.float32)
    raw[0, 0] = np.nextafter(raw[0, 0], np.float32(np.inf))
    with pytest.warns(gradcam.FlatMapWarning, match="is flat"):
        assert not tape.explain(shown("range", raw), "cat").map.any()


def test_contributions_that_only_lower_the_score(tape):
    raw = np.zeros((3, 224, 224), np.float32)
    raw[1, :100] = -1
    found = tape.explain(shown("contribution", raw), "cat")
    with pytest.warns(gradcam.FlatMapWarning, match="nothing raises the score"):
        assert not found.map.any()
    assert "Nothing raises the score" in found.caption and "flat" not in found.caption
    assert "blue lowers it" in found.caption


def test_ranges_of_a_column_begin_at_their_own_minimum(tape):
    low, high = (
        tape.explain(shown("range", np.linspace(*ends, 64).reshape(8, 8)), "cat")
        for ends in ((-3, 0), (-1, 1))
    )
    below, above = on_one_scale([low, high])
    np.testing.assert_allclose([below.min(), below.max()], [0, 1], atol=1e-6)
    np.testing.assert_allclose([above.min(), above.max()], [0, 2 / 3], atol=1e-6)


def test_a_method_may_return_another_view(tape):
    raw = np.linspace(-3, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    made = _registry.Method(
        "made", "T", "S", "signed", lambda tape, objective: gradcam.Evidence(raw, None, "range")
    )
    assert tape.explain(made, "cat").view == "range"


def test_compare_draws_every_view(tape):
    ramp = np.linspace(-3, 1, 64).reshape(8, 8)
    methods = [shown("map", ramp), shown("range", ramp)]
    methods.append(shown("contribution", np.full((3, 224, 224), 0.5)))
    figure = gradcam.compare(tape, ["cat"], methods=methods)
    assert sum(ax.get_label() == "scale" for ax in figure.axes) == 2
    figure.canvas.draw()


# --- what a registration refuses ---


def test_names_that_cannot_be_used_are_refused(outside):
    def register(name, view="map"):
        return gradcam.method(title="T", source="S", view=view, name=name)(lambda tape, o: None)

    for name in ("scores", "backward", "input", "explain", "picture"):
        with pytest.raises(ValueError, match="tapes have an attribute"):
            register(name)
    for name in ("grad_cam", "squared_gradient"):
        with pytest.raises(ValueError, match="already"):
            register(name)
    for name in ("grad-cam++", "_hidden", "2nd"):
        with pytest.raises(ValueError, match="Python name"):
            register(name)
    with pytest.raises(ValueError, match="map, range, signed, magnitude, contribution"):
        register("new", view="heat")
    assert "new" not in gradcam.METHODS


def test_a_function_that_is_defined_again_replaces_the_first(outside, tape):
    def define(factor):
        @gradcam.method(title="T", source="S", view="map", name="again")
        def again(tape, objective, *, layer):
            return factor * tape.activation(layer)[None].mean(2)

    try:
        define(1)
        first = tape.again("cat").raw
        define(3)
        np.testing.assert_allclose(tape.again("cat").raw, 3 * first)
    finally:
        del gradcam.METHODS._methods["again"]


@pytest.mark.parametrize(
    ("view", "result"),
    [
        ("map", lambda tape: tape.input[None]),
        ("map", lambda tape: tape.input[:, 0]),
        ("signed", lambda tape: tape.input),
        ("magnitude", lambda tape: np.zeros((2, *tape.input.shape))),
    ],
)
def test_a_result_of_another_shape_is_refused(view, result, tape):
    made = _registry.Method("wrong", "T", "S", view, lambda tape, objective: result(tape))
    with pytest.raises(ValueError, match=f"'wrong' returned an array.*'{view}' needs"):
        tape.explain(made, "cat")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda tape: np.full((1, 1, 4, 4), np.nan), "not finite"),
        (lambda tape: np.zeros((1, 1, 0, 4)), "shape"),
        (lambda tape: np.zeros((1, 1, 4, 4), complex), "real numbers"),
        (lambda tape: gradcam.Evidence(np.ones((1, 1, 4, 4)), np.ones((1, 8))), "shape"),
        (lambda tape: gradcam.Evidence(np.ones((1, 1, 4, 4)), np.ones(8)), "shape"),
        (lambda tape: None, "real numbers"),
    ],
)
def test_results_that_cannot_be_shown_are_refused(result, words, tape):
    made = _registry.Method("wrong", "T", "S", "map", lambda tape, objective: result(tape))
    with pytest.raises(ValueError, match=f"'wrong' returned .*{words}"):
        tape.explain(made, "cat")


def test_options_that_cannot_be_passed_are_refused():
    def on(tape, objective, *, on="x"): ...
    def target(tape, objective, *, target=1): ...
    def title(tape, objective, *, title="x"): ...
    def default(tape, objective, *, layer="relu4_3"): ...
    def needed(tape, objective, *, count): ...

    for function, words in (
        *((on, "'on'"), (target, "'target'"), (title, "'title'"), (default, "no default")),
        (needed, "'count' needs a default"),
    ):
        with pytest.raises(ValueError, match=words):
            _registry.Method("wrong", "T", "S", "map", function)


def test_unknown_methods_name_the_nearest(tape):
    with pytest.raises(ValueError, match="did you mean 'grad_cam'"):
        tape.explain("grad_camm")
    with pytest.raises(AttributeError, match="no attribute or method 'grad_camm'"):
        tape.grad_camm  # noqa: B018


# --- the code itself ---


def test_every_built_in_method_is_whole():
    names = ["saliency", "deconvnet", "guided_backprop", "input_x_gradient", "smooth_grad"]
    names += ["smooth_grad_squared", "var_grad", "integrated_gradients"]
    names += ["blur_integrated_gradients", "expected_gradients", "deep_lift"]
    names += ["lrp", "excitation_backprop", "contrastive_excitation_backprop"]
    names += ["grad_cam", "counterfactual"]
    names += ["guided_grad_cam", "deconv_grad_cam", "cam", "grad_cam_plus_plus", "x_grad_cam"]
    names += ["hires_cam", "grad_cam_elementwise", "layer_cam", "eigen_cam", "eigen_grad_cam"]
    names += ["smooth_grad_cam_plus_plus", "score_cam", "ablation_cam", "full_grad"]
    names += ["occlusion", "rise"]
    assert list(gradcam.METHODS) == names
    for name, method in gradcam.METHODS.items():
        assert method.name == name and method.title and method.summary.endswith(".")
        assert method.source[-4:].isdecimal()
        on_a_layer = name == "counterfactual" or ("cam" in name and name != "cam")
        on_a_layer |= "excitation" in name
        assert method.takes_layer == on_a_layer


def test_no_code_compares_the_name_of_a_method():
    """Methods differ by their attributes: nobody asks for one by name."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Compare):
                values = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                assert not values & set(gradcam.METHODS), f"{path}:{node.lineno}"


def test_the_registry_imports_nothing_of_gradcam():
    text = Path(_registry.__file__).read_text("utf-8")
    imports = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    for node in imports:
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        assert module.split(".")[0] != "gradcam"
