// What is in a scene, and the scene as text in the address of the page. No drawing, no page.
//
//   v1/meadow/cat=80,120,96,0/dog.2=150,120,90,-15/a:grad_cam:cat:relu5_3/b:saliency:top:input
//
// A background; up to four objects from the back to the front, each with the class, the number of
// its pictogram if it is not the first, the centre in x and y, the length of the longer side and
// the clockwise turn, in pixels and degrees; and the two maps: method, class and layer.

import {METHODS, INPUT, methodCalled} from "./methods.js";

export const MAX_OBJECTS = 4;

/** The smallest and the largest value of each number of an object. */
export const LIMITS = {x: [0, 224], y: [0, 224], length: [30, 200], turn: [-180, 180]};

/** The class with the highest score, whichever that is. */
export const TOP = "top";

/**
 * @typedef {{label: string, variant: number, x: number, y: number, length: number, turn: number}} Thing
 *   An object of a scene; `variant` is the number of the class's pictogram, from 1 on.
 * @typedef {{ground: string, objects: Thing[]}} Scene
 * @typedef {{method: string, target: string, layer: string}} Wish
 *   A map that is asked for; `target` is the label of a class, or TOP.
 * @typedef {{classes: {label: string, cells: number[]}[], grounds: string[], layers: string[]}} Known
 */

/**
 * Returns the object with its numbers made integers within their limits; a turn goes round.
 * @param {Thing} thing
 * @returns {Thing}
 */
export function withinLimits(thing) {
  const turn = ((((Math.round(thing.turn) + 180) % 360) + 360) % 360) - 180;
  const within = {...thing, turn};
  for (const key of ["x", "y", "length"]) {
    const [low, high] = LIMITS[key];
    within[key] = Math.min(high, Math.max(low, Math.round(thing[key])));
  }
  return within;
}

/**
 * Returns a scene with another object in the place of one.
 * @param {Scene} scene
 * @param {number} number
 * @param {Partial<Thing>} changes
 * @returns {Scene}
 */
export function withChanged(scene, number, changes) {
  const objects = scene.objects.map((thing, n) =>
    n === number ? withinLimits({...thing, ...changes}) : thing,
  );
  return {...scene, objects};
}

/**
 * Returns a scene with one more object in front, or the scene itself if it is full.
 * @param {Scene} scene
 * @param {Thing} thing
 * @returns {Scene}
 */
export function withAdded(scene, thing) {
  if (scene.objects.length >= MAX_OBJECTS) return scene;
  return {...scene, objects: [...scene.objects, withinLimits(thing)]};
}

/**
 * Returns a scene without one object.
 * @param {Scene} scene
 * @param {number} number
 * @returns {Scene}
 */
export function without(scene, number) {
  return {...scene, objects: scene.objects.filter((_, n) => n !== number)};
}

/**
 * Returns a scene in which one object is in front of all others.
 * @param {Scene} scene
 * @param {number} number
 * @returns {Scene}
 */
export function toFront(scene, number) {
  return {...scene, objects: [...without(scene, number).objects, scene.objects[number]]};
}

/**
 * Returns names for the objects: the labels, numbered where several have the same.
 * @param {Scene} scene
 * @returns {string[]}
 */
export function objectNames(scene) {
  const labels = scene.objects.map(({label}) => label);
  return labels.map((label, n) => {
    const same = labels.filter((other) => other === label).length;
    const before = labels.slice(0, n + 1).filter((other) => other === label).length;
    return same > 1 ? `${inWords(label)} ${before}` : inWords(label);
  });
}

/**
 * Returns a wish with the index of its class in place of the label, as the core needs it.
 * @param {Wish} wish
 * @param {{label: string}[]} classes
 */
export function indexed(wish, classes) {
  const index = classes.findIndex(({label}) => label === wish.target);
  return {...wish, target: wish.target === TOP ? TOP : index};
}

/**
 * Returns classes in the order of the alphabet.
 * @param {{label: string}[]} classes
 */
export function sortedByLabel(classes) {
  return [...classes].sort((a, b) => (a.label.toLowerCase() < b.label.toLowerCase() ? -1 : 1));
}

/**
 * Returns a label as people write it: "giant panda".
 * @param {string} label
 */
export function inWords(label) {
  return label.replaceAll("_", " ");
}

/**
 * Returns a scene and its two maps as text for the address.
 * @param {Scene} scene
 * @param {Wish[]} maps
 * @returns {string}
 */
export function toText(scene, maps) {
  const objects = scene.objects.map(({label, variant, x, y, length, turn}) => {
    const name = variant === 1 ? label : `${label}.${variant}`;
    return `${name}=${x},${y},${length},${turn}`;
  });
  const asked = maps.map(({method, target, layer}, n) => `${"ab"[n]}:${method}:${target}:${layer}`);
  return ["v1", scene.ground, ...objects, ...asked].join("/");
}

/**
 * Reads a scene and its maps from the text of an address.
 * @param {string} text
 * @param {Known} known
 * @returns {{scene: Scene, maps: Wish[]}}
 * @throws {Error} whose message is one sentence that says what is wrong.
 */
export function fromText(text, known) {
  const [version, ground, ...rest] = decoded(text).split("/");
  if (version !== "v1") throw new Error(`it begins with “${shown(version)}”, not with “v1”.`);
  if (!known.grounds.includes(ground)) {
    throw new Error(`there is no background “${shown(ground)}”: known are ${known.grounds.join(", ")}.`);
  }
  const objects = rest.filter((part) => part.includes("=")).map((part) => readThing(part, known));
  if (objects.length > MAX_OBJECTS) {
    throw new Error(`it has ${objects.length} objects, and a scene has at most ${MAX_OBJECTS}.`);
  }
  const others = rest.filter((part) => !part.includes("="));
  const maps = others.map((part, n) => readWish(part, "ab"[n], known));
  if (maps.length !== 0 && maps.length !== 2) {
    throw new Error(`the page shows two maps, and it has ${maps.length}.`);
  }
  return {scene: {ground, objects}, maps};
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error("a part of it is not readable text.");
  }
}

function readThing(part, known) {
  const match = /^([^=.]+)(?:\.(\d{1,2}))?=(-?\d{1,4}),(-?\d{1,4}),(-?\d{1,4}),(-?\d{1,4})$/.exec(part);
  if (!match) {
    throw new Error(`“${shown(part)}” is not an object: expected such as “cat=80,120,96,0”.`);
  }
  const [, label, variant = "1", ...numbers] = match;
  const found = known.classes.find((each) => each.label === label);
  if (!found) throw new Error(`there is no class “${shown(label)}”.`);
  if (!(variant >= 1 && variant <= found.cells.length)) {
    throw new Error(`${label} has ${found.cells.length} pictograms, and no number ${variant}.`);
  }
  const [x, y, length, turn] = numbers.map(Number);
  const thing = {label, variant: Number(variant), x, y, length, turn};
  for (const [key, [low, high]] of Object.entries(LIMITS)) {
    if (thing[key] < low || thing[key] > high) {
      throw new Error(`the ${key} of ${label} is ${thing[key]}, and must be from ${low} to ${high}.`);
    }
  }
  return thing;
}

function readWish(part, letter, known) {
  const [name, method, target, layer, ...more] = part.split(":");
  if (name !== letter || layer === undefined || more.length) {
    throw new Error(`“${shown(part)}” is neither an object nor a map.`);
  }
  const found = methodCalled(method);
  if (!found) {
    const names = METHODS.map((each) => each.name).join(", ");
    throw new Error(`there is no method “${shown(method)}”: known are ${names}.`);
  }
  if (target !== TOP && !known.classes.some(({label}) => label === target)) {
    throw new Error(`there is no class “${shown(target)}”.`);
  }
  if (found.layered ? !known.layers.includes(layer) : layer !== INPUT) {
    throw new Error(`${method} has no layer “${shown(layer)}”.`);
  }
  return {method, target, layer};
}

function shown(text) {
  const part = String(text ?? "");
  return part.length > 40 ? `${part.slice(0, 40)}…` : part;
}
