// From a scene to its picture and the pixels of each object. Only arithmetic, so that every browser
// draws the same picture; the pictograms are scaled and turned as those of the training scenes.

const OPAQUE = 128 / 255;
const KEPT = 48; // pictograms that are kept in the sizes that were drawn last

/**
 * Returns a function that draws scenes.
 * @param {import("./pixels.js").Pixels} pixels
 * @param {{label: string, cells: number[]}[]} classes
 * @returns {(scene: import("./scene.js").Scene) =>
 *   {picture: Uint8ClampedArray, owner: Uint8Array, masks: Uint8Array[]}}
 *   `picture` is RGBA; `owner` holds for each pixel the number of the object that it shows, from 1
 *   on, or 0; `masks` has for each object 1 where it is seen and 0 elsewhere.
 */
export function createDrawing(pixels, classes) {
  const {size, sprites, grounds} = pixels;
  const cells = new Map(classes.map(({label, cells}) => [label, cells]));
  const grain = grainOf(size * size);
  const scaled = keptScaled();
  return (scene) => {
    const canvas = new Float32Array(grounds.get(scene.ground));
    const owner = new Uint8Array(size * size);
    scene.objects.forEach((thing, n) => {
      const cell = cells.get(thing.label)[thing.variant - 1];
      paste(canvas, owner, size, scaled(cell, sprites[cell], thing.length), thing, n + 1);
    });
    const masks = scene.objects.map((_, n) => owner.map((number) => (number === n + 1 ? 1 : 0)));
    return {picture: finished(canvas, grain), owner, masks};
  };
}

/** Draws a pictogram over the canvas, turned about its centre. */
function paste(canvas, owner, size, sprite, {x, y, turn}, number) {
  const {width, height, rgba} = sprite;
  const cos = Math.cos((turn * Math.PI) / 180);
  const sin = Math.sin((turn * Math.PI) / 180);
  const reachX = (Math.abs(cos) * width + Math.abs(sin) * height) / 2 + 1;
  const reachY = (Math.abs(sin) * width + Math.abs(cos) * height) / 2 + 1;
  const right = Math.min(size - 1, Math.ceil(x + reachX));
  const bottom = Math.min(size - 1, Math.ceil(y + reachY));
  const found = new Float32Array(4);
  for (let row = Math.max(0, Math.floor(y - reachY)); row <= bottom; row++) {
    for (let column = Math.max(0, Math.floor(x - reachX)); column <= right; column++) {
      const dx = column + 0.5 - x;
      const dy = row + 0.5 - y;
      const u = cos * dx + sin * dy + width / 2 - 0.5;
      const v = cos * dy - sin * dx + height / 2 - 0.5;
      if (!sample(found, rgba, width, height, u, v)) continue;
      const at = row * size + column;
      if (found[3] >= OPAQUE) owner[at] = number;
      for (let c = 0; c < 3; c++) {
        canvas[3 * at + c] = canvas[3 * at + c] * (1 - found[3]) + 255 * found[c];
      }
    }
  }
}

/** Interpolates between four pixels; beyond the edge all is transparent. False if nothing is there. */
function sample(found, rgba, width, height, u, v) {
  const left = Math.floor(u);
  const top = Math.floor(v);
  if (left < -1 || top < -1 || left >= width || top >= height) return false;
  found.fill(0);
  for (let row = top; row <= top + 1; row++) {
    if (row < 0 || row >= height) continue;
    const shareY = 1 - Math.abs(v - row);
    for (let column = left; column <= left + 1; column++) {
      if (column < 0 || column >= width) continue;
      const share = shareY * (1 - Math.abs(u - column));
      const at = 4 * (row * width + column);
      for (let c = 0; c < 4; c++) found[c] += share * rgba[at + c];
    }
  }
  return found[3] > 0;
}

/** Returns a function that scales a pictogram and keeps the last results. */
function keptScaled() {
  const kept = new Map();
  return (cell, sprite, length) => {
    const key = `${cell},${length}`;
    const result = kept.get(key) ?? scaledTo(sprite, length);
    kept.delete(key);
    kept.set(key, result);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    return result;
  };
}

/**
 * Scales a pictogram so that its longer side has a length, in pixels.
 * @param {import("./pixels.js").Sprite} sprite
 * @param {number} length
 * @returns {import("./pixels.js").Sprite}
 */
export function scaledTo(sprite, length) {
  const zoom = length / Math.max(sprite.width, sprite.height);
  const width = Math.max(4, Math.round(sprite.width * zoom));
  const height = Math.max(4, Math.round(sprite.height * zoom));
  const wide = rowsScaled(sprite.rgba, sprite.width, sprite.height, width);
  const turned = transposed(wide, width, sprite.height);
  const rgba = transposed(rowsScaled(turned, sprite.height, width, height), height, width);
  return {width, height, rgba};
}

/** Scales each row by the triangle filter, which is as wide as a pixel of the smaller of the two. */
function rowsScaled(rgba, from, rows, to) {
  const result = new Float32Array(rows * to * 4);
  const step = from / to;
  const reach = Math.max(1, step);
  for (let column = 0; column < to; column++) {
    const centre = (column + 0.5) * step;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(from, Math.trunc(centre + reach + 0.5));
    const shares = [];
    for (let n = first; n < last; n++) shares.push(Math.max(0, 1 - Math.abs(n + 0.5 - centre) / reach));
    const total = shares.reduce((sum, share) => sum + share, 0);
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < 4; c++) {
        let sum = 0;
        for (let n = first; n < last; n++) sum += shares[n - first] * rgba[4 * (row * from + n) + c];
        result[4 * (row * to + column) + c] = sum / total;
      }
    }
  }
  return result;
}

/** Exchanges rows and columns. */
function transposed(rgba, width, height) {
  const result = new Float32Array(rgba.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = 4 * (row * width + column);
      for (let c = 0; c < 4; c++) result[4 * (column * height + row) + c] = rgba[from + c];
    }
  }
  return result;
}

/** Returns the grain of every picture: -3 to 3 for each pixel, always the same. */
function grainOf(count) {
  const grain = new Int8Array(count);
  let state = 1;
  for (let n = 0; n < count; n++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    grain[n] = Math.floor((state / 2 ** 32) * 7) - 3;
  }
  return grain;
}

/** Returns the picture, RGBA, with the grain. */
function finished(canvas, grain) {
  const picture = new Uint8ClampedArray(4 * grain.length);
  for (let n = 0; n < grain.length; n++) {
    for (let c = 0; c < 3; c++) picture[4 * n + c] = Math.floor(canvas[3 * n + c] + grain[n]);
    picture[4 * n + 3] = 255;
  }
  return picture;
}
