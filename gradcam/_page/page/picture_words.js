// Sentences about files that cannot be shown, and about what is shown of a file.

import {FORMATS} from "./picture_file.js";

/** Pictures of so many megapixels and more are not opened. */
export const MEGAPIXELS = 100;
/** Files of so many megabytes and more are not read. */
export const MEGABYTES = 500;

const LARGE = 20; // megapixels from which memory may be the reason of an error
const CHOOSE = `choose a ${FORMATS.slice(0, -1).join(", ")} or ${FORMATS.at(-1)} file`;

/** Returns a file's name in quotation marks, shortened. */
function quoted(name) {
  return `“${name.length > 60 ? `${name.slice(0, 40)}…${name.slice(-15)}` : name}”`;
}

/**
 * Returns why a file of so many bytes is not read, or null.
 * @param {string} name
 * @param {number} bytes
 */
export function sizeProblem(name, bytes) {
  if (bytes === 0) return `${quoted(name)} is empty: ${CHOOSE}.`;
  if (bytes < 1e6 * MEGABYTES) return null;
  const size = (bytes / 1e6).toFixed(0);
  return `${quoted(name)} has ${size} megabytes: this page opens files of less than ${MEGABYTES}.`;
}

/**
 * Returns why the picture in a file is not decoded, or null.
 * @param {string} name
 * @param {object} found a Found of picture_file.js
 */
export function pictureProblem(name, found) {
  const {format, width, height, cut} = found;
  if (width * height >= 1e6 * MEGAPIXELS) {
    const count = Math.floor((width * height) / 1e6);
    return (
      `${quoted(name)} has ${width} × ${height} pixels, ${count} megapixels: this page opens ` +
      `pictures of less than ${MEGAPIXELS}; make it smaller first.`
    );
  }
  if (!cut) return null;
  return `${quoted(name)} is a ${format} picture that ends too early: it was not copied completely.`;
}

/**
 * Returns why a file could not be decoded.
 * @param {string} name
 * @param {object} found a Found of picture_file.js
 */
export function decodingProblem(name, {format, seems, width, height}) {
  const count = Math.round((width * height) / 1e6);
  if (format && count >= LARGE) {
    return (
      `${quoted(name)} could not be decoded: it is damaged, or the memory of this computer is too ` +
      `small for its ${count} megapixels.`
    );
  }
  if (format) return `${quoted(name)} is a ${format} picture that could not be decoded: it is damaged.`;
  if (seems) return `${quoted(name)} is ${seems}, which this browser does not open: ${CHOOSE}.`;
  return `${quoted(name)} is not a picture that this browser opens: ${CHOOSE}.`;
}

/**
 * Returns why the content of a file could not be read.
 * @param {string} name
 */
export function readingProblem(name) {
  return `${quoted(name)} could not be read: it is a folder, or it was moved or changed meanwhile.`;
}

/** What is said when something that is no file was dropped or pasted. */
export const NO_FILE = "That is not a file: save the picture on this computer first, and choose that file.";

/**
 * Returns what is shown of a picture, in words.
 * @param {{name: string, width: number, height: number, animated: boolean, cropped: boolean,
 *   others: number}} shown `others`: how many more files were dropped
 */
export function shownWords({name, width, height, animated, cropped, others}) {
  const parts = [`${name}, ${width} × ${height} pixels`];
  if (cropped) parts.push("the network sees its centre");
  if (animated) parts.push("the first picture of an animation");
  if (others) parts.push(`the first of ${others + 1} files`);
  return `${parts.join("; ")}.`;
}
