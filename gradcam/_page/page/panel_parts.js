// What panels share: their elements by name, the choice of a class, keys, numbers and outlines.

import {TOP, inWords} from "./scene.js";

/** The steps of the arrow keys, to the right and down. */
export const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

/**
 * Returns a number with three digits and a real minus sign: "−0.0123", "9.65 × 10⁻⁶".
 * @param {number} value
 */
export function digits(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 0.001 && size < 1e6)) {
    return Number(value.toPrecision(3)).toString().replace("-", "−");
  }
  const [mantissa, exponent] = value.toExponential(2).replace("+", "").split("e");
  const raised = Array.from(exponent, (sign) => RAISED[sign]).join("");
  return `${mantissa.replace("-", "−")}\u00a0×\u00a010${raised}`;
}

const RAISED = {..."⁰¹²³⁴⁵⁶⁷⁸⁹", "-": "⁻"};

/**
 * Returns the elements of a panel by the names in their attribute data-part.
 * @param {HTMLElement} root
 * @returns {Object<string, HTMLElement>}
 */
export function partsOf(root) {
  const found = [...root.querySelectorAll("[data-part]")];
  return Object.fromEntries(found.map((element) => [element.dataset.part, element]));
}

/**
 * Calls a function where the main button, a pen or a finger presses, and where it is dragged.
 * @param {HTMLElement} element
 * @param {(event: PointerEvent) => void} pointed
 */
export function listenToPointer(element, pointed) {
  element.addEventListener("pointerdown", (event) => event.button === 0 && pointed(event));
  element.addEventListener("pointermove", (event) => event.buttons & 1 && pointed(event));
}

/**
 * Fills a choice of classes; the first is the most probable one.
 * @param {HTMLSelectElement} select
 * @param {string[]} labels
 */
export function fillClasses(select, labels) {
  select.append(new Option("the most probable", TOP));
  for (const label of labels) select.append(new Option(inWords(label), label));
}

/**
 * Draws a rectangle that is seen on every ground, black outside and white inside.
 * @param {CanvasRenderingContext2D} pen
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 */
export function drawFrame(pen, left, top, width, height) {
  for (const [colour, inset] of [["#000", 0.5], ["#fff", 1.5]]) {
    pen.strokeStyle = colour;
    pen.strokeRect(left + inset, top + inset, width - 2 * inset, height - 2 * inset);
  }
}
