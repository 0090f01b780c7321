"""What a type checker knows about the public interface; mypy checks this file, nothing runs it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import assert_type

import gradcam
from gradcam import (
    BatchTape,
    Class,
    Difference,
    Evidence,
    Explanation,
    Layer,
    Method,
    Network,
    Objective,
    Stream,
    Sum,
    Tape,
    Target,
    Unit,
)

F32 = NDArray[np.float32]


class Module(torch.nn.Module):
    """A module of PyTorch."""


class Tensor:
    """As PyTorch's: what the types of gradcam know of it."""

    def __len__(self) -> int:
        return 2

    def tolist(self) -> list[int]:
        return [1, 2]


def files(network: Network, path: Path) -> None:
    gradcam.weights.save(network, path)
    gradcam.weights.save({"a": np.zeros(3)}, path, {"made": "here"}, dtype="float16")
    found = gradcam.weights.describe(path, size=(240, 320), output="scores")
    assert_type(found, gradcam.weights.Description)
    assert_type(found.network, gradcam.weights.Contents | None)
    gradcam.weights.convert(path, "x.safetensors", size=240, output="scores")
    assert_type(gradcam.resnet18(path, size=240, target_layer="layer3"), Network)
    layers = list(network.layers.values())
    assert_type(Network.from_layers(layers, target_layer="relu"), Network)
    assert_type(network.input_size, tuple[int, int])


def one_picture(network: Network, path: Path) -> None:
    tape = network.forward(path)
    assert_type(tape, Tape)
    assert_type(tape.grad_cam("cat"), Explanation)
    assert_type(tape.grad_cam("cat").map, F32)
    assert_type(tape.grad_cam(), Explanation)
    assert_type(tape.grad_cam(282, layer="relu4_3", on="probability"), Explanation)
    assert_type(tape.grad_cam(["cat", "dog"]), list[Explanation])
    assert_type(tape.grad_cam("cat", relu=False, pooling="max"), Explanation)
    assert_type(tape.layer_cam("cat", layer=["relu4_3", "relu5_3"]), Explanation)
    assert_type(tape.cam(["cat", "dog"]), list[Explanation])
    assert_type(tape.score_cam("cat", batch=8), Explanation)
    assert_type(tape.lrp("cat", rule=gradcam.rules.EpsilonPlus()), Explanation)
    assert_type(tape.gradient("cat", rule=gradcam.rules.ZPlus()), F32)
    assert_type(tape.grad_cam(np.array([1, 2])), list[Explanation])
    assert_type(tape.grad_cam(Tensor()), list[Explanation])
    assert_type(tape.grad_cam(range(3)), list[Explanation])
    assert_type(tape.explain("saliency", Tensor()), list[Explanation])
    assert_type(tape.guided_grad_cam(Difference("cat", "dog")), Explanation)
    assert_type(tape.saliency([Class(3), None, "cat", 7]), list[Explanation])
    assert_type(tape.deconvnet(Unit("fc7", 3), resize="nearest"), Explanation)
    assert_type(tape.explain("occlusion", "cat", window=32), Explanation)
    assert_type(tape.explain("grad_cam", ["cat"], layer="relu4_3"), list[Explanation])
    assert_type(tape.top(3), list[tuple[str, str, float]])
    assert_type(tape.gradient("cat", "relu5_3"), F32)
    assert_type(tape.scores, F32)
    tape.grad_cammm("cat")  # type: ignore[attr-defined]
    tape.saliency("cat", layer="relu5_3")  # type: ignore[call-overload]


def several_pictures(network: Network, paths: list[Path], pixels: NDArray[np.uint8]) -> None:
    tape = network.forward(paths)
    assert_type(tape, BatchTape)
    assert_type(network.forward(["a.png", "b.png"]), BatchTape)
    assert_type(network.forward([pixels, pixels]), BatchTape)
    assert_type(tape.grad_cam("cat"), list[Explanation])
    assert_type(tape.grad_cam(["cat", "dog"]), list[Explanation])
    assert_type(tape.grad_cam([["cat", "dog"], [3, None]]), list[list[Explanation]])
    assert_type(tape.explain("saliency", [1, 2]), list[Explanation])
    assert_type(tape.grad_cam(Tensor()), list[Explanation])
    assert_type(tape.explain("saliency", [[1, 2], [3]]), list[list[Explanation]])
    assert_type(tape.top(), list[list[tuple[str, str, float]]])
    assert_type(network.predict(paths, 3), list[list[tuple[str, str, float]]])


def many_pictures(network: Network, paths: list[Path]) -> None:
    assert_type(network.stream(paths), Stream[Path])
    assert_type(network.stream(str(path) for path in paths), Stream[str])
    stream = network.stream(paths, batch=4, on_error="skip", workers=2, progress=True)
    for files, tape in stream:
        assert_type(files, list[Path])
        assert_type(tape, BatchTape)
    assert_type(stream.skipped, list[tuple[Path, Exception]])
    network.stream(paths, on_error=lambda path, error: print(path.name, error))
    network.stream(paths, on_error="ignore")  # type: ignore[arg-type]
    network.stream([1, 2])  # type: ignore[type-var]


def arrays_by_their_rank(network: Network) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    batch = np.zeros((2, 3, 8, 8), np.float32)
    assert_type(network.forward(picture), Tape)
    assert_type(network.forward(batch), BatchTape)
    assert_type(network.forward(picture, input="0..1"), Tape)
    assert_type(network.forward(batch, input="normalised"), BatchTape)
    assert_type(network.forward([picture, picture], input="0..255"), BatchTape)
    assert_type(gradcam.explain(picture, "cat", input="0..1"), Explanation)
    network.forward(picture, input="0-1")  # type: ignore[call-overload]


def files_in_memory(network: Network, path: Path) -> None:
    with path.open("rb") as file:
        assert_type(network.forward(file), Tape)
    assert_type(network.forward(path.read_bytes()), Tape)
    assert_type(network.forward([io.BytesIO(path.read_bytes())]), BatchTape)
    assert_type(gradcam.explain(path.read_bytes()), Explanation)


def in_one_call(path: Path, network: Network) -> None:
    assert_type(gradcam.explain(path), Explanation)
    assert_type(gradcam.explain("a.png", "cat", "saliency", network=network), Explanation)
    assert_type(gradcam.explain(path, ["cat", 3]), list[Explanation])
    assert_type(gradcam.explain([path], "cat"), list[Explanation])
    assert_type(gradcam.explain([path], [["cat", "dog"]]), list[list[Explanation]])


def loading(path: Path) -> None:
    assert_type(gradcam.load(path, labels=["a", "b"]), Network)
    assert_type(gradcam.from_keras(object(), size=(240, 320)), Network)
    assert_type(gradcam.from_torch(Module(), (1, 3, 224, 224), preset="torchvision"), Network)
    assert_type(gradcam.vgg16("imagenet"), Network)
    assert_type(gradcam.pictograms.model(), Network)
    assert_type(gradcam.pictograms.gap_model(), Network)
    assert_type(gradcam.pictograms.effects(gradcam.pictograms.scene(7)), gradcam.pictograms.Effects)
    assert_type(gradcam.load(path).layers["conv1_1"], Layer)
    assert_type(gradcam.load(path).labels.find("cat"), Target)


def objectives(tape: Tape) -> None:
    assert_type(Class("cat") - 0.5 * Class("dog"), Sum)
    objective: Objective = Difference("cat", Unit("fc7", 3))
    assert_type(objective.value(tape, 0), float)
    assert_type(tape.run_from("relu5_3", tape.activation("relu5_3")).scores, F32)


@gradcam.method(title="Half the gradient", source="Somebody 2026", view="signed")
def half_gradient(tape: Tape, objective: gradcam.Objectives) -> F32:
    half: F32 = np.float32(0.5) * objective.gradient(tape, "input")
    return half


@gradcam.method(title="Mean", source="Somebody 2026", view="map")
def mean(tape: Tape, objective: gradcam.Objectives, *, layer: str) -> Evidence:
    return Evidence(tape.activation(layer)[None].mean(2), objective.pooled_gradient(tape, layer))


assert_type(half_gradient, Method)
assert_type(gradcam.smooth("grad_cam", samples=5), Method)
assert_type(gradcam.METHODS["grad_cam"].title, str)

assert_type(gradcam.measures.bootstrap([0.5, 1.0]), gradcam.measures.Interval)


def measures_that_change_the_picture(tape: Tape) -> None:
    cat = tape.grad_cam("cat")
    assert_type(gradcam.measures.deletion(tape, cat), gradcam.measures.Curve)
    assert_type(gradcam.measures.insertion(tape, cat.map, "cat").auc, float)
    assert_type(gradcam.measures.pixel_flipping(tape, cat).aopc, float)
    assert_type(gradcam.measures.road(tape, cat), gradcam.measures.Road)
    assert_type(gradcam.measures.occlusion_correlation(tape, cat), float)
    change = gradcam.measures.confidence_change(tape, cat)
    assert_type(change, gradcam.measures.ConfidenceChange)
    assert_type(gradcam.measures.average_confidence_change([change]).drop, float)


def made_by_the_network(network: Network, path: Path) -> None:
    tape = network.forward(path)
    assert_type(gradcam.visualise(network, "cat"), gradcam.Visualisation)
    made = gradcam.visualise(network, ["cat", Unit("fc7", 3)], steps=8)
    assert_type(made, gradcam.Syntheses[gradcam.Visualisation])
    assert_type(made[0], gradcam.Visualisation)
    assert_type(gradcam.sweep(network, "cat", l2=[0, 1]), gradcam.Syntheses[gradcam.Visualisation])
    assert_type(gradcam.adversarial(tape, 3), gradcam.Perturbation)
    assert_type(gradcam.edit(tape, ["cat", 3]), gradcam.Syntheses[gradcam.Perturbation])
    assert_type(gradcam.invert(tape, "relu5_3"), gradcam.Inversion)
    assert_type(gradcam.invert(tape, ["relu5_3"]), gradcam.Syntheses[gradcam.Inversion])
    assert_type(
        gradcam.synthesised_scores(network, made, [path]).made,
        F32,
    )


def report_and_trust(tape: Tape, network: Network, mask: NDArray[np.bool_]) -> None:
    report = tape.grad_cam("cat").report(other="dog", on="score", steps=10)
    assert_type(report.finding, str)
    assert_type(report.checks, tuple[gradcam.measures.Check, ...])
    assert_type(gradcam.measures.edges(tape), NDArray[np.float32])
    cases: list[gradcam.measures.Case] = [("cat.jpg", "cat", mask)]
    observer: gradcam.measures.Observer = gradcam.measures.inside_outside
    found = gradcam.measures.trust(network, network, cases, ["saliency"], observer=observer)
    assert_type(found, gradcam.measures.Trust)
    assert_type(found.means[0], gradcam.measures.Interval)


def measures_of_a_place(tape: Tape, mask: NDArray[np.bool_]) -> None:
    cat = tape.grad_cam("cat")
    measures = gradcam.measures
    assert_type(measures.boxes(cat, "otsu", "all"), list[tuple[int, int, int, int]])
    assert_type(measures.grabcut_box(cat), tuple[int, int, int, int] | None)
    assert_type(measures.region_mask((0, 0, 4, 5), (9, 9)), NDArray[np.bool_])
    assert_type(measures.iou([(0, 0, 4.5, 5)], mask), float)
    assert_type(measures.pointing(cat.map, mask), bool)
    assert_type(measures.pointed(cat, None), measures.Pointed)
    assert_type(measures.fit_rejection([[measures.pointed(cat, mask)]]), measures.Rejection)
    assert_type(measures.energy_inside(cat, mask), float)
    assert_type(measures.inside_outside(cat, measures.boxes(cat)), float)
    assert_type(measures.mask_iou(cat, mask, 0.3), float)
    assert_type(measures.best_mask_iou(cat, mask).threshold, float)
    assert_type(measures.seeds([cat, cat.map]), NDArray[np.int64])
    assert_type(measures.seeds_iou(mask.astype(np.uint8), mask.astype(int)).mean, float)
    outcome = measures.localization_outcome([(3, cat.box())], ("cat", (0, 0, 4, 5)))
    assert_type(outcome, measures.Outcome)
    assert_type(measures.localization_total([outcome]), measures.LocalizationError)
    predictions = [[("cat", measures.boxes(cat)), ("dog", [])]]
    error = measures.localization_error(predictions, [{"cat": [(0, 0, 4, 5)]}])
    assert_type(error.localization_top5, float)


def measures_of_robustness(tape: Tape, network: Network) -> None:
    cat = tape.grad_cam("cat")
    assert_type(gradcam.measures.randomised(network, ["fc8"], 3), Network)
    stages: gradcam.measures.Stages = 4
    draw: gradcam.measures.Draw = "normal"
    layer: gradcam.measures.LayerLike = ["relu4_3", "relu5_3"]
    found = gradcam.measures.cascading_randomisation(
        *(tape, "grad_cam", "cat"), stages=stages, draw=draw, layer=layer
    )
    assert_type(found, gradcam.measures.Randomisation)
    assert_type(found.survives(), bool)
    assert_type(gradcam.measures.infidelity(tape, cat), float)
    assert_type(gradcam.measures.max_sensitivity(tape, cat.method), float)
    assert_type(gradcam.measures.complexity(cat), float)
    assert_type(gradcam.measures.sparseness(cat.map), float)
    assert_type(gradcam.measures.structural_similarity(cat.map, cat.map), float)
    assert_type(
        gradcam.measures.discrimination(tape, "grad_cam", ["cat", 3]),
        gradcam.measures.Discrimination,
    )
    noise = gradcam.measures.noise_robustness(tape, "grad_cam", "cat", sigmas=[0.1])
    assert_type(noise, gradcam.measures.NoiseRobustness)


def assertions(tape: Tape, mask: NDArray[np.bool_], path: Path) -> None:
    cat = tape.grad_cam("cat")
    testing = gradcam.testing
    testing.assert_points_at(cat, mask, tolerance=15)
    testing.assert_energy_inside(cat.map, [(0, 0, 4, 5.5)], at_least=0.5)
    testing.assert_maps_agree(cat, cat.map, at_least=0.9)
    testing.assert_matches_stored(cat, path, update=True)
    testing.assert_depends_on_weights(cat, at_most=0.5, networks=1)
    testing.assert_survives_randomisation(cat)
    testing.assert_matches_stored(cat.map, path)  # type: ignore[arg-type]


def classifiers_of_ones_own(network: Network, picture: NDArray[np.uint8], path: Path) -> None:
    own = gradcam.fit_head(network, path, folds=3, C=0.1, on_error="skip")
    assert_type(own, gradcam.TrainedNetwork)
    assert_type(own.training, gradcam.Training)
    assert_type(own.training.accuracy, float)
    assert_type(own.training.per_fold, tuple[float, ...])
    assert_type(own.forward(path).grad_cam("banana"), Explanation)
    gradcam.fit_head(network, [picture, path, "a.jpg"], ["a", "b", "b"], layer="relu5_3")
    gradcam.weights.save(own, path)


def questions(answerer: gradcam.vqa.Answerer, tape: Tape, batch: BatchTape) -> None:
    reply = answerer.ask(tape, "how many cats are there?")
    assert_type(reply, gradcam.vqa.Reply)
    assert_type(answerer.ask("scene.png", "how many cats are there?"), gradcam.vqa.Reply)
    assert_type(answerer.ask(batch, ["how many cats are there?"]), list[gradcam.vqa.Reply])
    assert_type(answerer.ask(["scene.png"], "is there a cat?"), list[gradcam.vqa.Reply])
    assert_type(reply.top(3), list[tuple[str, float]])
    assert_type(reply.objective("yes", on="probability"), gradcam.vqa.AnswerObjective)
    assert_type(tape.grad_cam([reply, reply.objective("no")]), list[Explanation])
    assert_type(tape.grad_cam(reply), Explanation)
    assert_type(reply.attention["word"].words, F32)


def captions(captioner: gradcam.captioning.Captioner, tape: Tape, batch: BatchTape) -> None:
    caption = captioner.describe(tape, beam=5)
    assert_type(caption, gradcam.captioning.Caption)
    assert_type(captioner.describe("scene.png"), gradcam.captioning.Caption)
    assert_type(captioner.describe(batch), list[gradcam.captioning.Caption])
    assert_type(captioner.caption(["scene.png"], "a cat"), list[gradcam.captioning.Caption])
    assert_type(caption.word("cat"), gradcam.captioning.Words)
    assert_type(tape.grad_cam(caption), Explanation)
    assert_type(tape.grad_cam(caption.word("cat") - caption.part(0, 2)), Explanation)
    assert_type(tape.grad_cam([*caption]), list[Explanation])
