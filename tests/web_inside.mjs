// Reads a layer's maps and alphas as JSON, and prints what gradcam_sum.js computes from them.
import {readFileSync} from "node:fs";
import {
  alphaOrder, barPlaces, partialSum, strongestAt, sumScale, termOrder, unitMap,
} from "../gradcam/_page/page/gradcam_sum.js";

const given = JSON.parse(readFileSync(0, "utf8"));
const inside = {
  ...given,
  activations: Float32Array.from(given.activations),
  alphas: Float32Array.from(given.alphas),
};
const order = termOrder(inside);
const found = {
  order,
  alphaOrder: alphaOrder(inside),
  sums: given.terms.map((terms) => Array.from(partialSum(inside, order.slice(0, terms)))),
  scale: sumScale(inside, order),
  strongest: given.cells.map((cell) => strongestAt(inside, cell)),
  map: Array.from(unitMap(inside, given.unit)),
  places: given.widths.map((width) => barPlaces(inside.channels, width, given.wide)),
};
process.stdout.write(JSON.stringify(found));
