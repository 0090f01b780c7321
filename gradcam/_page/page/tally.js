// The last screen of a vote: the answers beside the paper's figures.

import {newScreen, screenButton} from "./ballot.js";
import {added, addedSvg} from "./elements.js";
import {methodCalled} from "./methods.js";
import {discriminationTable, trustTable} from "./results.js";

const PLOT = {width: 220, height: 24, margin: 8};

/**
 * Shows the results.
 * @param {HTMLElement} root
 * @param {object} given
 * @param {import("./results.js").Row[]} given.rows
 * @param {string} given.problem a sentence about why the vote has ended early, or ""
 * @param {() => void} given.save
 * @param {() => void} given.again
 */
export function showResults(root, {rows, problem, save, again}) {
  const screen = newScreen(root, "results", rows.length ? "Your answers" : "No question was answered");
  if (problem) added(screen, "p", "problem", `The vote has ended early: ${problem}`).setAttribute("role", "alert");
  const pairs = rows.filter(({kind}) => kind === "discrimination");
  const comparisons = rows.filter(({kind}) => kind === "trust");
  if (pairs.length) showShares(screen, pairs);
  if (comparisons.length) showMeans(screen, comparisons);
  if (rows.length) {
    added(
      ...[screen, "p", "note"],
      "Intervals: 95 % (Wilson), from your few answers. The paper’s people saw photographs and other " +
        "networks. To join the files of a class: gradcam vote merge *.csv",
    );
  }
  const row = added(screen, "div", "answers");
  const next = (key, words) => screenButton(row, key, words, again);
  if (!rows.length) return next("n", "New vote");
  screenButton(row, "s", "Save the answers (CSV)", () => {
    save();
    last.remove();
    last = next("n", "New vote");
  }).classList.add("main");
  let last = next(null, "New vote without these answers"); // no key, which could be pressed by mistake
}

/** Which object is explained: shares of right answers. */
function showShares(screen, rows) {
  added(screen, "h3", "", "Which object is explained?");
  added(screen, "p", "note", "● you, ◇ the paper, ┆ 50 %: guessing");
  const body = addedTable(screen);
  for (const {method, count, right, share, low, high, paper} of discriminationTable(rows)) {
    if (!count) continue;
    const line = added(body, "tr");
    added(line, "th", "", methodCalled(method).title).scope = "row";
    plot(added(line, "td", "plot"), [0, 100], 50, {value: 100 * share, low: 100 * low, high: 100 * high}, 100 * paper);
    const you = added(line, "td", "", `${right} of ${count}: ${(100 * share).toFixed(0)} %`);
    added(you, "small", "", `${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)} %`);
    added(line, "td", "", paper === undefined ? "no figure" : `${(100 * paper).toFixed(2)} %`);
  }
  added(
    ...[screen, "p", "note"],
    "The paper has no figure for saliency. That of Deconv Grad-CAM is from its later version; the first " +
      "one prints 61.23 %.",
  );
}

/** Which network is more reliable: mean ratings. */
function showMeans(screen, rows) {
  added(screen, "h3", "", "Which network is more reliable?");
  added(screen, "p", "note", "● you, ◇ the paper, ┆ 0: equal");
  const body = addedTable(screen);
  for (const {method, count, mean, counts, paper} of trustTable(rows)) {
    if (!count) continue;
    const line = added(body, "tr");
    added(line, "th", "", methodCalled(method).title).scope = "row";
    plot(added(line, "td", "plot"), [-2, 2], 0, {value: mean}, paper);
    const you = added(line, "td", "", `${signed(mean)}, mean of ${count}`);
    const better = counts[3] + counts[4];
    added(you, "small", "", `${better} for the better network, ${counts[2]} equal, ${counts[0] + counts[1]} for the other`);
    added(line, "td", "", signed(paper));
  }
  added(screen, "p", "note", "From −2 to 2: 2, you found the better network clearly more reliable; −2, the other one.");
}

function addedTable(screen) {
  const table = added(screen, "table");
  const head = added(added(table, "thead"), "tr");
  for (const title of ["Method", "Plot", "You", "The paper"]) added(head, "th", "", title).scope = "col";
  return added(table, "tbody");
}

/** Draws a value with its interval, the paper's as a rhombus, and a line for no preference. */
function plot(cell, [from, to], neutral, {value, low, high}, paper) {
  const {width, height, margin} = PLOT;
  const at = (number) => margin + ((width - 2 * margin) * (number - from)) / (to - from);
  const middle = height / 2;
  const svg = addedSvg(cell, "svg", {viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true"});
  addedSvg(svg, "path", {class: "axis", d: `M${at(from)} ${middle}H${at(to)}`});
  addedSvg(svg, "path", {class: "neutral", d: `M${at(neutral)} 1V${height - 1}`});
  if (low !== undefined) addedSvg(svg, "path", {class: "interval", d: `M${at(low)} ${middle}H${at(high)}`});
  addedSvg(svg, "circle", {class: "value", cx: at(value), cy: middle, r: 5});
  if (paper >= from) addedSvg(svg, "path", {class: "paper", d: `M${at(paper)} ${middle - 7}l7 7l-7 7l-7 -7z`});
}

function signed(mean) {
  return `${mean > 0 ? "+" : ""}${mean.toFixed(2)}`.replace("-", "−").replace(/^−?\+?0\.00$/, "0.00");
}
