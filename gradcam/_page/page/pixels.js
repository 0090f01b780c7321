// The pixels of pictograms and backgrounds, from the bytes that the page brings.

/**
 * @typedef {{width: number, height: number, rgba: Float32Array}} Sprite
 *   A pictogram: colours multiplied by the opacity, and the opacity, all 0 to 1, row by row.
 * @typedef {{size: number, sprites: Sprite[], grounds: Map<string, Uint8Array>}} Pixels
 *   Backgrounds are RGB, row by row.
 */

/**
 * Decompresses the pixels and takes them apart, as `gradcam/_page/data.py` describes.
 * @param {Uint8Array} bytes compressed by zlib
 * @param {{size: number, cells: number[][], grounds: string[]}} contents
 * @returns {Promise<Pixels>}
 */
export async function openPixels(bytes, contents) {
  if (typeof DecompressionStream !== "function") {
    throw new Error("This browser cannot unpack the pictures: open this page in a newer one.");
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const all = new Uint8Array(await new Response(stream).arrayBuffer());
  let start = 0;
  const next = (count) => all.subarray(start, (start += count));
  const sprites = contents.cells.map(([width, height]) => {
    return {width, height, rgba: premultiplied(next(width * height * 4))};
  });
  const {size} = contents;
  const grounds = new Map();
  for (const name of contents.grounds) grounds.set(name, summed(next(size * size * 3), size * 3));
  return {size, sprites, grounds};
}

function premultiplied(rgba) {
  const result = new Float32Array(rgba.length);
  for (let n = 0; n < rgba.length; n += 4) {
    const opacity = rgba[n + 3] / 255;
    result[n + 3] = opacity;
    for (let c = 0; c < 3; c++) result[n + c] = (opacity * rgba[n + c]) / 255;
  }
  return result;
}

/** Adds to each value that of the pixel above it, modulo 256. */
function summed(differences, stride) {
  const result = new Uint8Array(differences);
  for (let n = stride; n < result.length; n++) result[n] += result[n - stride];
  return result;
}
