// The sum of Grad-CAM, L = ReLU(sum over k of alpha_k A^k), term by term. No drawing, no page.
//
// Units are the channels of a layer; cells are the positions of its maps, row by row.

/**
 * What the worker tells of a layer and a class.
 * @typedef {{channels: number, width: number, height: number, activations: Float32Array,
 *            alphas: Float32Array}} Inside
 */

/**
 * Returns the map A^k of one unit, as a view.
 * @param {Inside} inside
 * @param {number} unit
 * @returns {Float32Array} height * width values
 */
export function unitMap(inside, unit) {
  const cells = inside.width * inside.height;
  return inside.activations.subarray(unit * cells, (unit + 1) * cells);
}

/**
 * Returns the units in the order of their terms: by the mean of |alpha_k A^k|, the largest first.
 * @param {Inside} inside
 * @returns {number[]}
 */
export function termOrder(inside) {
  const sizes = Array.from(inside.alphas, (alpha, unit) => {
    let sum = 0;
    for (const value of unitMap(inside, unit)) sum += Math.abs(value);
    return Math.abs(alpha) * sum;
  });
  return sizes.map((_, unit) => unit).sort((a, b) => sizes[b] - sizes[a] || a - b);
}

/**
 * Returns the units in the order of alpha_k, the largest first.
 * @param {Inside} inside
 * @returns {number[]}
 */
export function alphaOrder(inside) {
  const {alphas} = inside;
  return Array.from(alphas, (_, unit) => unit).sort((a, b) => alphas[b] - alphas[a] || a - b);
}

/**
 * Returns the sum of alpha_k A^k over some units, before the ReLU.
 * @param {Inside} inside
 * @param {Iterable<number>} units
 * @returns {Float64Array} height * width values
 */
export function partialSum(inside, units) {
  const sum = new Float64Array(inside.width * inside.height);
  for (const unit of units) addTerm(sum, inside, unit);
  return sum;
}

/**
 * Returns the largest absolute value of any partial sum: one scale for the maps of all of them.
 * @param {Inside} inside
 * @param {number[]} order
 * @returns {number}
 */
export function sumScale(inside, order) {
  const sum = new Float64Array(inside.width * inside.height);
  let largest = 0;
  for (const unit of order) {
    addTerm(sum, inside, unit);
    for (const value of sum) largest = Math.max(largest, Math.abs(value));
  }
  return largest;
}

/**
 * Returns the unit that explains most of a cell: that of the largest term if the full sum is
 * positive there, and that of the most negative term if it is negative.
 * @param {Inside} inside
 * @param {number} cell
 * @returns {number}
 */
export function strongestAt(inside, cell) {
  const cells = inside.width * inside.height;
  const {alphas, activations} = inside;
  const terms = Array.from(alphas, (alpha, unit) => alpha * activations[unit * cells + cell]);
  const sign = terms.reduce((sum, term) => sum + term, 0) < 0 ? -1 : 1;
  return terms.reduce((best, term, unit) => (sign * term > sign * terms[best] ? unit : best), 0);
}

/**
 * Returns where the bar of each rank lies.
 * @param {number} channels
 * @param {number} width in pixels
 * @param {number} wide the width of a wide bar
 * @returns {{left: number, width: number}[]} by rank, from left to right without gaps
 */
export function barPlaces(channels, width, wide) {
  const {ends, strip} = barLayout(channels, width, wide);
  if (strip === 0) {
    return Array.from({length: channels}, (_, rank) => ({left: rank * wide, width: wide}));
  }
  const thin = strip / (channels - 2 * ends);
  return Array.from({length: channels}, (_, rank) => {
    if (rank < ends) return {left: rank * wide, width: wide};
    const fromRight = channels - rank;
    if (fromRight <= ends) return {left: width - fromRight * wide, width: wide};
    return {left: ends * wide + (rank - ends) * thin, width: thin};
  });
}

/**
 * Adds the term of one unit to a sum.
 * @param {Float64Array} sum
 * @param {Inside} inside
 * @param {number} unit
 */
function addTerm(sum, inside, unit) {
  const alpha = inside.alphas[unit];
  const map = unitMap(inside, unit);
  for (let cell = 0; cell < sum.length; cell++) sum[cell] += alpha * map[cell];
}

/**
 * Returns how many bars are wide: all, or as many at each end, with a strip for the others between.
 * @param {number} channels
 * @param {number} width in pixels
 * @param {number} wide the width of a wide bar
 * @returns {{ends: number, strip: number}} wide bars at each end; the width of the strip, 0 if
 *   there is none
 */
function barLayout(channels, width, wide) {
  if (channels * wide <= width) return {ends: channels, strip: 0};
  const strip = Math.max(40, 0.4 * width);
  const ends = Math.max(1, Math.min(Math.floor((width - strip) / 2 / wide), channels >> 1));
  return {ends, strip: width - 2 * ends * wide};
}
