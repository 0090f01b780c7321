// The weights alpha_k of a layer as bars: the largest at the left, the smallest at the right, and a
// thin strip of the others between them where the page is too narrow for all.

import {ABOVE, BELOW} from "./colours.js";
import {barPlaces} from "./gradcam_sum.js";
import {digits, listenToPointer} from "./panel_parts.js";

const HEIGHT = 140;
const WIDE = 12; // pixels of a wide bar
const WIDEST = 28; // of bars where all are wide
const PALE = 0.35; // opacity of units that are not in the sum yet

const MOVES = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10};

/** Bars on a canvas that chooses a unit with pointer and keys, as a slider does. */
export class AlphaBars {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(unit: number) => void} choose is called when the reader chooses a unit
   */
  constructor(canvas, choose) {
    this.canvas = canvas;
    this.choose = choose;
    this.shown = null;
    listenToPointer(canvas, (event) => this.#pointed(event));
    canvas.addEventListener("keydown", (event) => this.#pressed(event));
    new ResizeObserver(() => this.shown && this.#draw()).observe(canvas);
  }

  /**
   * Shows the weights of a layer.
   * @param {Float32Array} alphas
   * @param {number[]} order units, the largest alpha first
   * @param {number} unit the chosen one
   * @param {Set<number>} summed units in the sum
   */
  show(alphas, order, unit, summed) {
    this.shown = {alphas, order, summed, rank: order.indexOf(unit)};
    const {rank} = this.shown;
    const words = `unit ${unit}, weight ${digits(alphas[unit])}, ${rank + 1} of ${order.length}`;
    const now = {valuemin: 1, valuemax: order.length, valuenow: rank + 1, valuetext: words};
    for (const [name, value] of Object.entries(now)) this.canvas.setAttribute(`aria-${name}`, value);
    this.#draw();
  }

  #draw() {
    const {canvas} = this;
    const {alphas, order, rank, summed} = this.shown;
    const width = canvas.clientWidth;
    if (width === 0) return; // not visible
    const pen = prepared(canvas, width, HEIGHT);
    const ink = getComputedStyle(canvas).color;
    const top = Math.max(0, alphas[order[0]]);
    const bottom = Math.min(0, alphas[order.at(-1)]);
    const scale = (HEIGHT - 16) / (top - bottom || 1);
    const zero = 4 + top * scale;
    const places = this.#places(width);
    order.forEach((unit, n) => {
      const {left, width: wide} = onPixels(places[n]);
      pen.globalAlpha = summed.has(unit) ? 1 : PALE;
      pen.fillStyle = `rgb(${alphas[unit] < 0 ? BELOW : ABOVE})`;
      const height = Math.max(1, Math.abs(alphas[unit]) * scale);
      pen.fillRect(left, alphas[unit] < 0 ? zero : zero - height, wide, height);
    });
    pen.globalAlpha = 1;
    pen.fillStyle = ink;
    pen.fillRect(0, zero - 0.5, width, 1);
    mark(pen, places[rank], HEIGHT, width);
  }

  #places(width) {
    const channels = this.shown.order.length;
    return barPlaces(channels, width, Math.max(WIDE, Math.min(WIDEST, width / channels)));
  }

  #pointed(event) {
    if (!this.shown) return;
    const x = event.offsetX;
    const places = this.#places(this.canvas.clientWidth);
    const after = places.findIndex(({left}) => left > x);
    this.choose(this.shown.order[after < 0 ? places.length - 1 : Math.max(0, after - 1)]);
  }

  #pressed(event) {
    if (!this.shown) return;
    const {rank, order} = this.shown;
    const last = order.length - 1;
    const to = {Home: 0, End: last}[event.key] ?? rank + (MOVES[event.key] ?? NaN);
    if (Number.isNaN(to)) return;
    event.preventDefault();
    this.choose(order[Math.max(0, Math.min(last, to))]);
  }
}

/** Returns a context whose units are CSS pixels, cleared. */
function prepared(canvas, width, height) {
  const density = devicePixelRatio;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  return pen;
}

/** Returns where a bar is drawn: whole pixels, so that thin bars are not pale. */
function onPixels({left, width}) {
  const first = Math.round(left);
  const gap = width > 3 ? 1 : 0;
  return {left: first, width: Math.max(1, Math.round(left + width) - first - gap)};
}

/** Draws a triangle below the chosen bar. */
function mark(pen, {left, width: wide}, height, width) {
  const centre = Math.max(6, Math.min(width - 6, left + wide / 2));
  pen.beginPath();
  pen.moveTo(centre, height - 10);
  pen.lineTo(centre - 6, height);
  pen.lineTo(centre + 6, height);
  pen.fill();
}
