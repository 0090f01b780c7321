// The fall of a score as colours over the grey picture, and in words.

import {oneDigit, overlay, signedOverlay} from "./colours.js";

/**
 * Returns the pixels of a map of falls, RGBA: the largest is 1; what no patch covered is faded.
 * Without a table rises are drawn, too.
 * @param {Uint8ClampedArray} picture RGBA
 * @param {{values: Float64Array, covered: Uint32Array} | null} falls
 * @param {Uint8Array | null} table the 256 colours of the scale, RGB
 * @returns {Uint8ClampedArray}
 */
export function fallPixels(picture, falls, table) {
  const count = picture.length / 4;
  const values = falls?.values ?? new Float64Array(count);
  const drawn = table ? values.map((value) => Math.max(0, value)) : values;
  const largest = drawn.reduce((high, value) => Math.max(high, Math.abs(value)), 0) || 1;
  const shares = Float32Array.from(drawn, (value) => value / largest);
  const pixels = table ? overlay(picture, shares, table) : signedOverlay(picture, shares);
  for (let n = 0; n < count; n++) {
    if (falls?.covered[n]) continue;
    for (let c = 0; c < 3; c++) pixels[4 * n + c] = (pixels[4 * n + c] >> 1) + 64;
  }
  return pixels;
}

/**
 * Returns what a map of falls says.
 * @param {{values: Float64Array, covered: Uint32Array} | null} falls
 * @param {number} count patches that were tried
 * @param {boolean} rises whether rises are drawn, too
 * @returns {string}
 */
export function fallWords(falls, count, rises) {
  if (!falls || count === 0) return "Where the patch was, the fall of the score is drawn here.";
  const covered = falls.values.filter((_, n) => falls.covered[n]);
  const high = covered.reduce((a, b) => Math.max(a, b));
  const low = covered.reduce((a, b) => Math.min(a, b));
  const most = high >= 0.05 ? `falls by up to ${oneDigit(high)}` : "falls by less than 0.05";
  const blue = rises ? "blue" : "not drawn";
  const least = low <= -0.05 ? `, and rises by up to ${oneDigit(-low)} (${blue})` : "";
  const patches = count === 1 ? "1 patch" : `${count} patches`;
  return `${patches}: the score ${most}${least}. Each pixel: the mean over the patches on it.`;
}
