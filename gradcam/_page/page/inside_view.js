// What the panel "Inside" shows of one frame: the bars, a unit's map, the sum, and the words below.

import {spread} from "./cell_map.js";
import {overlay, signedOverlay} from "./colours.js";
import {alphaOrder, partialSum, sumScale, termOrder, unitMap} from "./gradcam_sum.js";
import {digits} from "./panel_parts.js";
import {inWords} from "./scene.js";

const SIZE = 224; // pixels of a side of the maps
const SPELT = 3; // terms that the formula spells out
const CHOOSE = "Choose a cell of a map: the unit that gives most there is shown.";

/**
 * Paints all of the panel from one frame.
 * @param {Object<string, HTMLElement>} parts
 * @param {{bars: object, unit: object, sum: object}} views
 * @param {{picture: Uint8ClampedArray, reply: object}} frame
 * @param {object} chosen what the reader chose
 * @param {{labels: string[], colours: Uint8Array}} context
 */
export function paintInside(parts, views, frame, chosen, {labels, colours: table}) {
  const {inside} = frame.reply;
  const order = termOrder(inside);
  const terms = Math.min(chosen.terms ?? inside.channels, inside.channels);
  const unit = Math.min(chosen.unit ?? order[0], inside.channels - 1);
  const summed = order.slice(0, terms);
  const cell = chosen.cell < inside.width * inside.height ? chosen.cell : null;
  const alphas = alphaOrder(inside);
  views.bars.show(inside.alphas, alphas, unit, new Set(summed));
  parts.barsText.innerHTML =
    `Weights from the largest to the smallest; pale: not in the sum. Unit ${unit}, marked, has ` +
    `<i>α</i><sub>${unit}</sub> = ${digits(inside.alphas[unit])}, rank ` +
    `${alphas.indexOf(unit) + 1} of ${inside.channels}.`;
  paintUnit(parts, views.unit, frame, {unit, cell, table});
  paintSum(parts, views.sum, frame, {order, summed, relu: chosen.relu, cell, table});
  parts.formula.innerHTML = formula(inside, summed, chosen.relu, labels[inside.target]);
  paintChoices(parts, chosen, inside.channels, terms);
  parts.cellText.textContent = cell === null ? CHOOSE : cellWords(inside, cell, unit);
}

function paintUnit(parts, view, {picture, reply: {inside}}, {unit, cell, table}) {
  const {width, height} = inside;
  const values = unitMap(inside, unit);
  const [low, high] = range(values);
  const pixels = coloured(picture, values, inside, Math.max(high, -low), low < 0 ? null : table);
  view.show(pixels, SIZE, inside, cell);
  const words = `values from ${digits(low)} to ${digits(high)}`;
  parts.unitText.innerHTML = `<i>A</i><sup>${unit}</sup>, the map of unit ${unit}: ${words}.`;
  describe(parts.unit, `Map of unit ${unit}, ${width} by ${height} cells, ${words}`);
}

function paintSum(parts, view, {picture, reply: {inside}}, {order, summed, relu, cell, table}) {
  const {width, height, channels} = inside;
  const sum = partialSum(inside, summed);
  const values = relu ? sum.map((value) => Math.max(value, 0)) : sum;
  const [low, high] = range(values);
  const scale = relu ? high : sumScale(inside, order);
  view.show(coloured(picture, values, inside, scale, relu ? table : null), SIZE, inside, cell);
  const all = summed.length === channels;
  const terms = all ? `all ${channels} terms` : `${summed.length} of ${channels} terms`;
  const words = `The sum of ${terms}${relu ? " after the ReLU" : ""}`;
  const scaled = relu ? "" : ` Red: above 0, blue: below 0, full at ±${digits(scale)}.`;
  const whole = relu && all ? " This is Grad-CAM." : "";
  const numbers = `values from ${digits(low)} to ${digits(high)}`;
  parts.sumText.textContent = `${words}: ${numbers}.${scaled}${whole}`;
  describe(parts.sum, `${words}, a map of ${width} by ${height} cells, ${numbers}`);
}

/** Returns the pixels of cells over the grey picture; without a table, of signed values. */
function coloured(picture, values, {width, height}, scale, table) {
  const shares = Float32Array.from(values, (value) => value / (scale || 1));
  const pixels = spread(shares, width, height, SIZE);
  return table ? overlay(picture, pixels, table) : signedOverlay(picture, pixels);
}

/** Returns the sum as HTML: its first terms, and how many there are. */
function formula(inside, summed, relu, label) {
  const first = summed.slice(0, SPELT).map((unit, n) => {
    const alpha = inside.alphas[unit];
    const sign = alpha < 0 ? "− " : n > 0 ? "+ " : "";
    return `${sign}${digits(Math.abs(alpha))} <i>A</i><sup>${unit}</sup>`;
  });
  const more = summed.length > SPELT ? ` + … (${summed.length} terms)` : "";
  const sum = summed.length === 0 ? "0" : `${first.join(" ")}${more}`;
  const name = `<sup>${inWords(label)}</sup>`;
  const general = `∑<sub><i>k</i></sub> <i>α<sub>k</sub></i>${name} <i>A<sup>k</sup></i>`;
  if (!relu) return `${general} = ${sum}`;
  return `<i>L</i>${name} = ReLU(${general}) = ReLU(${sum})`;
}

function paintChoices(parts, chosen, channels, terms) {
  parts.target.value = chosen.target;
  if (chosen.layer !== null) parts.layer.value = chosen.layer;
  parts.terms.max = String(channels);
  parts.terms.value = String(terms);
  parts.count.textContent = `${terms} of ${channels}`;
  parts.terms.setAttribute("aria-valuetext", parts.count.textContent);
  parts.relu.checked = chosen.relu;
}

function cellWords(inside, cell, unit) {
  const {width, height} = inside;
  const value = inside.alphas[unit] * unitMap(inside, unit)[cell];
  const all = partialSum(inside, inside.alphas.keys())[cell];
  return (
    `Row ${Math.floor(cell / width) + 1} of ${height}, column ${(cell % width) + 1} of ${width}: ` +
    `the sum of all terms is ${digits(all)}, the term of unit ${unit} is ${digits(value)}.`
  );
}

function describe(canvas, words) {
  canvas.setAttribute("aria-label", `${words}. Arrow keys choose a cell.`);
}

/** Returns the smallest and the largest value. */
function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}
