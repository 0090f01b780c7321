// From numbers to pixels and words, as in gradcam's figures: inferno over the grey picture.

const MAX_OPACITY = 0.8; // of a map's colours where it is 1, so that the picture stays visible
const FULL = 0.995; // the share of values up to which the colours of pixel methods are full
const BINS = 4096;

export const ABOVE = [214, 47, 39]; // the colour of 1 in signed maps, RGB
export const BELOW = [47, 111, 214]; // that of -1

/**
 * Returns the pixels of a map, RGBA.
 * @param {"map" | "magnitude" | "signed"} view
 * @param {{values: Float32Array, raw: Float32Array}} map
 * @param {Uint8ClampedArray} picture RGBA
 * @param {Uint8Array} table the 256 colours of the scale, RGB
 * @returns {Uint8ClampedArray}
 */
export function mapPixels(view, map, picture, table) {
  if (view === "map") return overlay(picture, map.values, table);
  return view === "signed" ? signedPixels(map.raw) : greyPixels(map.values);
}

/**
 * Lays the colours of a map over the grey picture; where it is 0 the picture is unchanged.
 * @param {Uint8ClampedArray} picture RGBA
 * @param {Float32Array} values 0 to 1
 * @param {Uint8Array} table 256 colours, RGB
 * @returns {Uint8ClampedArray}
 */
export function overlay(picture, values, table) {
  const result = new Uint8ClampedArray(picture.length);
  for (let n = 0; n < values.length; n++) {
    const step = Math.min(255, Math.floor(values[n] * 256));
    const share = (MAX_OPACITY * step) / 255;
    const grey = greyOf(picture, 4 * n);
    for (let c = 0; c < 3; c++) result[4 * n + c] = (1 - share) * grey + share * table[3 * step + c];
    result[4 * n + 3] = 255;
  }
  return result;
}

/**
 * Lays signed values over the grey picture: red above 0, blue below; the opacity rises with the size.
 * @param {Uint8ClampedArray} picture RGBA
 * @param {Float32Array} values -1 to 1
 * @returns {Uint8ClampedArray}
 */
export function signedOverlay(picture, values) {
  const result = new Uint8ClampedArray(picture.length);
  for (let n = 0; n < values.length; n++) {
    const share = MAX_OPACITY * Math.min(1, Math.abs(values[n]));
    const colour = values[n] < 0 ? BELOW : ABOVE;
    const grey = greyOf(picture, 4 * n);
    for (let c = 0; c < 3; c++) result[4 * n + c] = (1 - share) * grey + share * colour[c];
    result[4 * n + 3] = 255;
  }
  return result;
}

/** The luma of ITU-R BT.601, as an integer. */
function greyOf(picture, at) {
  return (19595 * picture[at] + 38470 * picture[at + 1] + 7471 * picture[at + 2] + 32768) >> 16;
}

/** Grey: black at 0, white from the 99.5th percentile on. */
function greyPixels(values) {
  const full = percentile(values, FULL) || 1;
  const result = new Uint8ClampedArray(4 * values.length).fill(255);
  for (let n = 0; n < values.length; n++) {
    result.fill((255 * values[n]) / full, 4 * n, 4 * n + 3);
  }
  return result;
}

/** Mid-grey at 0; full from the 99.5th percentile of the absolute values on; planes R, G, B. */
function signedPixels(raw) {
  const count = raw.length / 3;
  const full = percentile(raw, FULL) || 1;
  const result = new Uint8ClampedArray(4 * count).fill(255);
  for (let c = 0; c < 3; c++) {
    for (let n = 0; n < count; n++) result[4 * n + c] = 127.5 * (1 + raw[c * count + n] / full);
  }
  return result;
}

/** Returns the absolute value below which a share of all absolute values lies, within 1/4096. */
function percentile(values, share) {
  let largest = 0;
  for (let n = 0; n < values.length; n++) largest = Math.max(largest, Math.abs(values[n]));
  if (!largest) return 0;
  const counts = new Uint32Array(BINS + 1);
  for (let n = 0; n < values.length; n++) counts[(Math.abs(values[n]) / largest) * BINS | 0]++;
  let left = share * values.length;
  let bin = 0;
  while (bin < BINS && (left -= counts[bin]) > 0) bin++;
  return (largest * (bin + 1)) / (BINS + 1);
}

/**
 * Puts pixels on a canvas of their size.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8ClampedArray} pixels RGBA
 */
export function paint(canvas, pixels) {
  const size = Math.sqrt(pixels.length / 4);
  if (canvas.width !== size || canvas.height !== size) canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(new ImageData(pixels, size, size), 0, 0);
}

/**
 * Returns a share as people write it: "12.3 %"; none that is there becomes 0 %.
 * @param {number} share 0 to 1
 */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/**
 * Returns a number with one digit after the point and a real minus sign.
 * @param {number} value
 */
export function oneDigit(value) {
  const text = value.toFixed(1);
  return text === "-0.0" ? "0.0" : text.replace("-", "−");
}

/** Colours of the objects of a scene, by number: as outlines and in the bars of shares. */
export const OBJECT_COLOURS = ["#00b4d8", "#f72585", "#80b918", "#ff9f1c"];
