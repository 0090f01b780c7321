// The panel "Inside": alpha_k as bars, a unit's map, and the sum of alpha_k A^k, term by term.

import {AlphaBars} from "./alpha_bars.js";
import {CellMap} from "./cell_map.js";
import {strongestAt} from "./gradcam_sum.js";
import {paintInside} from "./inside_view.js";
import {mapLayers} from "./methods.js";
import {fillClasses, partsOf} from "./panel_parts.js";
import {Player} from "./player.js";
import {TOP} from "./scene.js";

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
  <div class="row">
    <p data-part="cellText" aria-live="polite"></p>
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
  const player = new Player(
    parts.play,
    () => shown?.reply.inside.channels ?? 0,
    () => chosen().terms,
    (terms) => change({terms}),
  );
  let painted = null; // what the reader had chosen then
  const paint = (state) => {
    painted = state.inside;
    paintInside(parts, views, shown, chosenIn(state), context);
  };
  store.subscribe((state) => shown && state.inside !== painted && paint(state));
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
      paint(store.get());
    },
  };
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
