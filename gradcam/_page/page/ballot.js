// The screens of a vote before its results: start, question, break. Buttons with `data-key` are also
// pressed by that key.

import {paint} from "./colours.js";
import {added} from "./elements.js";
import {PARTS} from "./questions.js";

const PAUSE = -1;
const SETTLING = 250; // milliseconds before an answer counts: the second click of two is none
const LARGEST_SEED = 2 ** 32 - 1;

/**
 * Shows what a vote is, and lets one begin.
 * @param {HTMLElement} root
 * @param {number} seed that is offered
 * @param {(seed: number, parts: string[]) => void} begin
 */
export function showStart(root, seed, begin) {
  const screen = newScreen(root, "start", "Vote: which maps convince people?");
  added(screen, "p", "", "Two studies of the Grad-CAM paper (Selvaraju et al. 2017), with your answers.");
  const list = added(screen, "ol");
  for (const {title, text} of PARTS) {
    const item = added(list, "li");
    added(item, "strong", "", title);
    added(item, "span", "", ` ${text}`);
  }
  added(
    ...[screen, "p", ""],
    "Each part takes two or three minutes. If you do not know, guess. Keys: the numbers of the answers, " +
      "and p for a pause. No name is asked and nothing is stored: save your answers at the end.",
  );
  const form = added(screen, "form", "begin");
  const parts = labelled(form, "Parts", "select");
  parts.append(new Option("both", PARTS.map(({name}) => name).join()));
  PARTS.forEach(({name, title}, n) => parts.append(new Option(`only ${n + 1}: ${title}`, name)));
  const number = labelled(form, "Seed: the same one asks the same questions", "input");
  Object.assign(number, {type: "number", min: 0, max: LARGEST_SEED, step: 1, required: true, value: seed});
  added(form, "button", "main", "Start").type = "submit";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    begin(number.valueAsNumber, parts.value.split(","));
  });
}

function labelled(root, text, tag) {
  const label = added(root, "label", "", text);
  return added(label, tag);
}

/**
 * Shows what the next part asks.
 * @param {HTMLElement} root
 * @param {{title: string, text: string}} part
 * @returns {Promise<boolean>} false: to end here
 */
export function showBreak(root, {title, text}) {
  const screen = newScreen(root, "break", `Half of it is done. Next: ${title}`);
  added(screen, "p", "", text);
  return goOnOrEnd(screen);
}

/** Adds two buttons. Resolves to whether the first one was pressed. */
function goOnOrEnd(screen) {
  const row = added(screen, "div", "answers");
  return new Promise((resolve) => {
    screenButton(row, "p", "Continue", () => resolve(true)).classList.add("main");
    screenButton(row, "e", "End here and see the results", () => resolve(false));
  });
}

/**
 * Shows a question until it is answered.
 * @param {HTMLElement} root
 * @param {object} context
 * @param {import("./questions.js").Question} question
 * @param {import("./questions.js").Stimulus} stimulus
 * @param {{at: number, of: number}} place of the question among those that are asked
 * @returns {Promise<{choice: number, milliseconds: number} | null>} the number of the answer from 0 on,
 *     and the time without pauses; null: to end here
 */
export async function showQuestion(root, context, question, stimulus, place) {
  let milliseconds = 0;
  for (;;) {
    const start = performance.now();
    const choice = await answered(root, context, question, stimulus, place);
    milliseconds += performance.now() - start;
    if (choice !== PAUSE) return {choice, milliseconds: Math.round(milliseconds)};
    const screen = newScreen(root, "break", "A pause");
    added(screen, "p", "", `Question ${place.at} of ${place.of} waits for you, and the clock has stopped.`);
    if (!(await goOnOrEnd(screen))) return null;
  }
}

/** Shows a question. Resolves to the number of an answer, or to PAUSE. */
function answered(root, context, question, stimulus, place) {
  const screen = newScreen(root, "question", question.prompt(stimulus));
  const top = added(screen, "div", "top");
  const bar = added(added(top, "label", "place", `Question ${place.at} of ${place.of}`), "progress");
  Object.assign(bar, {value: place.at, max: place.of});
  const figures = added(screen, "div", "pictures");
  stimulus.pictures.forEach((pixels, n) => {
    const figure = added(figures, "figure");
    const canvas = added(figure, "canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${question.captions[n] || "A"} map, to be judged by eye`);
    paint(canvas, pixels);
    if (question.captions[n]) added(figure, "p", "caption", question.captions[n]);
  });
  const row = added(screen, "div", "answers");
  row.inert = true;
  setTimeout(() => (row.inert = false), SETTLING);
  return new Promise((resolve) => {
    question.choices(stimulus).forEach(({words, label, variant}, n) => {
      const button = screenButton(row, `${n + 1}`, words, () => resolve(n));
      if (!label) return;
      const picture = document.createElement("span");
      picture.className = "pictogram";
      context.pictogram(picture, label, variant);
      button.prepend(picture);
    });
    screenButton(top, "p", "Pause", () => resolve(PAUSE)).classList.add("pause");
    if (root.hidden || document.hidden) resolve(PAUSE); // while the map was made
  });
}

/**
 * Replaces what a root shows by a new screen, and lets the keyboard and the screen reader begin at its
 * title.
 * @param {HTMLElement} root
 * @param {string} name the class of the element
 * @param {string} title
 * @returns {HTMLElement}
 */
export function newScreen(root, name, title) {
  const within = root.contains(document.activeElement);
  root.replaceChildren();
  const screen = added(root, "div", `screen ${name}`);
  const heading = added(screen, "h2", "", title);
  heading.tabIndex = -1;
  if (within) heading.focus();
  return screen;
}

/**
 * Adds a button that a key presses, too.
 * @param {HTMLElement} row
 * @param {string | null} key null: none
 * @param {string} words
 * @param {() => void} clicked
 * @returns {HTMLButtonElement}
 */
export function screenButton(row, key, words, clicked) {
  const button = added(row, "button");
  button.type = "button";
  added(button, "span", "words", words);
  if (key !== null) {
    button.dataset.key = key;
    button.setAttribute("aria-keyshortcuts", key);
    added(button, "kbd", "", key).setAttribute("aria-hidden", "true");
  }
  button.addEventListener("click", clicked);
  return button;
}
