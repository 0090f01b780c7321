// The panel "Inside": alpha_k as bars, a unit's map, and the sum of alpha_k A^k, term by term.

import {AlphaBars} from "./alpha_bars.js";
import {CellMap, spread} from "./cell_map.js";
import {alphaOrder, partialSum, strongestAt, sumScale, termOrder, unitMap} from "./gradcam_sum.js";
import {overlay, signedOverlay} from "./colours.js";
import {mapLayers} from "./methods.js";
import {digits, fillClasses, partsOf} from "./panel_parts.js";
import {TOP, inWords} from "./scene.js";

const PAUSE = 120; // milliseconds between two steps of the animation
const STEPS = 60; // at most, from the first term to the last
const SIZE = 224; // pixels of a side of the maps
const SPELT = 3; // terms that the formula spells out
const CHOOSE = "Choose a cell of a map: the unit that gives most there is shown.";

/**
 * What the reader chose.
 * @type {{target: string, layer: string | null, unit: number | null, terms: number | null,
 *         relu: boolean, cell: number | null}}
 *   `layer`: null stands for the last ReLU; `unit`: for that of the largest term; `terms`: for all.
 */
const DEFAULTS = {target: TOP, layer: null, unit: null, terms: null, relu: false, cell: null};

const HTML = `
  <p>Grad-CAM is a sum over the units of a layer. A unit <i>k</i> has a map <i>A<sup>k</sup></i>,
    and a weight <i>α<sub>k</sub></i>, the mean of the derivatives of the class's score by the
    values of this map. The terms are added one by one, the largest first.</p>
  <div class="row">
    <label>Class <select data-part="target"></select></label>
    <label>Layer <select data-part="layer"></select></label>
  </div>
  <p class="formula" data-part="formula"></p>
  <figure class="alphas">
    <canvas data-part="bars" tabindex="0" role="slider" aria-label="Unit, by its weight"></canvas>
    <figcaption data-part="barsText"></figcaption>
  </figure>
  <div class="row">
    <button type="button" data-part="play"></button>
    <label class="long">Terms <input type="range" data-part="terms" min="0" step="1"></label>
    <output data-part="count"></output>
    <label><input type="checkbox" data-part="relu"> ReLU</label>
  </div>
  <div class="pair">
    <figure>
      <canvas data-part="unit" tabindex="0" role="application"></canvas>
      <figcaption data-part="unitText"></figcaption>
    </figure>
    <figure>
      <canvas data-part="sum" tabindex="0" role="application"></canvas>
      <figcaption data-part="sumText"></figcaption>
    </figure>
  </div>
  <p data-part="cellText" aria-live="polite"></p>
  <div class="row">
    <button type="button" data-part="follow">The unit of the largest term</button>
  </div>`;

/**
 * Shows the panel.
 * @param {HTMLElement} root an empty element
 * @param {{store: object, labels: string[], colours: Uint8Array,
 *          layers: {name: string, shape: number[]}[]}} context
 * @returns {{wishes: (state: object) => object, update: (frame: object) => void}}
 */
export function mountInside(root, context) {
  const {store, labels} = context;
  const layers = mapLayers(context.layers).map(({name}) => name);
  const last = layers.filter((name) => name.startsWith("relu")).at(-1);
  root.innerHTML = HTML;
  const parts = partsOf(root);
  const chosen = () => chosenIn(store.get());
  const change = (patch) => store.update({inside: {...chosen(), ...patch}});
  let shown = null; // the last frame
  const atCell = (cell) => change({cell, unit: strongestAt(shown.reply.inside, cell)});
  const views = {
    bars: new AlphaBars(parts.bars, (unit) => change({unit, cell: null})),
    unit: new CellMap(parts.unit, atCell),
    sum: new CellMap(parts.sum, atCell),
  };
  fillChoices(parts, labels, layers, last);
  listen(parts, change);
  const player = new Player(parts.play, () => shown?.reply.inside.channels ?? 0, chosen, change);
  const paint = () => shown && paintAll(parts, views, shown, chosen(), context);
  store.subscribe(paint);
  return {
    wishes(state) {
      const {target, layer} = chosenIn(state);
      const index = target === TOP ? TOP : labels.indexOf(target);
      return {inside: {layer: layer ?? last, target: index}};
    },
    update(frame) {
      if (!frame.reply.inside) return;
      shown = frame;
      player.check();
      paint();
    },
  };
}

/** Adds terms one after the other. Readers who want no motion add one at each press. */
class Player {
  constructor(button, channels, chosen, change) {
    Object.assign(this, {button, channels, chosen, change, timer: null});
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.calm.addEventListener("change", () => this.stop());
    button.addEventListener("click", () => this.#pressed());
    this.stop();
  }

  /** Stops when the panel is no longer shown. */
  check() {
    if (this.timer !== null && this.button.offsetParent === null) this.stop();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = this.calm.matches ? "Add a term" : "Play";
  }

  #pressed() {
    if (this.timer !== null) return this.stop();
    const all = this.channels();
    const {terms} = this.chosen();
    const from = terms === null || terms >= all ? 0 : terms;
    if (this.calm.matches) return this.change({terms: Math.min(from + 1, all)});
    this.change({terms: from});
    this.button.textContent = "Pause";
    this.timer = setInterval(() => this.#step(), PAUSE);
  }

  #step() {
    const all = this.channels();
    const terms = Math.min(all, (this.chosen().terms ?? 0) + Math.ceil(all / STEPS));
    this.change({terms});
    this.check();
    if (terms === all) this.stop();
  }
}

/** Returns what the reader chose, from the state. */
function chosenIn(state) {
  return {...DEFAULTS, ...state.inside};
}

function fillChoices(parts, labels, layers, last) {
  fillClasses(parts.target, labels);
  for (const layer of layers) parts.layer.append(new Option(layer, layer));
  parts.layer.value = last;
}

function listen(parts, change) {
  const fresh = {unit: null, terms: null, cell: null};
  parts.target.addEventListener("change", () => change({target: parts.target.value, ...fresh}));
  parts.layer.addEventListener("change", () => change({layer: parts.layer.value, ...fresh}));
  parts.terms.addEventListener("input", () => change({terms: Number(parts.terms.value)}));
  parts.relu.addEventListener("change", () => change({relu: parts.relu.checked}));
  parts.follow.addEventListener("click", () => change({unit: null, cell: null}));
}

/** Paints all of the panel from one frame. */
function paintAll(parts, views, frame, chosen, {labels, colours: table}) {
  const {inside} = frame.reply;
  const order = termOrder(inside);
  const terms = Math.min(chosen.terms ?? inside.channels, inside.channels);
  const unit = Math.min(chosen.unit ?? order[0], inside.channels - 1);
  const summed = order.slice(0, terms);
  const {cell} = chosen;
  const alphas = alphaOrder(inside);
  views.bars.show(inside.alphas, alphas, unit, new Set(summed));
  parts.barsText.innerHTML =
    `Weights from the largest to the smallest; pale: not in the sum. Unit ${unit}, marked, has ` +
    `<i>α</i><sub>${unit}</sub> = ${digits(inside.alphas[unit])}, number ` +
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

/** Returns the pixels of a map of cells over the grey picture; without a table, of signed values. */
function coloured(picture, values, {width, height}, scale, table) {
  const shares = Float32Array.from(values, (value) => value / (scale || 1));
  const pixels = spread(shares, width, height, SIZE);
  return table ? overlay(picture, pixels, table) : signedOverlay(picture, pixels);
}

/** Returns the sum as HTML: its first terms, and how many there are. */
function formula(inside, summed, relu, label) {
  const first = summed.slice(0, SPELT).map((unit, n) => {
    const alpha = inside.alphas[unit];
    const sign = alpha < 0 ? "−" : n > 0 ? "+" : "";
    return `${sign} ${digits(Math.abs(alpha))} <i>A</i><sup>${unit}</sup>`;
  });
  const more = summed.length > SPELT ? ` + … (${summed.length} terms)` : "";
  const sum = summed.length === 0 ? "0" : `${first.join(" ")}${more}`;
  const general = "∑<sub><i>k</i></sub> <i>α<sub>k</sub></i> <i>A<sup>k</sup></i>";
  const [open, close] = relu ? ["ReLU(", ")"] : ["", ""];
  const name = `<i>L</i><sup>${inWords(label)}</sup>`;
  return `${name} = ${open}${general}${close} = ${open}${sum}${close}`;
}

function paintChoices(parts, chosen, channels, terms) {
  parts.target.value = chosen.target;
  if (chosen.layer !== null) parts.layer.value = chosen.layer;
  parts.terms.max = String(channels);
  parts.terms.value = String(terms);
  parts.count.textContent = `${terms} of ${channels}`;
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
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [
    Infinity,
    -Infinity,
  ]);
}
