// Pictures resized as Pillow resizes them, with the same rounding, so that a network sees here what
// it sees in Python: a filter across the rows, rounded to 8 bits, then down the columns.

const BITS = 22; // of the fixed-point weights after the binary point
const HALF = 1 << (BITS - 1);

/** Filters by name: how far they reach, and their weight at a distance, in pixels. */
const FILTERS = {
  bilinear: {reach: 1, weight: (x) => 1 - Math.abs(x)},
  bicubic: {reach: 2, weight: (x) => cubic(Math.abs(x))},
};

/** Keys's cubic with a = -1/2, up to a distance of 2. */
function cubic(x) {
  return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : (((x - 5) * x + 8) * x - 4) * -0.5;
}

/**
 * Returns the weights that make a side of `to` pixels from one of `from`.
 *
 * The n-th of the places `begin` to `end` of the new side is the sum of the pixels from `firsts[n]` on,
 * times `weights[n]`, divided by 2^22.
 * @param {number} from
 * @param {number} to
 * @param {number} begin
 * @param {number} end
 * @param {"bilinear" | "bicubic"} filter
 * @returns {{firsts: Int32Array, weights: Int32Array[]}}
 */
export function weightsOf(from, to, begin, end, filter) {
  const {reach, weight} = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1); // a filter that reduces covers as many pixels as one becomes
  const firsts = new Int32Array(end - begin);
  const weights = [];
  for (let n = begin; n < end; n++) {
    const centre = (n + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach * stretch + 0.5));
    const last = Math.min(from, Math.trunc(centre + reach * stretch + 0.5));
    const values = new Float64Array(last - first);
    for (let i = 0; i < values.length; i++) values[i] = inside(weight, reach, (i + first - centre + 0.5) / stretch);
    const sum = values.reduce((all, value) => all + value, 0);
    firsts[n - begin] = first;
    weights.push(Int32Array.from(values, (value) => fixed(value / sum)));
  }
  return {firsts, weights};
}

function inside(weight, reach, x) {
  return Math.abs(x) < reach ? weight(x) : 0;
}

function fixed(value) {
  return Math.trunc(value * (1 << BITS) + (value < 0 ? -0.5 : 0.5));
}

/** Rounds a sum of products to 8 bits. */
function rounded(sum) {
  const value = (sum + HALF) >> BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/**
 * Resizes a picture that arrives in bands of rows, and keeps a part of the result.
 */
export class Resizer {
  /**
   * @param {number} width of the picture
   * @param {number} height
   * @param {{width: number, height: number, left: number, top: number, size: number}} fit the size
   *   that it is resized to, and the square of `size` pixels a side that is kept of it
   * @param {"bilinear" | "bicubic"} filter
   */
  constructor(width, height, fit, filter) {
    this.size = fit.size;
    this.width = width;
    this.across = weightsOf(width, fit.width, fit.left, fit.left + fit.size, filter);
    this.down = weightsOf(height, fit.height, fit.top, fit.top + fit.size, filter);
    const last = fit.size - 1;
    this.first = this.down.firsts[0];
    this.last = this.down.firsts[last] + this.down.weights[last].length;
    this.rows = new Uint8Array((this.last - this.first) * fit.size * 3);
  }

  /**
   * Takes the next rows; those that no row of the result needs may be left out.
   * @param {Uint8ClampedArray} rgba
   * @param {number} start the number of the first of these rows
   */
  add(rgba, start) {
    const count = rgba.length / (4 * this.width);
    for (let row = 0; row < count; row++) {
      const at = start + row - this.first;
      if (at >= 0 && start + row < this.last) this.addRow(rgba, 4 * row * this.width, 3 * at * this.size);
    }
  }

  /** Resizes one row, from `from` in `rgba`, to `to` in the rows that are kept. */
  addRow(rgba, from, to) {
    const {firsts, weights} = this.across;
    for (let x = 0; x < this.size; x++) {
      let [red, green, blue] = [0, 0, 0];
      let at = from + 4 * firsts[x];
      for (const weight of weights[x]) {
        red += weight * rgba[at];
        green += weight * rgba[at + 1];
        blue += weight * rgba[at + 2];
        at += 4;
      }
      this.rows[to++] = rounded(red);
      this.rows[to++] = rounded(green);
      this.rows[to++] = rounded(blue);
    }
  }

  /**
   * Returns the square that is kept, when all rows have arrived.
   * @returns {Uint8ClampedArray} RGBA, opaque
   */
  result() {
    const {firsts, weights} = this.down;
    const stride = 3 * this.size;
    const result = new Uint8ClampedArray(4 * this.size * this.size).fill(255);
    for (let y = 0; y < this.size; y++) {
      for (let n = 0; n < stride; n++) {
        let sum = 0;
        let at = (firsts[y] - this.first) * stride + n;
        for (const weight of weights[y]) {
          sum += weight * this.rows[at];
          at += stride;
        }
        result[4 * (y * this.size + Math.trunc(n / 3)) + (n % 3)] = rounded(sum);
      }
    }
    return result;
  }
}
