// The worker: opens the core and the networks, then answers one request after the other.
import {chooseModule, openCore} from "./core.js";
import {decodeBase64} from "./base64.js";

/**
 * Open the core.
 * @param {{wasm: object, networks: object}} given as to `openClient`
 * @returns {Promise<{opened: object, answer: (request: object) => object}>} what the client is told
 *     of it, and the function that answers a request of client.js
 * @throws {Error} with a sentence for people
 */
export async function openWorker({wasm, networks}) {
  const modules = {simd128: bytesOf(wasm.simd128), relaxed: bytesOf(wasm.relaxed)};
  const core = await openCore(chooseModule(modules));
  const open = {};
  const told = {};
  for (const [name, {description, weights}] of Object.entries(networks)) {
    const network = core.network(description, bytesOf(weights));
    open[name] = network;
    const {labels, layers, size, targetLayer} = network;
    told[name] = {labels, layers, size, targetLayer};
  }
  return {
    opened: {level: core.level, networks: told},
    answer: (request) => answered(open[request.network], request),
  };
}

function bytesOf(given) {
  return typeof given === "string" ? decodeBase64(given) : given;
}

function answered(network, {picture, maps = [], inside}) {
  const start = performance.now();
  const layers = [...maps, ...(inside ? [inside] : [])].flatMap(({layer}) => layer ?? []);
  network.forward(picture, layers);
  const scores = network.scores();
  const top = scores.indexOf(scores.reduce((a, b) => Math.max(a, b)));
  const classOf = (target) => (target === "top" ? top : target);
  const reply = {
    scores,
    probabilities: network.probabilities(),
    maps: maps.map(({method, target, layer = network.targetLayer}) => {
      const found = network.map(method, classOf(target), layer);
      return {method, target: classOf(target), layer, ...found};
    }),
    inside: inside && looked(network, classOf(inside.target), inside.layer ?? network.targetLayer),
  };
  return {...reply, milliseconds: performance.now() - start};
}

function looked(network, target, layer) {
  const {shape} = network.layers.find(({name}) => name === layer) ?? {shape: []};
  const [channels, height, width] = shape;
  const alphas = network.alphas(target, layer);
  return {layer, target, channels, width, height, activations: network.activation(layer), alphas};
}

/** The arrays of an answer, which are handed over and not copied. */
function arraysOf({scores, probabilities, maps, inside}) {
  const arrays = [scores, probabilities, ...maps.flatMap(({values, raw}) => [values, raw])];
  if (inside) arrays.push(inside.activations, inside.alphas);
  return arrays.filter(Boolean).map(({buffer}) => buffer);
}

/** Let a worker's global scope open and answer: each message in, one message out. */
function serve(scope) {
  let answer = null;
  scope.onmessage = async ({data}) => {
    try {
      if (answer === null) {
        const worker = await openWorker(data);
        answer = worker.answer;
        scope.postMessage({value: worker.opened});
      } else {
        const value = answer(data);
        scope.postMessage({value}, arraysOf(value));
      }
    } catch (error) {
      scope.postMessage({error: sentence(error)});
    }
  };
}

/** What to tell people. The engine's own errors, a fault of the core among them, are no sentences. */
function sentence(error) {
  if (error.constructor === Error) return error.message;
  return `The computation failed in this browser: open the page again (${error.message}).`;
}

if (typeof WorkerGlobalScope !== "undefined") serve(globalThis);
