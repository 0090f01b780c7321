// From a file to the network's input: read, check, decode, turn upright, resize and crop.

import {fitOf} from "./fit.js";
import {lookAt} from "./picture_file.js";
import {decodingProblem, pictureProblem, readingProblem, sizeProblem} from "./picture_words.js";
import {Resizer} from "./resample.js";

const BAND = 1 << 20; // pixels that are taken from the decoded picture at once

/**
 * Opens a picture as the network sees it. Rejects with an error whose message is one sentence.
 * @param {File} file
 * @param {object} preset a Preset of fit.js
 * @returns {Promise<{rgba: Uint8ClampedArray, width: number, height: number, animated: boolean,
 *   cropped: boolean}>} the input, RGBA; the size of the upright picture; whether it is the first
 *   picture of an animation, and whether the input lacks a part of it
 */
export async function openPicture(file, preset) {
  refuse(sizeProblem(file.name, file.size));
  const bytes = await bytesOf(file);
  const found = lookAt(bytes);
  refuse(pictureProblem(file.name, found));
  const bitmap = await decoded(file, bytes, found);
  try {
    const {width, height} = bitmap;
    refuse(pictureProblem(file.name, {...found, width, height}));
    const fit = fitOf(width, height, preset);
    const rgba = await resized(bitmap, fit, preset.interpolation);
    const cropped = fit.width !== fit.size || fit.height !== fit.size;
    return {rgba, width, height, animated: found.animated, cropped};
  } catch (error) {
    if (error.constructor !== Error) refuse(decodingProblem(file.name, found)); // one of the engine
    throw error;
  } finally {
    bitmap.close();
  }
}

function refuse(sentence) {
  if (sentence) throw new Error(sentence);
}

async function bytesOf(file) {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Error(readingProblem(file.name));
  }
}

/** Decodes the picture, upright, with the values of its pixels as they are in the file. */
async function decoded(file, bytes, found) {
  const options = {imageOrientation: "from-image", colorSpaceConversion: "none"};
  try {
    return await createImageBitmap(new Blob([bytes]), options);
  } catch {
    throw new Error(decodingProblem(file.name, found));
  }
}

/** Resizes band by band, so that a large picture is not copied; the page stays alive meanwhile. */
async function resized(bitmap, fit, filter) {
  const {width, height} = bitmap;
  const rows = Math.min(height, Math.max(1, Math.floor(BAND / width)));
  const canvas = Object.assign(document.createElement("canvas"), {width, height: rows});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const resizer = new Resizer(width, height, fit, filter);
  context.fillStyle = "white"; // behind transparent pixels, as in Python
  for (let start = 0; start < height; start += rows) {
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -start);
    const count = Math.min(rows, height - start);
    resizer.add(context.getImageData(0, 0, width, count).data, start);
    await new Promise((done) => setTimeout(done));
  }
  return resizer.result();
}
