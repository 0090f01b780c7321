// What the questions of a vote show: maps as pixels, and the scenes that both networks recognise. No
// page.

import {mapPixels} from "./colours.js";
import {methodCalled} from "./methods.js";
import {NETWORKS, candidate} from "./study.js";

const CYCLES = 20; // how often each class is tried for the second study

/**
 * Returns what makes the pictures of a vote's questions.
 * @param {object} context with `client`, `draw`, `known` and `colours`
 * @param {number} seed
 */
export function createStimuli(context, seed) {
  const nextScene = scenesBothRecognise(context, seed);
  const show = async (network, scene, method, label) => {
    const {picture} = context.draw(scene);
    const target = indexOf(label, context.known);
    const {maps} = await context.client.run({network, picture, maps: [{method, target}]});
    return mapPixels(methodCalled(method).view, maps[0], picture, context.colours);
  };
  return {
    /**
     * The map of a question of the first study.
     * @param {import("./study.js").Pair} pair
     * @returns {Promise<{scene: import("./scene.js").Scene, pictures: Uint8ClampedArray[]}>}
     */
    async pair({method, scene, target}) {
      return {scene, pictures: [await show(NETWORKS.better, scene, method, target)]};
    },
    /**
     * The maps of a question of the second study, left and right. Each call has the next scene.
     * @param {import("./study.js").Comparison} comparison
     * @returns {Promise<{scene: import("./scene.js").Scene, pictures: Uint8ClampedArray[]}>}
     */
    async comparison({method, better}) {
      const scene = await nextScene();
      const sides = better === "left" ? ["better", "other"] : ["other", "better"];
      const pictures = [];
      for (const side of sides) {
        pictures.push(await show(NETWORKS[side], scene, method, scene.objects[0].label));
      }
      return {scene, pictures};
    },
  };
}

/**
 * Returns a function that finds the next scene whose object both networks recognise. No class comes
 * twice.
 */
function scenesBothRecognise({client, draw, known}, seed) {
  const used = new Set();
  let number = 0;
  return async () => {
    while (number < CYCLES * known.classes.length) {
      const scene = candidate(seed, number++, known);
      const {label} = scene.objects[0];
      if (used.has(label)) continue;
      const {picture} = draw(scene);
      const index = indexOf(label, known);
      if (!(await isTop(client, NETWORKS.other, picture, index))) continue;
      if (!(await isTop(client, NETWORKS.better, picture, index))) continue;
      used.add(label);
      return scene;
    }
    throw new Error("There are no more scenes to which both networks give the right answer.");
  };
}

/** Whether a class has the highest score. */
async function isTop(client, network, picture, index) {
  const {scores} = await client.run({network, picture, maps: []});
  return scores.every((score, n) => n === index || score < scores[index]);
}

function indexOf(label, {classes}) {
  return classes.findIndex((each) => each.label === label);
}
