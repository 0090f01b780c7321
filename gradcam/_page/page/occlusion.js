// Occlusion: what a score loses if a patch is hidden (Zeiler and Fergus, 2014). No page.
//
// A pixel's value is the mean of S(x) - S(x with the patch) over the patches that cover it, as in
// gradcam's method "occlusion".

/**
 * A patch: the first row and column, and those after the last.
 * @typedef {{top: number, left: number, bottom: number, right: number}} Place
 */

/** What may be seen in a patch, by name. */
export const FILLS = {grey: "mid-grey", black: "black", mean: "mean colour"};

/**
 * Returns the patches of a sweep, row by row: they begin at multiples of the stride, and the last
 * ones end at the edge.
 * @param {number} width of the picture
 * @param {number} height
 * @param {number} patch side in pixels
 * @param {number} stride
 * @returns {Place[]}
 */
export function patchGrid(width, height, patch, stride) {
  const rows = intervals(height, patch, stride);
  const columns = intervals(width, patch, stride);
  return rows.flatMap(([top, bottom]) =>
    columns.map(([left, right]) => ({top, left, bottom, right})),
  );
}

/**
 * Returns the square patch around a point, moved so that it lies inside the picture.
 * @param {number} x
 * @param {number} y
 * @param {number} patch side in pixels
 * @param {number} width of the picture
 * @param {number} height
 * @returns {Place}
 */
export function patchAround(x, y, patch, width, height) {
  const left = Math.max(0, Math.min(width - patch, Math.round(x - patch / 2)));
  const top = Math.max(0, Math.min(height - patch, Math.round(y - patch / 2)));
  return {top, left, bottom: top + patch, right: left + patch};
}

/**
 * Returns the colour of a patch.
 * @param {Uint8ClampedArray} rgba
 * @param {string} fill a key of FILLS
 * @returns {number[]} red, green and blue, 0 to 255; mid-grey is 128
 */
export function fillColour(rgba, fill) {
  if (fill === "grey") return [128, 128, 128];
  if (fill === "black") return [0, 0, 0];
  const sums = [0, 0, 0];
  for (let i = 0; i < rgba.length; i += 4) {
    for (let channel = 0; channel < 3; channel++) sums[channel] += rgba[i + channel];
  }
  return sums.map((sum) => Math.round((4 * sum) / rgba.length));
}

/**
 * Returns a picture with a patch of one colour.
 * @param {Uint8ClampedArray} rgba
 * @param {number} width of the picture
 * @param {Place} place
 * @param {number[]} colour red, green and blue
 * @returns {Uint8ClampedArray} a new picture
 */
export function withPatch(rgba, width, place, colour) {
  const covered = new Uint8ClampedArray(rgba);
  for (let y = place.top; y < place.bottom; y++) {
    for (let x = place.left; x < place.right; x++) covered.set(colour, 4 * (y * width + x));
  }
  return covered;
}

/** What is known of a picture: its scores, and those with a patch at each place that was tried. */
export class Occlusions {
  /**
   * @param {Uint8ClampedArray} picture without a patch
   * @param {number} width of the picture
   */
  constructor(picture, width) {
    this.picture = picture;
    this.width = width;
    this.height = picture.length / 4 / width;
    /** @type {Float32Array | null} the scores of all classes without a patch */
    this.scores = null;
    this.places = new Map();
  }

  /** @returns {number} how many places are known */
  get count() {
    return this.places.size;
  }

  /**
   * Notes the scores with a patch; a place counts once.
   * @param {Place} place
   * @param {Float32Array} scores of all classes
   */
  add(place, scores) {
    this.places.set(`${place.top} ${place.left} ${place.bottom} ${place.right}`, {place, scores});
  }

  /**
   * Returns the map of what a class's score loses.
   * @param {number} target
   * @returns {{values: Float64Array, covered: Uint32Array} | null} the mean fall at each pixel, 0
   *   where no patch was; how many patches covered it. null before the scores without a patch
   */
  falls(target) {
    if (this.scores === null) return null;
    const values = new Float64Array(this.width * this.height);
    const covered = new Uint32Array(values.length);
    for (const {place, scores} of this.places.values()) {
      const fall = this.scores[target] - scores[target];
      for (let y = place.top; y < place.bottom; y++) {
        for (let i = y * this.width + place.left; i < y * this.width + place.right; i++) {
          values[i] += fall;
          covered[i] += 1;
        }
      }
    }
    for (let i = 0; i < values.length; i++) values[i] /= covered[i] || 1;
    return {values, covered};
  }
}

/**
 * Returns where patches begin and end along one side.
 * @param {number} length
 * @param {number} patch
 * @param {number} stride
 * @returns {number[][]}
 */
function intervals(length, patch, stride) {
  const count = Math.ceil((length - patch) / stride) + 1;
  return Array.from({length: count}, (_, i) => [i * stride, Math.min(i * stride + patch, length)]);
}

/**
 * Tries a patch at each place of a grid, one after the other.
 * @param {Occlusions} known receives the scores
 * @param {Place[]} grid
 * @param {number[]} colour red, green and blue
 * @param {(picture: Uint8ClampedArray) => Promise<Float32Array>} ask returns a picture's scores
 * @param {(place: Place) => boolean} goesOn is called before each place; false ends the sweep
 */
export async function sweep(known, grid, colour, ask, goesOn) {
  for (const place of grid) {
    if (!goesOn(place)) return;
    known.add(place, await ask(withPatch(known.picture, known.width, place, colour)));
  }
}
