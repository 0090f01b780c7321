// Lessons: a scene and two maps that show what one sentence says, and a question.

import {fromText} from "./scene.js";

/** @type {{name: string, title: string, text: string, sentence: string, question: string}[]} */
export const LESSONS = [
  {
    name: "cat-and-dog",
    title: "A cat and a dog",
    text: "v1/meadow/cat=70,120,100,0/dog=160,130,96,-15/a:grad_cam:cat:relu5_3/b:grad_cam:dog:relu5_3",
    sentence: "The same picture and the same network: each class has a map of its own.",
    question: "Drag the cat away from the dog, and over it. When does the network lose one of them?",
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
 * Fills the choice of lessons, and shows the sentence and the question of the one that is chosen. It
 * is no longer shown as chosen when another scene is made than it has.
 * @param {{store: ReturnType<import("./store.js").createStore>, known: import("./scene.js").Known}} context
 */
export function mountLessons({store, known}) {
  const select = document.getElementById("lessons");
  select.append(new Option("your own scene", ""));
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
