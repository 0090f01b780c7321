// A map of few cells over the grey picture, on a canvas in which the reader chooses a cell.

import {ARROWS, drawFrame, listenToPointer} from "./panel_parts.js";

/** A canvas that shows a map; pointer and arrow keys choose a cell. */
export class CellMap {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(cell: number) => void} choose is called with a cell's number, row by row
   */
  constructor(canvas, choose) {
    this.canvas = canvas;
    this.choose = choose;
    this.shown = null;
    listenToPointer(canvas, (event) => this.#pointed(event));
    canvas.addEventListener("keydown", (event) => this.#pressed(event));
  }

  /**
   * Shows pixels, and a frame around the chosen cell.
   * @param {Uint8ClampedArray} rgba size * size pixels
   * @param {number} size of a side, in pixels
   * @param {{width: number, height: number}} shape of the map, in cells
   * @param {number | null} cell
   */
  show(rgba, size, {width, height}, cell) {
    this.shown = {width, height, cell};
    const {canvas} = this;
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const pen = canvas.getContext("2d");
    pen.putImageData(new ImageData(rgba, size, size), 0, 0);
    if (cell === null) return;
    const [wide, high] = [size / width, size / height];
    drawFrame(pen, (cell % width) * wide, Math.floor(cell / width) * high, wide, high);
  }

  #pointed(event) {
    if (!this.shown) return;
    const {width, height} = this.shown;
    const {clientWidth, clientHeight} = this.canvas;
    const column = within(Math.floor((event.offsetX / clientWidth) * width), width);
    const row = within(Math.floor((event.offsetY / clientHeight) * height), height);
    this.choose(row * width + column);
  }

  #pressed(event) {
    const step = ARROWS[event.key];
    if (!this.shown || !step) return;
    event.preventDefault();
    const {width, height} = this.shown;
    const cell = this.shown.cell ?? (height >> 1) * width + (width >> 1);
    const column = within((cell % width) + step[0], width);
    const row = within(Math.floor(cell / width) + step[1], height);
    this.choose(row * width + column);
  }
}

/**
 * Returns a map with a value for each pixel, that of the cell in which it lies.
 * @param {ArrayLike<number>} values height * width, row by row
 * @param {number} width in cells
 * @param {number} height
 * @param {number} size of a side of the result, in pixels
 * @returns {Float32Array}
 */
export function spread(values, width, height, size) {
  const result = new Float32Array(size * size);
  for (let y = 0; y < size; y++) {
    const row = Math.floor((y * height) / size) * width;
    for (let x = 0; x < size; x++) {
      result[y * size + x] = values[row + Math.floor((x * width) / size)];
    }
  }
  return result;
}

function within(number, count) {
  return Math.max(0, Math.min(count - 1, number));
}
