// How a picture becomes a network's square input: the size that it is resized to, and the crop.

/**
 * @typedef {{size: number, shorter_side: number, longer_side: "nearest" | "down",
 *   crop_offset: "nearest" | "down", interpolation: "bilinear" | "bicubic"}} Preset
 *   As gradcam.Preset: the shorter side is resized to `shorter_side`, the centre is cropped to `size`.
 */

/**
 * @param {number} width
 * @param {number} height
 * @param {Preset} preset
 * @returns {{width: number, height: number, left: number, top: number, size: number}}
 */
export function fitOf(width, height, preset) {
  const {size, shorter_side: shorter} = preset;
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  const longer = Math.max(shorter, divided(shorter * long, short, preset.longer_side));
  const [columns, rows] = width > height ? [longer, shorter] : [shorter, longer];
  const offset = (length) => halved(length - size, preset.crop_offset);
  return {width: columns, height: rows, left: offset(columns), top: offset(rows), size};
}

function divided(length, by, rounding) {
  return Math.floor(rounding === "nearest" ? (2 * length + by) / (2 * by) : length / by);
}

/** Returns half of an integer, rounded down, or halves to the even neighbour. */
function halved(length, rounding) {
  const down = Math.floor(length / 2);
  return rounding === "nearest" && length % 2 === 1 && down % 2 === 1 ? down + 1 : down;
}
