// The C core in WebAssembly: a network's scores and the maps that explain them, equal to those of
// gradcam in Python. Runs in a worker, and under node.
import {LITTLE_MEMORY, Memory} from "./memory.js";
import {addLayer} from "./layers.js";

const NO_CORE = "This browser has no WebAssembly";
const UPDATE = "open this page in a current version of Firefox, Chrome, Edge or Safari.";

const RULES = {saliency: "gradient", deconvnet: "deconvnet", guided_backprop: "guided"};
const RULES_TIMES_MAP = {guided_grad_cam: "guided", deconv_grad_cam: "deconvnet"};
const MAP_SIGNS = {grad_cam: 1, counterfactual: -1};

/** The methods that `map` knows, by their names in Python. */
export const METHODS = [RULES, RULES_TIMES_MAP, MAP_SIGNS].flatMap(Object.keys);

/**
 * Whether this browser can run the core, and which of its modules.
 * @param {{simd128: Uint8Array, relaxed: Uint8Array}} modules
 * @returns {Uint8Array} the fastest module that it takes
 * @throws {Error} with a sentence for people
 */
export function chooseModule(modules) {
  if (typeof WebAssembly !== "object") throw new Error(`${NO_CORE}, or it is switched off: ${UPDATE}`);
  for (const bytes of [modules.relaxed, modules.simd128])
    if (bytes && WebAssembly.validate(bytes)) return bytes;
  throw new Error(`${NO_CORE} with SIMD, arithmetic on several numbers at once: ${UPDATE}`);
}

/**
 * Start the core.
 * @param {Uint8Array} bytes of one of the two modules
 * @returns {Promise<Core>}
 * @throws {Error} with a sentence for people
 */
export async function openCore(bytes) {
  const module = await compile(chooseModule({simd128: bytes}));
  const system = systemOf(module, () => instance.exports.memory.buffer);
  const instance = await instantiate(module, system);
  return new Core(instance.exports);
}

async function compile(bytes) {
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw new Error(`The browser does not allow this page to run WebAssembly (${error.message}).`);
  }
}

async function instantiate(module, system) {
  try {
    return await WebAssembly.instantiate(module, system);
  } catch (error) {
    if (error instanceof RangeError) throw new Error(LITTLE_MEMORY);
    throw error;
  }
}

/**
 * What the module imports: a clock, and of the system whatever its C library names. There are no
 * files and no environment here, and nothing asks for them but messages of the C library.
 */
function systemOf(module, buffer) {
  const BAD_FILE = 8;
  const system = {};
  for (const {module: name, name: called} of WebAssembly.Module.imports(module))
    if (name !== "host") system[called] = () => BAD_FILE;
  const environ_sizes_get = (count, size) => {
    new Uint32Array(buffer(), count, 1)[0] = new Uint32Array(buffer(), size, 1)[0] = 0;
    return 0;
  };
  const proc_exit = (status) => {
    throw new Error(`The core has stopped with status ${status}.`);
  };
  Object.assign(system, {environ_sizes_get, environ_get: () => 0, proc_exit});
  return {host: {now: () => performance.now()}, wasi_snapshot_preview1: system};
}

class Core {
  constructor(exports) {
    exports._initialize();
    this.memory = new Memory(exports);
    /** "simd128" or "relaxed" */
    this.level = this.memory.text(exports.gc_level_active());
  }

  /**
   * @param {object} description of `gradcam._page.networks.describe`
   * @param {Uint8Array} weights
   * @returns {Network}
   */
  network(description, weights) {
    return new Network(this.memory, description, weights);
  }
}

/** A network, and the record of its latest forward pass. */
class Network {
  constructor(memory, description, weights) {
    this.memory = memory;
    /** @type {string[]} the classes, in words */
    this.labels = description.labels;
    /** @type {[number, number]} height and width of the input */
    this.size = description.size;
    /** @type {string} Grad-CAM's usual layer */
    this.targetLayer = description.target_layer;
    this.scoreLayer = description.score_layer;
    this.probabilityLayer = description.probability_layer;
    this.address = this.#build(description, weights);
    /** @type {{name: string, op: string, shape: [number, number, number], flat: boolean}[]} */
    this.layers = this.#shapes(description.layers);
    this.numbers = new Map(this.layers.map(({name}, number) => [name, number]));
    this.tables = tablesOf(description.preset);
    this.input = memory.take(4 * this.#count(0));
    this.tape = 0;
    this.found = new Map(); // of this forward pass
  }

  /**
   * Run the network on a picture, as its preset prescribes, but without resizing.
   * @param {Uint8ClampedArray} rgba size[0] * size[1] * 4 bytes; the last of four is not read
   * @param {string[]} keep layers that will be asked for, besides `targetLayer`: others are computed
   *     again when they are
   */
  forward(rgba, keep = []) {
    const positions = this.size[0] * this.size[1];
    if (rgba.length !== 4 * positions)
      throw new Error(
        `The picture has ${rgba.length} bytes, but the network takes ${this.size.join(" x ")} ` +
          `pixels of 4 bytes.`,
      );
    const input = this.memory.floats(this.input, 3 * positions);
    this.tables.forEach(({values, source}, channel) => {
      const plane = input.subarray(channel * positions, (channel + 1) * positions);
      for (let i = 0; i < positions; i++) plane[i] = values[rgba[4 * i + source]];
    });
    this.#forget();
    const vectors = this.layers.filter(({flat}) => flat).map(({name}) => name);
    this.kept = new Set([this.targetLayer, ...vectors, ...keep]);
    this.tape = this.#run([...this.kept], this.layers.length - 1, 1);
  }

  /** @returns {Float32Array} the classes' scores, before the softmax */
  scores() {
    return this.activation(this.scoreLayer);
  }

  /** @returns {Float32Array | null} 0 to 1; null if the network ends with its scores */
  probabilities() {
    if (this.probabilityLayer === null) return null;
    const values = this.activation(this.probabilityLayer);
    const logarithms = this.layers[this.#number(this.probabilityLayer)].op === "log_softmax";
    return logarithms ? values.map(Math.exp) : values;
  }

  /**
   * Explain a class's score.
   * @param {string} method of METHODS
   * @param {number} target the class
   * @param {string} layer of the methods that explain a layer
   * @returns {{values: Float32Array, width: number, height: number,
   *     raw: Float32Array, rawWidth: number, rawHeight: number}} `values`: the map on the input, 0 to
   *     1, as `explanation.map` in Python; `raw` as `explanation.raw`: [height][width], or
   *     [channel][height][width] of the input
   */
  map(method, target, layer = this.targetLayer) {
    this.#checkTarget(target);
    const [height, width] = this.size;
    if (method in MAP_SIGNS) {
      const [, rawHeight, rawWidth] = this.#mapShape(layer);
      const raw = this.#weightedSum(target, layer, MAP_SIGNS[method]);
      const values = this.#onInput(rectified(raw), rawHeight, rawWidth);
      return {values: stretched(values), width, height, raw, rawWidth, rawHeight};
    }
    const raw = this.#pixels(method, target, layer);
    const values = stretched(largest(raw, height * width));
    return {values, width, height, raw, rawWidth: width, rawHeight: height};
  }

  /** @returns {Float32Array} the output of a layer, [channel][height][width] */
  activation(layer) {
    const number = this.#number(layer);
    return this.#once(`activation ${number}`, () => {
      if (this.tape === 0) throw new Error("The network has not seen a picture yet.");
      if (this.kept.has(layer)) return this.#read(this.tape, number);
      const tape = this.#run([layer], number, 0);
      try {
        return this.#read(tape, number);
      } finally {
        this.memory.exports.gc_tape_free(tape);
      }
    }).slice();
  }

  /** @returns {Float32Array} Grad-CAM's weight of each channel of a layer */
  alphas(target, layer = this.targetLayer) {
    this.#checkTarget(target);
    this.#mapShape(layer);
    return this.#alphas(target, layer).slice();
  }

  /** Free all memory. */
  close() {
    this.#forget();
    this.memory.exports.gc_network_free(this.address);
    this.memory.give(this.input, ...this.blocks);
    this.blocks = [];
  }

  // ---- What is computed once for a picture ----

  #once(key, compute) {
    if (!this.found.has(key)) this.found.set(key, compute());
    return this.found.get(key);
  }

  #forget() {
    this.memory.exports.gc_tape_free(this.tape);
    this.tape = 0;
    this.found.clear();
  }

  #alphas(target, layer) {
    const number = this.#number(layer);
    return this.#once(`alphas ${target} ${number}`, () =>
      this.#backward("gradient", target, number, this.layers[number].shape[0], true),
    );
  }

  #gradient(rule, target) {
    return this.#once(`${rule} ${target}`, () =>
      this.#backward(rule, target, 0, this.#count(0), false),
    );
  }

  #weightedSum(target, layer, sign) {
    const [channels, height, width] = this.#mapShape(layer);
    const weights = this.#alphas(target, layer).map((value) => sign * value);
    const maps = this.activation(layer);
    return this.memory.during((block) => {
      const given = [block.store(weights), block.store(maps), block.take(4 * height * width)];
      this.memory.exports.gc_weighted_sum(1, channels, height * width, ...given);
      return this.memory.floats(given[2], height * width).slice();
    });
  }

  /** The raw values of a method that explains the input's pixels. */
  #pixels(method, target, layer) {
    if (method in RULES) return this.#gradient(RULES[method], target).slice();
    if (!(method in RULES_TIMES_MAP)) throw new Error(`There is no method ${method}.`);
    const [, height, width] = this.#mapShape(layer);
    const map = this.#onInput(rectified(this.#weightedSum(target, layer, 1)), height, width);
    const gradient = this.#gradient(RULES_TIMES_MAP[method], target);
    return gradient.map((value, i) => value * map[i % map.length]);
  }

  // ---- Calls of the core ----

  #build({channels, layers}, weights) {
    const memory = this.memory;
    memory.check(memory.exports.gc_network_new(channels, memory.slots, memory.error));
    const [network] = memory.words(memory.slots, 1);
    this.blocks = [];
    for (const layer of layers.slice(1)) {
      const addresses = {weight: 0, bias: 0};
      for (const [name, tensor] of Object.entries(layer.weights)) {
        addresses[name] = this.#store(tensor, weights, layer.op === "linear" && name === "weight");
        if (name === "weight") Object.assign(addresses, {shape: tensor.shape, half: tensor.half});
        addresses.count = tensor.shape[0];
      }
      addLayer(memory, network, layer, addresses);
    }
    return network;
  }

  /** Copy a tensor into the core's memory; `asIs`: also float16 as it is. */
  #store({shape, offset, half}, weights, asIs) {
    const memory = this.memory;
    const count = shape.reduce((a, b) => a * b, 1);
    const bytes = weights.subarray(offset, offset + (half ? 2 : 4) * count);
    if (!half || asIs) this.blocks.push(memory.store(bytes));
    else {
      this.blocks.push(memory.take(4 * count));
      memory.during((block) => memory.exports.gc_widen(count, block.store(bytes), this.blocks.at(-1)));
    }
    return this.blocks.at(-1);
  }

  #shapes(layers) {
    const memory = this.memory;
    return memory.during((block) => {
      const found = block.take(16 * layers.length); // gc_shape of each
      const {gc_network_shapes: shapes} = memory.exports;
      memory.check(shapes(this.address, ...this.size, found, memory.error));
      return layers.map(({name, op}, i) => {
        const [channels, height, width, flat] = memory.words(found + 16 * i, 4);
        return {name, op, shape: [channels, height, width], flat: flat !== 0};
      });
    });
  }

  #run(keep, until, record) {
    const memory = this.memory;
    const flags = new Uint8Array(this.layers.length);
    for (const layer of keep) flags[this.#number(layer)] = 1;
    return memory.during((block) => {
      const given = [this.address, 0, this.input, 1, ...this.size, block.store(flags)];
      const result = memory.slots;
      memory.check(memory.exports.gc_forward(...given, until, record, result, memory.error));
      return memory.words(result, 1)[0];
    });
  }

  #read(tape, number) {
    const memory = this.memory;
    return memory.during((block) => {
      const values = block.take(4 * this.#count(number));
      memory.check(memory.exports.gc_tape_read(tape, number, values, memory.error));
      return memory.floats(values, this.#count(number)).slice();
    });
  }

  /** The gradient of a class's score by a layer, `count` values, or its mean over the positions. */
  #backward(rule, target, number, count, pooled) {
    const memory = this.memory;
    const core = memory.exports;
    if (this.tape === 0) throw new Error("The network has not seen a picture yet.");
    const rules = memory.slots; // a gc_rule; behind it its name, and lists of one element
    memory.check(core.gc_rule_find(memory.putText(rule, rules + 64), rules, memory.error));
    return memory.during((block) => {
      const oneHot = new Float32Array(this.labels.length).fill(1, target, target + 1);
      const given = [this.tape, this.#number(this.scoreLayer), block.store(oneHot), 1, rules];
      const out = block.take(4 * count);
      const lists = [memory.put([number], rules + 128), 1, memory.put([out], rules + 132)];
      const status = pooled
        ? core.gc_pooled_gradient(...given, number, out, memory.error)
        : core.gc_backward(...given, 1, ...lists, 0, memory.error);
      memory.check(status);
      return memory.floats(out, count).slice();
    });
  }

  /** A map of any size, bilinearly resized to the input. */
  #onInput(map, rows, columns) {
    const memory = this.memory;
    const [height, width] = this.size;
    const HALF_PIXEL = 0;
    return memory.during((block) => {
      const given = [1, rows, columns, block.store(map), height, width, HALF_PIXEL, 0];
      const to = block.take(4 * height * width);
      memory.check(memory.exports.gc_resize(...given, to, memory.error));
      return memory.floats(to, height * width).slice();
    });
  }

  // ---- Checks ----

  #number(layer) {
    const number = this.numbers.get(layer);
    if (number === undefined) throw new Error(`The network has no layer ${layer}.`);
    return number;
  }

  #count(number) {
    return this.layers[number].shape.reduce((a, b) => a * b, 1);
  }

  #mapShape(layer) {
    const {shape, flat} = this.layers[this.#number(layer)];
    if (flat || shape[1] * shape[2] === 1) throw new Error(`The layer ${layer} has no map.`);
    return shape;
  }

  #checkTarget(target) {
    if (!Number.isInteger(target) || target < 0 || target >= this.labels.length)
      throw new Error(`There is no class ${target}: the network has ${this.labels.length}.`);
  }
}

/** For each channel of the input, the value of each byte, and which byte of a pixel it is. */
function tablesOf({channel_order: order, scale, mean, std}) {
  const round = Math.fround;
  return mean.map((_, channel) => ({
    source: order === "RGB" ? channel : 2 - channel,
    values: Float32Array.from({length: 256}, (_, byte) =>
      round(round(round(byte / round(scale)) - round(mean[channel])) / round(std[channel])),
    ),
  }));
}

/** @returns {Float32Array} what is above zero */
function rectified(values) {
  return values.map((value) => (value > 0 ? value : 0));
}

/** @returns {Float32Array} the largest absolute value over the channels, [height][width] */
function largest(values, positions) {
  const found = new Float32Array(positions);
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size > found[i % positions]) found[i % positions] = size;
  }
  return found;
}

/** The values from 0, the minimum, to 1, the maximum; all 0 if there is no difference. */
function stretched(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const EPSILON = 2 ** -23;
  if (!(4 * EPSILON * high < high - low && high < Infinity)) return new Float32Array(values.length);
  const range = Math.fround(high - low);
  return values.map((value) => Math.fround(value - low) / range);
}
