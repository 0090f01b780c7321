// The panel "Noise and occlusion": noise on the picture, and a patch that the reader moves over it,
// with the fall of the score drawn where the patch was.

import {oneDigit, paint} from "./colours.js";
import {fallPixels, fallWords} from "./falls.js";
import {normalValues, withNoise} from "./noise.js";
import {FILLS, Occlusions, fillColour, patchAround, withPatch} from "./occlusion.js";
import {ARROWS, drawFrame, fillClasses, listenToPointer, partsOf} from "./panel_parts.js";
import {TOP, inWords} from "./scene.js";
import {Sweeper} from "./sweeper.js";

const SIZE = 224; // pixels of a side of the picture
const SIDES = [16, 32, 48, 64]; // of patches, in pixels
const KEYS = "Arrow keys move the patch, Shift and an arrow by one pixel, Delete removes it.";

/**
 * What the reader chose.
 * @type {{noise: number, seed: number, patch: {x: number, y: number} | null, side: number,
 *         fill: string, target: string, rises: boolean}}
 *   `noise` is a standard deviation in grey values; `patch` the centre of the patch.
 */
const DEFAULTS = {noise: 0, seed: 1, patch: null, side: 32, fill: "grey", target: TOP, rises: false};

const HTML = `
  <div class="row">
    <label class="long">Noise
      <input type="range" data-part="noise" min="0" max="60" step="1"></label>
    <output data-part="noiseText"></output>
    <button type="button" data-part="other">Other noise</button>
  </div>
  <div class="row">
    <label>Patch <select data-part="side"></select></label>
    <label>Colour <select data-part="fill"></select></label>
    <label>Class <select data-part="target"></select></label>
  </div>
  <div class="pair">
    <figure>
      <canvas class="moved" data-part="picture" tabindex="0" role="application"
        aria-label="The picture. ${KEYS}"></canvas>
      <figcaption data-part="words"></figcaption>
    </figure>
    <figure>
      <canvas class="moved" data-part="falls" tabindex="0" role="application"></canvas>
      <figcaption data-part="fallsText"></figcaption>
    </figure>
  </div>
  <div class="row">
    <button type="button" data-part="sweep"></button>
    <progress data-part="progress" value="0" aria-label="Patches that were tried"></progress>
    <output data-part="progressText"></output>
  </div>
  <div class="row">
    <button type="button" data-part="remove">Remove the patch</button>
    <label><input type="checkbox" data-part="rises"> Show rises, too</label>
  </div>
  <p class="spoken" data-part="spoken" aria-live="polite"></p>`;

/**
 * Shows the panel.
 * @param {HTMLElement} root an empty element
 * @param {{client: object, store: object, labels: string[], colours: Uint8Array}} context
 * @returns {{picture: Function, update: Function, rest: Function}}
 */
export function mountDisturb(root, context) {
  root.innerHTML = HTML;
  const panel = new Disturb(partsOf(root), context);
  return {
    picture: (state, rgba) => panel.changed(chosenIn(state), rgba),
    update: (frame) => panel.update(frame),
    rest: (frame) => panel.rest(frame),
  };
}

/** Returns what the reader chose, from the state. */
function chosenIn(state) {
  return {...DEFAULTS, ...state.disturb};
}

/** The parts of the panel, and what is known of the picture. */
class Disturb {
  constructor(parts, {client, store, labels, colours}) {
    Object.assign(this, {parts, client, store, labels, colours});
    this.grounds = new WeakMap(); // from pictures to the same without the patch
    this.normal = {seed: null, values: null};
    this.known = null; // Occlusions of the picture without the patch
    this.kind = ""; // the side and the colour of their patches
    this.frame = null;
    this.sweeper = new Sweeper(parts, this);
    fillClasses(parts.target, labels);
    for (const side of SIDES) parts.side.append(new Option(`${side} × ${side}`, side));
    for (const [name, words] of Object.entries(FILLS)) parts.fill.append(new Option(words, name));
    this.#listen();
  }

  /** Returns the picture that the network gets: with noise, and with the patch. */
  changed({noise, seed, patch, side, fill}, rgba) {
    const ground = withNoise(rgba, this.#normal(seed), noise);
    if (!patch) return ground;
    const picture = withPatch(ground, SIZE, placeOf(patch, side), fillColour(ground, fill));
    this.grounds.set(picture, ground);
    return picture;
  }

  /** Returns the normal values of a seed, which are kept. */
  #normal(seed) {
    if (this.normal.seed !== seed) {
      this.normal = {seed, values: normalValues(3 * SIZE * SIZE, seed)};
    }
    return this.normal.values;
  }

  update(frame) {
    this.frame = frame;
    const {patch, side, fill} = chosenIn(frame.state);
    const ground = this.grounds.get(frame.picture) ?? frame.picture;
    const kind = this.#kindNow();
    if (!this.known || kind !== this.kind || !isSame(ground, this.known.picture)) {
      this.known = new Occlusions(ground, SIZE);
      this.kind = kind;
    }
    if (!patch) this.known.scores = frame.reply.scores;
    else if (!this.sweeper.runs && kind === `${side} ${fill}`) {
      this.known.add(placeOf(patch, side), frame.reply.scores);
    }
    this.paint();
  }

  /** Asks for the scores without the patch, as soon as the scene is at rest. */
  async rest() {
    const {known} = this;
    if (!known.scores) known.scores = await this.scores(known.picture);
    if (known !== this.known) return;
    this.paint();
    this.parts.spoken.textContent = this.parts.words.textContent;
  }

  /** Returns the kind of the patches that are chosen now; a frame may be of another one. */
  #kindNow() {
    const {side, fill} = chosenIn(this.store.get());
    return `${side} ${fill}`;
  }

  /** A sweep begins, of the same picture without the patch. */
  begin(known) {
    this.known = known;
    this.kind = this.#kindNow();
    this.#change({patch: null});
  }

  /** Returns the scores of a picture. */
  async scores(picture) {
    return (await this.client.run({network: "pictograms", picture, maps: []})).scores;
  }

  #change(patch) {
    this.store.update({disturb: {...chosenIn(this.store.get()), ...patch}});
  }

  paint() {
    const {parts, frame, known} = this;
    const chosen = chosenIn(frame.state);
    const target = this.#target(chosen);
    const falls = target === null ? null : known.falls(target);
    const place = this.sweeper.place ?? (chosen.patch && placeOf(chosen.patch, chosen.side));
    paint(parts.picture, this.#shown(chosen));
    const table = chosen.rises ? null : this.colours;
    paint(parts.falls, fallPixels(known.picture, falls, table));
    if (place) for (const canvas of [parts.picture, parts.falls]) outline(canvas, place);
    parts.words.textContent = this.#words(target, chosen.patch);
    parts.fallsText.textContent = fallWords(falls, known.count, chosen.rises);
    parts.falls.setAttribute("aria-label", `Map of falls. ${parts.fallsText.textContent} ${KEYS}`);
    showChoices(parts, chosenIn(this.store.get()));
  }

  /** Returns the picture with the patch of the frame, or of the sweep that runs. */
  #shown({fill}) {
    const {picture} = this.known;
    const {place} = this.sweeper;
    if (!place) return this.frame.picture;
    return withPatch(picture, SIZE, place, fillColour(picture, fill));
  }

  /** Returns the class's index; the most probable one is that of the picture without the patch. */
  #target({target}) {
    if (target !== TOP) return this.labels.indexOf(target);
    return this.known.scores && highest(this.known.scores);
  }

  /** Returns what the patch does to the score. */
  #words(target, patch) {
    const before = this.known.scores;
    if (!before) return "Computed as soon as the scene is at rest.";
    const name = (index) => inWords(this.labels[index]);
    const score = `The score of ${name(target)} is ${oneDigit(before[target])}`;
    if (!patch) return `${score}. Move a patch over the picture.`;
    const {scores} = this.frame.reply;
    const fall = before[target] - scores[target];
    const change = fall < 0 ? `rises by ${oneDigit(-fall)}` : `falls by ${oneDigit(fall)}`;
    const top = name(highest(scores));
    return `${score}; with the patch it ${change}, and ${top} is the most probable class.`;
  }

  #listen() {
    const {parts} = this;
    const own = (part, event, patch) =>
      parts[part].addEventListener(event, () => this.#change(patch(parts[part].value)));
    own("noise", "input", (value) => ({noise: Number(value)}));
    own("other", "click", () => ({seed: chosenIn(this.store.get()).seed + 1}));
    own("side", "change", (value) => ({side: Number(value)}));
    own("fill", "change", (value) => ({fill: value}));
    own("target", "change", (value) => ({target: value}));
    parts.rises.addEventListener("change", () => this.#change({rises: parts.rises.checked}));
    own("remove", "click", () => ({patch: null}));
    for (const canvas of [parts.picture, parts.falls]) {
      listenToPointer(canvas, (event) => this.#pointed(event));
      canvas.addEventListener("keydown", (event) => this.#pressed(event));
    }
    parts.sweep.addEventListener("click", () => this.#sweep());
  }

  #sweep() {
    const {side, fill} = chosenIn(this.store.get());
    if (this.sweeper.runs) this.sweeper.stop();
    else if (this.known) this.sweeper.run(this.known, side, fill);
  }

  #pointed({currentTarget: canvas, offsetX, offsetY, pointerId, type}) {
    if (type === "pointerdown") canvas.setPointerCapture(pointerId);
    const scale = SIZE / canvas.clientWidth;
    this.#move(offsetX * scale, offsetY * scale);
  }

  #pressed(event) {
    if (event.key === "Escape") return this.sweeper.stop();
    if (event.key === "Delete" || event.key === "Backspace") return this.#change({patch: null});
    const move = ARROWS[event.key];
    if (!move) return;
    event.preventDefault();
    const {patch, side} = chosenIn(this.store.get());
    const step = event.shiftKey ? 1 : side / 4;
    if (!patch) return this.#move(SIZE / 2, SIZE / 2);
    this.#move(patch.x + step * move[0], patch.y + step * move[1]);
  }

  /** Moves the patch so that its centre is there, and all of it in the picture. */
  #move(x, y) {
    this.sweeper.stop();
    const {side} = chosenIn(this.store.get());
    const {left, top} = placeOf({x, y}, side);
    this.#change({patch: {x: left + side / 2, y: top + side / 2}});
  }
}

/** Returns the place of a patch with this centre. */
function placeOf({x, y}, side) {
  return patchAround(x, y, side, SIZE, SIZE);
}

function outline(canvas, {top, left, bottom, right}) {
  drawFrame(canvas.getContext("2d"), left, top, right - left, bottom - top);
}

/** Shows in the controls what is chosen. */
function showChoices(parts, {noise, side, fill, target, patch, rises}) {
  parts.noise.value = String(noise);
  const share = (noise / 255).toFixed(2);
  parts.noiseText.textContent = `${noise} grey values (${share} of black to white)`;
  parts.noise.setAttribute("aria-valuetext", parts.noiseText.textContent);
  parts.other.disabled = noise === 0;
  parts.side.value = String(side);
  parts.fill.value = fill;
  parts.target.value = target;
  parts.rises.checked = rises;
  parts.remove.disabled = patch === null;
}

/** Returns whether two pictures have the same pixels. */
function isSame(a, b) {
  if (a === b) return true;
  const [left, right] = [new Uint32Array(a.buffer), new Uint32Array(b.buffer)];
  return left.every((pixel, n) => pixel === right[n]);
}

/** Returns the index of the highest value. */
function highest(values) {
  return values.indexOf(Math.max(...values));
}
