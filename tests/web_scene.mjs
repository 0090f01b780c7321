// Scenes as text, and drawn: node web_scene.mjs FOLDER < {texts: [...], damaged: [...]}
// The scenes of the lessons come after those of the texts.
//
// FOLDER has contents.json and pixels.bin, of gradcam/_page/data.py; the pictures and their owners
// are written to it, one after the other. Prints what was read, written again, and why not.

import fs from "node:fs";
import path from "node:path";
import {createDrawing} from "../gradcam/_page/page/draw.js";
import {openPixels} from "../gradcam/_page/page/pixels.js";
import {LESSONS} from "../gradcam/_page/page/presets.js";
import {fromText, objectNames, toText} from "../gradcam/_page/page/scene.js";
import {energy, highest, wholePercents} from "../gradcam/_page/page/truth.js";

const folder = process.argv[2];
const contents = JSON.parse(fs.readFileSync(path.join(folder, "contents.json"), "utf8"));
const pixels = await openPixels(fs.readFileSync(path.join(folder, "pixels.bin")), contents);
const draw = createDrawing(pixels, contents.classes);
const known = {...contents, layers: ["relu2_2", "relu4_3", "relu5_3"]};
const {texts, damaged} = JSON.parse(fs.readFileSync(0, "utf8"));

const read = [...texts, ...LESSONS.map(({text}) => text)].map((text) => fromText(text, known));
const drawn = read.map(({scene}) => draw(scene));
for (const [name, key] of [["pictures.bin", "picture"], ["owners.bin", "owner"]]) {
  fs.writeFileSync(path.join(folder, name), Buffer.concat(drawn.map((each) => Buffer.from(each[key]))));
}
const {owner} = drawn[0];
const map = Float32Array.from(owner, (_, n) => Math.max(0, Math.sin(n / 1000)) ** 2);
fs.writeFileSync(path.join(folder, "map.bin"), Buffer.from(map.buffer));

function why(text) {
  try {
    fromText(text, known);
    return null;
  } catch (error) {
    return error.message;
  }
}

console.log(
  JSON.stringify({
    again: read.map(({scene, maps}) => toText(scene, maps)),
    names: read.map(({scene}) => objectNames(scene)),
    lessons: LESSONS,
    why: damaged.map(why),
    truth: {highest: highest(map, contents.size), energy: energy(map, owner, 2)},
    flat: [highest(new Float32Array(4), 2), energy(new Float32Array(4), new Uint8Array(4), 1)],
    percents: [wholePercents([1 / 3, 1 / 3, 1 / 3]), wholePercents([0.996, 0.004]), wholePercents([1])],
  }),
);
