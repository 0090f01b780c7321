// The most probable classes of a photograph: each with its bar and its map.

import {mapPixels, paint, percent} from "./colours.js";
import {added, fill, setText} from "./elements.js";
import {placeInWords} from "./place.js";
import {highest} from "./truth.js";

/** How many classes are shown. */
export const SHOWN = 5;

/**
 * Returns the indices of the highest scores, the highest first; equal ones in the order of classes.
 * @param {Float32Array} scores
 * @param {number} count
 * @returns {number[]}
 */
export function largest(scores, count) {
  return [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b).slice(0, count);
}

/**
 * Shows classes, the most probable first.
 * @param {HTMLElement} root a list
 * @param {{label: string, probability: number, map: object}[]} classes
 * @param {{title: string, view: "map" | "magnitude" | "signed"}} method
 * @param {Uint8ClampedArray} picture the input, RGBA
 * @param {Uint8Array} colours the scale's 256 colours
 */
export function showClasses(root, classes, method, picture, colours) {
  fill(root, classes.length, "li", (item, n) => {
    const parts = item.firstChild ? item.parts : (item.parts = partsOf(item));
    const {label, probability, map} = classes[n];
    const at = highest(map.values, map.width);
    const place = at ? `Strongest: ${placeInWords(at.x, at.y, map.width)}.` : "This map is zero everywhere.";
    paint(parts.canvas, mapPixels(method.view, map, picture, colours));
    parts.canvas.setAttribute("aria-label", `${method.title} for ${label}. ${place}`);
    setText(parts.name, `${n + 1}. ${label}`);
    setText(parts.share, percent(probability));
    setText(parts.place, place);
    parts.bar.style.width = `${100 * probability}%`;
  });
}

/** Makes the elements of one class. */
function partsOf(item) {
  const canvas = added(item, "canvas");
  canvas.setAttribute("role", "img");
  const track = added(item, "div", "chance");
  track.setAttribute("aria-hidden", "true"); // the share is also written
  const bar = added(track, "div");
  const line = added(item, "p", "name");
  return {canvas, bar, name: added(line, "span"), share: added(line, "span", "share"), place: added(item, "p", "place")};
}
