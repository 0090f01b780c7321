// From the description of a layer (gradcam/_page/networks.py) to a layer of the core.

const ACTIVATIONS = {
  clip: 0, leaky_relu: 1, prelu: 2, elu: 3, sigmoid: 4, hard_sigmoid: 5, silu: 6, hard_swish: 7,
  tanh: 8, gelu: 9, gelu_tanh: 10,
};

const WITHOUT_OPTIONS = {
  relu: "relu", relu6: "relu6", global_max_pool: "global_max_pool", softmax: "softmax",
  log_softmax: "log_softmax", flatten: "flatten", dropout: "dropout",
};

const SEVERAL_INPUTS = { add: "sum", concatenate: "concatenation", multiply: "multiply" };

const FLOAT16 = 1; // of gc_storage

/**
 * Add a layer to a network of the core.
 * @param {Memory} memory
 * @param {number} network address of the gc_network
 * @param {object} layer {op, inputs: numbers of layers, attributes, weights}
 * @param {object} weights addresses by name, and `shape` of the weight, `half`
 * @returns {number} its number
 */
export function addLayer(memory, network, layer, weights) {
  const core = memory.exports;
  const number = memory.slots + 128; // the result; what comes before it is for structs
  const end = [number, memory.error];
  const [input] = layer.inputs;
  const given = layer.attributes;
  const add = (name, ...values) => memory.check(core[`gc_add_${name}`](network, ...values, ...end));
  if (layer.op in WITHOUT_OPTIONS) add(WITHOUT_OPTIONS[layer.op], input);
  else if (layer.op in SEVERAL_INPUTS)
    joined(memory, layer.inputs, (inputs) => add(SEVERAL_INPUTS[layer.op], inputs, layer.inputs.length));
  else if (layer.op in ACTIVATIONS) add("activation", input, putActivation(memory, layer, weights));
  else if (layer.op in OTHERS) OTHERS[layer.op](memory, add, input, given, weights);
  else throw new Error(`The page does not know the operation ${layer.op} of the network.`);
  return memory.words(number, 1)[0];
}

/** How many numbers a struct of floats and words has are those of csrc/gradcam.h. */
const OTHERS = {
  conv(memory, add, input, given, { shape, weight, bias }) {
    const struct = [
      shape[1] * given.groups, shape[0], shape[2], shape[3],
      ...given.stride, ...given.padding, ...given.dilation, given.groups, given.exact,
    ];
    add("conv", input, memory.put(struct), weight, bias);
  },
  linear(memory, add, input, given, { shape, half, weight, bias }) {
    add("linear", input, shape[1], shape[0], half ? FLOAT16 : 0, weight, bias);
  },
  max_pool: (memory, add, input, given) => add("max_pool", input, putPool(memory, given)),
  average_pool: (memory, add, input, given) => add("average_pool", input, putPool(memory, given)),
  adaptive_average_pool: (memory, add, input, { size }) =>
    add("adaptive_average_pool", input, ...size),
  affine: (memory, add, input, given, { count, scale, shift }) =>
    add("affine", input, count, scale, shift),
  slice: (memory, add, input, { start, stop }) => add("slice", input, start, stop),
  channel_shuffle: (memory, add, input, { groups }) => add("channel_shuffle", input, groups),
  local_response_norm(memory, add, input, { size, alpha, beta, k }) {
    const struct = memory.put([size]);
    memory.floats(struct + 4, 3).set([alpha, beta, k]);
    add("lrn", input, struct);
  },
  layer_norm: (memory, add, input, { eps }, { count, weight, bias }) =>
    add("layer_norm", input, count, weight, bias, eps),
};

function putPool(memory, given) {
  const flags = [given.ceil_mode, given.include_pad, given.divisor];
  return memory.put([...given.kernel, ...given.stride, ...given.padding, ...flags]);
}

function putActivation(memory, layer, { count, weight }) {
  const { low, high, slope } = layer.attributes;
  const struct = memory.put([ACTIVATIONS[layer.op], 0, 0, 0, weight, count]);
  memory.floats(struct + 4, 3).set([low, high, slope].map(number));
  return struct;
}

/** Infinity is a text in a description, because JSON has none. */
function number(value) {
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : (value ?? 0);
}

function joined(memory, inputs, use) {
  memory.during((block) => use(block.store(new Uint32Array(inputs))));
}
