// Reads a picture and patches as JSON, and prints what noise.js and occlusion.js make of them.
import {readFileSync} from "node:fs";
import {normalValues, withNoise} from "../gradcam/_page/page/noise.js";
import {
  Occlusions, fillColour, patchAround, patchGrid, sweep,
} from "../gradcam/_page/page/occlusion.js";

const given = JSON.parse(readFileSync(0, "utf8"));
const picture = Uint8ClampedArray.from(given.picture);
const {width, height, patch, stride} = given;
const grid = patchGrid(width, height, patch, stride);
const known = new Occlusions(picture, width);
const before = known.falls(0);
known.scores = Float32Array.from(given.scores);
const fill = fillColour(picture, given.fill);
const asked = [];
const ask = async (covered) => {
  asked.push(Array.from(covered));
  return Float32Array.from(given.covered[asked.length - 1]);
};
await sweep(known, grid, fill, ask, () => asked.length < given.stopped);
const stopped = known.count;
asked.length = 0;
await sweep(known, grid, fill, ask, () => true);
const {values, covered} = known.falls(given.target);
const normal = normalValues(3 * width * height, given.seed);
const found = {
  before,
  grid,
  values: Array.from(values),
  covered: Array.from(covered),
  count: known.count,
  fill,
  stopped,
  asked,
  around: given.points.map(([x, y]) => patchAround(x, y, patch, width, height)),
  normal: Array.from(normal),
  again: Array.from(normalValues(3 * width * height, given.seed)),
  other: Array.from(normalValues(3 * width * height, given.seed + 1)),
  noisy: given.deviations.map((each) => Array.from(withNoise(picture, normal, each))),
  after: Array.from(picture),
};
process.stdout.write(JSON.stringify(found));
