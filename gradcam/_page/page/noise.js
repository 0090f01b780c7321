// Normal noise on pictures: repeatable, the same noise times the standard deviation.

/**
 * Returns a generator of numbers from 0 to 1, the same for the same seed (mulberry32).
 * @param {number} seed
 * @returns {() => number}
 */
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Returns values of the standard normal distribution (Box and Muller, 1958).
 * @param {number} count
 * @param {number} seed
 * @returns {Float32Array}
 */
export function normalValues(count, seed) {
  const random = uniform(seed);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

/**
 * Returns a picture with noise: each colour value plus deviation times a normal value, rounded, and
 * cut off below black and above white.
 * @param {Uint8ClampedArray} rgba
 * @param {Float32Array} normal three values for each pixel
 * @param {number} deviation in grey values, 0 to 255
 * @returns {Uint8ClampedArray} a new picture; alpha is unchanged
 */
export function withNoise(rgba, normal, deviation) {
  const noisy = new Uint8ClampedArray(rgba);
  if (deviation === 0) return noisy;
  for (let i = 0, j = 0; i < noisy.length; i += 4, j += 3) {
    noisy[i] = rgba[i] + deviation * normal[j];
    noisy[i + 1] = rgba[i + 1] + deviation * normal[j + 1];
    noisy[i + 2] = rgba[i + 2] + deviation * normal[j + 2];
  }
  return noisy;
}
