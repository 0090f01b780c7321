// What a map says beside what is true: as gradcam.measures.pointing and energy_inside define it.

/**
 * Returns where the maximum of a map lies: the first one, row by row.
 * @param {Float32Array} values
 * @param {number} width
 * @returns {{x: number, y: number, at: number} | null} null if the map is 0 everywhere
 */
export function highest(values, width) {
  let at = 0;
  for (let n = 1; n < values.length; n++) if (values[n] > values[at]) at = n;
  return values[at] > 0 ? {x: at % width, y: Math.floor(at / width), at} : null;
}

/**
 * Returns the share of the sum of a map on each object; the rest is the ground.
 * @param {Float32Array} values
 * @param {Uint8Array} owner for each pixel the number of the object that it shows, from 1 on, or 0
 * @param {number} count how many objects there are
 * @returns {{objects: number[], ground: number} | null} null if the map is 0 everywhere
 */
export function energy(values, owner, count) {
  const sums = new Float64Array(count + 1);
  for (let n = 0; n < values.length; n++) if (values[n] > 0) sums[owner[n]] += values[n];
  const total = sums.reduce((sum, each) => sum + each, 0);
  if (!total) return null;
  const [ground, ...objects] = Array.from(sums, (each) => each / total);
  return {objects, ground};
}

/**
 * Returns whole percents of shares that add up to 100, by the largest remainders.
 * @param {number[]} shares which add up to 1
 * @returns {number[]}
 */
export function wholePercents(shares) {
  const floors = shares.map((share) => Math.floor(100 * share));
  const left = 100 - floors.reduce((sum, each) => sum + each, 0);
  const order = shares.map((share, n) => [100 * share - floors[n], n]).sort((a, b) => b[0] - a[0]);
  for (const [, n] of order.slice(0, left)) floors[n]++;
  return floors;
}

/**
 * Returns the outline of an object as a path of SVG, along the edges of its pixels.
 * @param {Uint8Array} mask 1 where the object is seen
 * @param {number} size the side of the picture
 * @returns {string}
 */
export function outline(mask, size) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < size && y < size && mask[y * size + x] === 1;
  const parts = [];
  for (let y = 0; y <= size; y++) {
    for (let x = 0; x < size; x++) {
      if (inside(x, y) === inside(x, y - 1)) continue;
      const start = x;
      const here = inside(x, y);
      while (x + 1 < size && inside(x + 1, y) === here && inside(x + 1, y - 1) === !here) x++;
      parts.push(`M${start} ${y}H${x + 1}`);
    }
  }
  for (let x = 0; x <= size; x++) {
    for (let y = 0; y < size; y++) {
      if (inside(x, y) === inside(x - 1, y)) continue;
      const start = y;
      const here = inside(x, y);
      while (y + 1 < size && inside(x, y + 1) === here && inside(x - 1, y + 1) === !here) y++;
      parts.push(`M${x} ${start}V${y + 1}`);
    }
  }
  return parts.join("");
}
