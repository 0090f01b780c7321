"""Small question answerers with random weights, and the same computations in float64."""

from __future__ import annotations

import numpy as np
import random_attributes

from gradcam.vqa import Answerer

WORDS = ("what", "colour", "is", "the", "cat", "dog", "left", "of")
ANSWERS = ("yes", "no", "red", "yellow", "red and yellow", "cat")
QUESTION = "what colour is the cat?"

_CHANNELS, _PLACES = 128, 7 * 7


def _draw(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Return random tensors; matrices keep the size of what they are multiplied with."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        found[name] = (scale * rng.standard_normal(shape)).astype(np.float32)
    return found


def _linear(name: str, out: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}


def _lstm(name: str, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.weight_ih": (4 * hidden, inputs),
        f"{name}.weight_hh": (4 * hidden, hidden),
        f"{name}.bias_ih": (4 * hidden,),
        f"{name}.bias_hh": (4 * hidden,),
    }


def lstm_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors of the deeper LSTM with the normalised image, with convolutions of its own."""
    shapes = {"embedding.weight": (len(WORDS), 5)}
    shapes |= _lstm("lstm1", 5, 4) | _lstm("lstm2", 4, 4)
    shapes |= _linear("question", 9, 8) | _linear("image", 9, 10)
    shapes |= _linear("answer", len(ANSWERS), 9)
    of_code = random_attributes.code_tensors(11, 10, seed)
    del of_code["fc7.weight"], of_code["fc7.bias"]
    return _draw(shapes, seed) | random_attributes.tensors(seed) | of_code


def coattention_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors of the co-attention network, with a picture network of its own."""
    width = 7
    shapes = _linear("image", width, 2 * _CHANNELS) | {"position.weight": (_PLACES, width)}
    shapes |= {"embedding.weight": (len(WORDS), width)}
    for count in (1, 2, 3):
        shapes |= {f"phrase{count}.weight": (width, width, count), f"phrase{count}.bias": (width,)}
    shapes |= _lstm("lstm", width, width)
    for level in ("word", "phrase", "question"):
        shapes |= {f"{level}.affinity.weight": (width, width)}
        shapes |= _linear(f"{level}.image", 5, width) | _linear(f"{level}.question", 5, width)
        shapes |= {f"{level}.image_score.weight": (1, 5), f"{level}.question_score.weight": (1, 5)}
        shapes |= _linear(f"{level}.fused", width, width * (1 if level == "word" else 2))
    shapes |= _linear("answer", len(ANSWERS), width)
    return (
        _draw(shapes, seed)
        | random_attributes.features(seed)
        | random_attributes.block_tensors(seed)
    )


TENSORS = {"lstm": lstm_tensors, "coattention": coattention_tensors}


def answerer(kind: str, seed: int = 0, name: str = "small") -> Answerer:
    """A random answerer of pictures of 112 x 112."""
    return Answerer(kind, TENSORS[kind](seed), WORDS, ANSWERS, name=name)


class Twin:
    """An answerer's scores in float64, written plainly."""

    def __init__(self, kind: str, tensors: dict[str, np.ndarray]) -> None:
        self.kind = kind
        self.t = {name: values.astype(np.float64) for name, values in tensors.items()}

    def scores(self, code: np.ndarray, words: list[int]) -> np.ndarray:
        """The scores for one picture's code, (F,) or (C, h, w), and a question's words."""
        return (self._lstm if self.kind == "lstm" else self._coattention)(code, words)

    def gradients(self, code: np.ndarray, words: list[int], places: np.ndarray) -> np.ndarray:
        """The gradients of all scores by some values of the code, (P, K): central differences."""
        flat, step = code.astype(np.float64).ravel(), 1e-5
        found = []
        for place in places:
            moved = np.array([flat, flat])
            moved[:, place] += (step, -step)
            high, low = (self.scores(each.reshape(code.shape), words) for each in moved)
            found.append((high - low) / (2 * step))
        return np.array(found)

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.t[f"{name}.weight"].T + self.t[f"{name}.bias"]

    def lstm(self, name: str, inputs: np.ndarray) -> np.ndarray:
        """The outputs of one layer for (T, I)."""
        weights = [self.t[f"{name}.{part}"] for part in ("weight_ih", "weight_hh")]
        bias = self.t[f"{name}.bias_ih"] + self.t[f"{name}.bias_hh"]
        h = c = np.zeros(weights[1].shape[1])
        outputs = []
        for x in inputs:
            i, f, g, o = np.split(weights[0] @ x + weights[1] @ h + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        return np.array(outputs)

    def _lstm(self, code: np.ndarray, words: list[int]) -> np.ndarray:
        first = self.lstm("lstm1", self.t["embedding.weight"][words])
        second = self.lstm("lstm2", first)
        question = np.tanh(self.linear("question", np.concatenate([first[-1], second[-1]])))
        code = code.astype(np.float64)
        image = np.tanh(self.linear("image", code / np.sqrt((code**2).sum())))
        return self.linear("answer", question * image)

    def _phrases(self, words: np.ndarray) -> np.ndarray:
        last, width = words.shape
        found = np.full((last, width), -np.inf)
        for t in range(last):
            for count, places in ((1, [t]), (2, [t - 1, t]), (3, [t - 1, t, t + 1])):
                kernel, total = self.t[f"phrase{count}.weight"], self.t[f"phrase{count}.bias"]
                for k, place in enumerate(places):
                    if 0 <= place < last:
                        total = total + kernel[:, :, k] @ words[place]
                found[t] = np.maximum(found[t], np.tanh(total))
        return found

    def _coattention(self, code: np.ndarray, words: list[int]) -> np.ndarray:
        at = code.astype(np.float64).reshape(len(code), -1).T
        places = np.tanh(self.linear("image", at) + self.t["position.weight"])
        word = self.t["embedding.weight"][words]
        phrase = self._phrases(word)
        levels = {"word": word, "phrase": phrase, "question": self.lstm("lstm", phrase)}
        hidden = np.zeros(0)
        self.attention = {}
        for level, asked in levels.items():
            affinity = np.tanh(asked @ self.t[f"{level}.affinity.weight"] @ places.T)
            by_place = self.linear(f"{level}.image", places)
            by_word = self.linear(f"{level}.question", asked)
            on_places = np.tanh(by_place + affinity.T @ by_word)
            on_words = np.tanh(by_word + affinity @ by_place)
            a = softmax(on_places @ self.t[f"{level}.image_score.weight"][0])
            b = softmax(on_words @ self.t[f"{level}.question_score.weight"][0])
            self.attention[level] = a, b
            fused = a @ places + b @ asked
            hidden = np.tanh(self.linear(f"{level}.fused", np.concatenate([fused, hidden])))
        return self.linear("answer", hidden)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()
