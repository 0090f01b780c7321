// Runs the network of a folder on its picture, and prints the sum of Grad-CAM's terms and a sweep.
import {readFileSync} from "node:fs";
import {join} from "node:path";
import {openCore} from "../gradcam/_page/page/core.js";
import {partialSum, termOrder} from "../gradcam/_page/page/gradcam_sum.js";
import {Occlusions, fillColour, patchGrid, sweep} from "../gradcam/_page/page/occlusion.js";

const [folder, target, side] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const read = (name) => new Uint8Array(readFileSync(join(folder, name)));
const wasm = new URL("../gradcam/_page/core-simd128.wasm", import.meta.url);
const core = await openCore(new Uint8Array(readFileSync(wasm)));
const network = core.network(JSON.parse(readFileSync(join(folder, "network.json"))), read("weights"));
const picture = new Uint8ClampedArray(read("picture"));
const [height, width] = network.size;

const ask = async (rgba) => {
  network.forward(rgba);
  return Float32Array.from(network.scores());
};
const known = new Occlusions(picture, width);
known.scores = await ask(picture);
const layer = network.targetLayer;
const [channels, rows, columns] = network.layers.find(({name}) => name === layer).shape;
const inside = {
  channels,
  width: columns,
  height: rows,
  activations: network.activation(layer),
  alphas: network.alphas(target, layer),
};
const found = {
  layer,
  raw: Array.from(network.map("grad_cam", target, layer).raw),
  sum: Array.from(partialSum(inside, termOrder(inside))),
};
const grid = patchGrid(width, height, side, side / 2);
await sweep(known, grid, fillColour(picture, "grey"), ask, () => true);
const {values, covered} = known.falls(target);
const result = {...found, values: Array.from(values), covered: Array.from(covered)};
process.stdout.write(JSON.stringify(result));
