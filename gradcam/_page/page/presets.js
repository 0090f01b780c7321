// Lessons: a scene and two maps that show what one sentence says, and a question.

import {fromText} from "./scene.js";

/** @type {{name: string, title: string, text: string, sentence: string, question: string}[]} */
export const LESSONS = [
  {
    name: "cat-and-dog",
    title: "A cat and a dog",
    text: "v1/meadow/cat=70,120,100,0/dog=160,130,96,-15/a:grad_cam:cat:relu5_3/b:grad_cam:dog:relu5_3",
    sentence: "The same picture and the same network: each class has a map of its own.",
    question: "Drag the cat over the dog: when does the network lose one of the two?",
  },
  {
    name: "saliency",
    title: "Why saliency does not tell",
    text: "v1/meadow/cat=70,120,100,0/dog=160,130,96,-15/a:saliency:cat:input/b:saliency:dog:input",
    sentence: "Saliency for the cat and saliency for the dog look alike: both are highest on the dog.",
    question: "Choose Grad-CAM for both: which method tells the classes apart?",
  },
  {
    name: "layers",
    title: "Deeper layers discriminate",
    text: "v1/meadow/cat=70,120,100,0/dog=160,130,96,-15/a:grad_cam:dog:relu2_2/b:grad_cam:dog:relu5_3",
    sentence: "Grad-CAM for the dog: the map of an early layer is all over the picture, that of the last one on the dog.",
    question: "Go through the layers of the left map: from which one on is the maximum on the dog?",
  },
  {
    name: "wrong",
    title: "Sure and wrong",
    text: "v1/meadow/yawl=140,120,75,150/a:grad_cam:pizza:relu5_3/b:grad_cam:yawl:relu5_3",
    sentence: "The network is sure that this capsized boat is a pizza: in training, no boat was turned so far.",
    question: "Which part of the boat speaks for pizza? Turn it until the network sees a boat.",
  },
  {
    name: "relu",
    title: "The ReLU",
    text: "v1/meadow/cat=70,120,100,0/dog=160,130,96,-15/a:grad_cam:cat:relu5_3/b:counterfactual:cat:relu5_3",
    sentence: "The ReLU of Grad-CAM keeps what speaks for the cat (left), not what speaks against it (right).",
    question: "What speaks against the cat? Remove it, and look at the score of the cat.",
  },
];

/**
 * Returns the lesson of a name; the first one without a name.
 * @param {string} [name]
 */
export function lessonCalled(name) {
  return LESSONS.find((lesson) => lesson.name === name) ?? LESSONS[0];
}

/**
 * Fills the choice of lessons, and shows the sentence and the question of the one that is chosen,
 * also while its scene is changed, which the question asks for.
 * @param {{store: ReturnType<import("./store.js").createStore>, known: import("./scene.js").Known}} context
 */
export function mountLessons({store, known}) {
  const select = document.getElementById("lessons");
  select.append(new Option("none", ""));
  for (const {name, title} of LESSONS) select.append(new Option(title, name));
  select.addEventListener("change", () => {
    if (!select.value) return store.update({lesson: null});
    const lesson = lessonCalled(select.value);
    store.update({...fromText(lesson.text, known), lesson: lesson.name, selected: null, tab: "maps"});
  });
  const show = ({lesson}) => {
    const found = LESSONS.find(({name}) => name === lesson);
    const text = document.getElementById("lesson");
    select.value = lesson ?? "";
    text.hidden = !found;
    text.replaceChildren(found?.sentence ?? "", " ", emphasised(found?.question ?? ""));
  };
  store.subscribe(show);
  show(store.get());
}

function emphasised(text) {
  const element = document.createElement("em");
  element.textContent = text;
  return element;
}
