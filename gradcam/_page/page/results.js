// The answers of a vote: as rows of a file, and as tables beside the paper's figures. No page.

import {ANSWERS, DISCRIMINATION, TRUST} from "./study.js";

/** What Selvaraju et al. (2017) report: shares of right answers, and mean ratings from -2 to 2. */
export const PAPER = {
  discrimination: {guided_grad_cam: 0.6123, deconv_grad_cam: 0.6037, deconvnet: 0.5333, guided_backprop: 0.4444},
  trust: {guided_grad_cam: 1.27, guided_backprop: 1.0},
};

/** The columns of the file. */
export const COLUMNS = [
  ...["session", "seed", "question", "kind", "method", "scene", "target", "answer"],
  ...["right", "score", "milliseconds"],
];

/**
 * @typedef {{session: string, seed: number, question: number, kind: "discrimination" | "trust",
 *   method: string, scene: string, target: string, answer: string, right: 0 | 1 | "",
 *   score: number | "", milliseconds: number}} Row
 *   One answer. Of kind "discrimination", `target` and `answer` are classes, and `right` is whether
 *   they are equal. Of kind "trust", `target` is the side of the better network, and `score` is the
 *   answer's value for it, -2 to 2.
 * @typedef {{session: string, seed: number, question: number, scene: string, milliseconds: number}} Asked
 *   What each row says about its question; `question` counts from 1 on.
 */

/**
 * Returns the row of an answer of the first study.
 * @param {Asked} asked
 * @param {import("./study.js").Pair} pair
 * @param {string} answer the class that was chosen
 * @returns {Row}
 */
export function discriminationRow(asked, {method, target}, answer) {
  const right = answer === target ? 1 : 0;
  return {...asked, kind: "discrimination", method, target, answer, right, score: ""};
}

/**
 * Returns the row of an answer of the second study.
 * @param {Asked} asked
 * @param {import("./study.js").Comparison} comparison
 * @param {{words: string, value: number}} answer one of ANSWERS
 * @returns {Row}
 */
export function trustRow(asked, {method, better}, {words, value}) {
  const score = value === 0 ? 0 : better === "right" ? value : -value;
  return {...asked, kind: "trust", method, target: better, answer: words, right: "", score};
}

/**
 * Returns the text of the file: comma-separated values, as RFC 4180 defines them.
 * @param {Row[]} rows
 * @returns {string}
 */
export function toCsv(rows) {
  const lines = rows.map((row) => COLUMNS.map((name) => cell(`${row[name]}`)).join(","));
  return [COLUMNS.join(","), ...lines, ""].join("\r\n");
}

function cell(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Returns the shares of right answers by method.
 * @param {Row[]} rows
 * @returns {{method: string, count: number, right: number, share: number, low: number, high: number,
 *   paper: number | undefined}[]} 95 % intervals; NaN where no question was answered
 */
export function discriminationTable(rows) {
  return DISCRIMINATION.map((method) => {
    const found = rows.filter((row) => row.kind === "discrimination" && row.method === method);
    const right = found.filter((row) => row.right === 1).length;
    const interval = wilson(right, found.length);
    return {method, count: found.length, right, ...interval, paper: PAPER.discrimination[method]};
  });
}

/**
 * Returns the mean ratings by method.
 * @param {Row[]} rows
 * @returns {{method: string, count: number, mean: number, counts: number[], paper: number}[]} `counts`:
 *   how often each score was given, -2 to 2; the mean is NaN where no question was answered
 */
export function trustTable(rows) {
  return TRUST.map((method) => {
    const scores = rows.filter((row) => row.kind === "trust" && row.method === method).map((row) => row.score);
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    const counts = ANSWERS.map(({value}) => scores.filter((score) => score === value).length);
    return {method, count: scores.length, mean, counts, paper: PAPER.trust[method]};
  });
}

/**
 * Returns a share with its 95 % confidence interval by the score method (Wilson 1927), as
 * gradcam computes it.
 * @param {number} count
 * @param {number} size if 0, all are NaN
 * @returns {{share: number, low: number, high: number}}
 */
export function wilson(count, size) {
  if (size === 0) return {share: NaN, low: NaN, high: NaN};
  const share = count / size;
  const z = 1.959963984540054;
  const middle = (share + (z * z) / (2 * size)) / (1 + (z * z) / size);
  const width = z / (1 + (z * z) / size);
  const half = width * Math.sqrt((share * (1 - share)) / size + (z / (2 * size)) ** 2);
  return {share, low: Math.min(share, middle - half), high: Math.max(share, middle + half)};
}
