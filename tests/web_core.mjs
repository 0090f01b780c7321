// Compare the page's core with Python's results: node web_core.mjs MODULE FOLDER
// The folder is made by test_web_core.py. Prints, for each case and quantity, the largest and the
// mean difference, relative to the largest value; null where something has another length.
import fs from "node:fs";
import {setFlagsFromString} from "node:v8";
import {openCore} from "../gradcam/_page/page/core.js";

const [file, folder] = process.argv.slice(2);
const read = (name) => fs.readFileSync(`${folder}/${name}`);
const floats = (name) => new Float32Array(new Uint8Array(read(name)).buffer);

function difference(found, right) {
  if (found.length !== right.length) return null;
  let [most, sum, largest] = [0, 0, 0];
  for (let i = 0; i < right.length; i++) {
    const apart = Math.abs(found[i] - right[i]);
    most = Math.max(most, apart); // a NaN stays one
    sum += apart;
    largest = Math.max(largest, Math.abs(right[i]));
  }
  const scale = largest || 1;
  return Number.isFinite(most) ? [most / scale, sum / right.length / scale] : null;
}

const bytes = fs.readFileSync(file);
// Node 20 knows relaxed SIMD, but does not use it unless told to; newer ones always do.
if (!WebAssembly.validate(bytes)) setFlagsFromString("--experimental-wasm-relaxed-simd");
const core = await openCore(bytes);
const networks = {};
const answer = {level: core.level, differences: {}};
for (const {name, network, picture, target, layer, files, also} of JSON.parse(read("cases.json"))) {
  networks[network] ??= core.network(
    JSON.parse(read(`${network}.json`)), new Uint8Array(read(`${network}.bin`)),
  );
  const net = networks[network];
  net.forward(new Uint8ClampedArray(read(picture)), also);
  const found = {scores: net.scores(), probabilities: net.probabilities()};
  for (const quantity of Object.keys(files)) {
    const [kind, method] = quantity.split(" ");
    if (kind === "alphas") found[quantity] = net.alphas(target, layer);
    if (kind === "activation") found[quantity] = net.activation(layer);
    if (kind === "raw") found[quantity] = net.map(method, target, layer).raw;
    if (kind === "map") found[quantity] = net.map(method, target, layer).values;
  }
  answer.differences[name] = Object.fromEntries(
    Object.entries(files).map(([quantity, right]) => [quantity, difference(found[quantity], floats(right))]),
  );
}
Object.values(networks).forEach((network) => network.close());
answer.blocks = core.memory.exports.gc_alloc_live();
console.log(JSON.stringify(answer));
