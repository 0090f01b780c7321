// The plan of a vote: which questions a seed asks. No page, no network.
//
// Two studies of Selvaraju et al. (2017). Section 5.1: a map of one of two objects is shown, and the
// two classes are named; which one is explained? Section 5.2: two networks gave the same right
// answer; which one do their maps show to be more reliable, from -2 to 2?

/** The methods of the first study, in the order of the results. */
export const DISCRIMINATION = ["guided_grad_cam", "deconv_grad_cam", "deconvnet", "guided_backprop", "saliency"];

/** The methods of the second study. */
export const TRUST = ["guided_grad_cam", "guided_backprop"];

/** The networks of the second study: the better one, and the one that is right less often. */
export const NETWORKS = {better: "pictograms", other: "weak"};

/** The answers of the second study, and what each counts for the network on the right. */
export const ANSWERS = [
  {words: "clearly left", value: -2},
  {words: "slightly left", value: -1},
  {words: "equal", value: 0},
  {words: "slightly right", value: 1},
  {words: "clearly right", value: 2},
];

const TRUST_EACH = 6; // questions of each method of the second study
const SIDES = ["left", "right"];

const CENTRES = {left: [52, 60], right: [164, 172]}; // in x, so that two objects hardly overlap
const LENGTHS = {pair: [66, 90], single: [70, 120]};
const TURN = 20; // degrees, the most to each side

/**
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {import("./scene.js").Known} Known
 * @typedef {{method: string, scene: Scene, target: string, options: [string, string]}} Pair
 *   A question of the first study: the map explains the class `target`; `options` are the classes of
 *   both objects, in the order of the answers.
 * @typedef {{method: string, better: "left" | "right"}} Comparison
 *   A question of the second study: on which side the maps of the better network are. Its scene is
 *   the next one for which both networks give the right answer.
 */

/**
 * Plans a vote.
 *
 * Each method has the same number of questions. For each method of the first study the target is
 * once on the left and the first answer, once on the left and the second, and so on; for each of the
 * second study the better network is as often on the left as on the right. No class is a target
 * twice, and every class is in a scene.
 * @param {number} seed a whole number, 0 to 2**32 - 1
 * @param {Known} known
 * @returns {{seed: number, pairs: Pair[], comparisons: Comparison[]}}
 */
export function planned(seed, known) {
  const random = randomOf(seed, 0);
  const cases = DISCRIMINATION.flatMap((method) =>
    SIDES.flatMap((side) => [0, 1].map((place) => ({method, side, place}))),
  );
  const {targets, others} = classesOf(cases.length, random, known);
  const pairs = random.shuffled(cases).map(({method, side, place}, n) => {
    const [target, other] = [targets[n], others[n]];
    const [left, right] = side === "left" ? [target, other] : [other, target];
    const scene = pairScene(left, right, random, known);
    return {method, scene, target, options: place === 0 ? [target, other] : [other, target]};
  });
  const comparisons = TRUST.flatMap((method) =>
    Array.from({length: TRUST_EACH}, (_, n) => ({method, better: SIDES[n % 2]})),
  );
  return {seed, pairs, comparisons: random.shuffled(comparisons)};
}

/**
 * Returns a scene of one object: number after number the candidates for the second study. In as many
 * candidates as there are classes each class occurs once.
 * @param {number} seed
 * @param {number} number from 0 on
 * @param {Known} known
 * @returns {Scene}
 */
export function candidate(seed, number, known) {
  const count = known.classes.length;
  const order = randomOf(seed, 1, Math.floor(number / count)).shuffled(known.classes);
  const random = randomOf(seed, 2, number);
  const {label} = order[number % count];
  const length = random.between(...LENGTHS.single);
  const margin = Math.ceil(0.6 * length);
  const [x, y] = [0, 1].map(() => random.between(margin, 224 - margin));
  return {ground: random.one(known.grounds), objects: [thing(label, {x, y, length}, random, known)]};
}

/** Returns the classes of the targets, each another one, and of the objects beside them. */
function classesOf(count, random, known) {
  const order = random.shuffled(known.classes.map(({label}) => label));
  const targets = order.slice(0, count);
  const rest = order.slice(count);
  const again = random.shuffled(targets).slice(0, Math.max(0, count - rest.length));
  const others = random.shuffled([...rest, ...again].slice(0, count));
  for (let n = 0; n < count; n++) {
    if (others[n] !== targets[n]) continue;
    const next = (n + 1) % count; // whose target is another class
    [others[n], others[next]] = [others[next], others[n]];
  }
  return {targets, others};
}

function pairScene(left, right, random, known) {
  const objects = [left, right].map((label, n) => {
    const x = random.between(...CENTRES[SIDES[n]]);
    const y = random.between(66, 158);
    return thing(label, {x, y, length: random.between(...LENGTHS.pair)}, random, known);
  });
  return {ground: random.one(known.grounds), objects};
}

function thing(label, place, random, known) {
  const {cells} = known.classes.find((each) => each.label === label);
  const variant = random.between(1, cells.length);
  return {label, variant, ...place, turn: random.between(-TURN, TURN)};
}

/**
 * Returns random whole numbers that are the same for the same seeds, in every browser.
 * @param {...number} seeds
 */
export function randomOf(...seeds) {
  let state = seeds.reduce((mixed, seed) => scrambled((mixed + seed) | 0), 0x9e3779b9 | 0);
  const below = (count) => {
    state = (state + 0x9e3779b9) | 0;
    return Math.floor((scrambled(state) / 2 ** 32) * count);
  };
  return {
    /** A whole number of low to high, both included. */
    between: (low, high) => low + below(high - low + 1),
    one: (list) => list[below(list.length)],
    /** The same elements in another order (Fisher and Yates). */
    shuffled(list) {
      const result = [...list];
      for (let n = result.length - 1; n > 0; n--) {
        const other = below(n + 1);
        [result[n], result[other]] = [result[other], result[n]];
      }
      return result;
    },
  };
}

/** Mixes the bits of a number of 32 bits (the finisher of MurmurHash3, by Austin Appleby). */
function scrambled(value) {
  let bits = value;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
