// Runs modules of the page for photographs under node, for test_page_pictures.py: reads a JSON
// request from standard input and prints the answer as JSON.

import {readFileSync} from "node:fs";

import {fitOf} from "../gradcam/_page/page/fit.js";
import {lookAt} from "../gradcam/_page/page/picture_file.js";
import {decodingProblem, pictureProblem, shownWords, sizeProblem} from "../gradcam/_page/page/picture_words.js";
import {placeInWords} from "../gradcam/_page/page/place.js";
import {Resizer} from "../gradcam/_page/page/resample.js";

const ANSWERS = {
  fits: ({sizes, preset}) => sizes.map(([width, height]) => fitOf(width, height, preset)),
  /** Resizes RGBA bytes, which arrive in bands of `rows` rows. */
  resized({path, width, height, preset, rows}) {
    const rgba = new Uint8ClampedArray(readFileSync(path));
    const resizer = new Resizer(width, height, fitOf(width, height, preset), preset.interpolation);
    for (let start = 0; start < height; start += rows) {
      resizer.add(rgba.subarray(4 * width * start, 4 * width * (start + rows)), start);
    }
    return Buffer.from(resizer.result()).toString("base64");
  },
  found: ({paths}) => paths.map((path) => lookAt(new Uint8Array(readFileSync(path)))),
  /** What is found in each beginning of a file. */
  beginnings({path}) {
    const bytes = new Uint8Array(readFileSync(path));
    return Array.from(bytes, (_, count) => lookAt(bytes.slice(0, count)));
  },
  words: ({name, found, bytes}) => [
    sizeProblem(name, bytes), pictureProblem(name, found), decodingProblem(name, found),
  ],
  shown: ({shown}) => shownWords(shown),
  places: ({points, size}) => points.map(([x, y]) => placeInWords(x, y, size)),
};

const {what, ...request} = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(ANSWERS[what](request)));
