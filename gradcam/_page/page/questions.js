// The questions of a vote, one after the other: what is asked, what is shown, which answers there
// are, and the row that an answer becomes. No page.

import {discriminationRow, trustRow} from "./results.js";
import {inWords} from "./scene.js";
import {ANSWERS} from "./study.js";

/** The parts of a vote, in their order. */
export const PARTS = [
  {
    name: "pairs",
    title: "Which object is explained?",
    text: "You see a map that explains one of two objects of a picture, but not the picture. Which one?",
  },
  {
    name: "comparisons",
    title: "Which network is more reliable?",
    text:
      "Two networks gave the same right answer. You see why each of them gave it, on the left and on " +
      "the right. Which one seems more reliable? One of them is right more often than the other.",
  },
];

/**
 * @typedef {{scene: import("./scene.js").Scene, pictures: Uint8ClampedArray[]}} Stimulus
 * @typedef {{words: string, label?: string, variant?: number}} Choice
 *   An answer; of a class also its label and the number of its pictogram.
 * @typedef {object} Question
 * @property {number} number from 1 on
 * @property {string} part the name of one of PARTS
 * @property {() => Promise<Stimulus>} make to be called once
 * @property {(stimulus: Stimulus) => string} prompt
 * @property {string[]} captions of the pictures
 * @property {(stimulus: Stimulus) => Choice[]} choices
 * @property {(asked: import("./results.js").Asked, choice: number) => import("./results.js").Row} row
 */

/**
 * Returns the questions of a plan.
 * @param {ReturnType<import("./study.js").planned>} plan
 * @param {ReturnType<import("./stimuli.js").createStimuli>} stimuli
 * @param {string[]} parts the names of those that are asked
 * @returns {Question[]}
 */
export function questionsOf(plan, stimuli, parts) {
  const questions = [
    ...plan.pairs.map((pair) => pairQuestion(pair, stimuli)),
    ...plan.comparisons.map((comparison) => comparisonQuestion(comparison, stimuli)),
  ];
  const numbered = questions.map((question, n) => ({number: n + 1, ...question}));
  return numbered.filter(({part}) => parts.includes(part));
}

function pairQuestion(pair, stimuli) {
  return {
    part: "pairs",
    make: () => stimuli.pair(pair),
    prompt: () => "Which of the two does this map explain?",
    captions: [""],
    choices: ({scene}) => pair.options.map((label) => classChoice(label, scene)),
    row: (asked, choice) => discriminationRow(asked, pair, pair.options[choice]),
  };
}

function classChoice(label, {objects}) {
  const {variant} = objects.find((thing) => thing.label === label);
  return {words: inWords(label), label, variant};
}

function comparisonQuestion(comparison, stimuli) {
  return {
    part: "comparisons",
    make: () => stimuli.comparison(comparison),
    prompt: ({scene}) =>
      `Both networks say ${inWords(scene.objects[0].label)}, which is right. Which one seems more reliable?`,
    captions: ["Left", "Right"],
    choices: () => ANSWERS,
    row: (asked, choice) => trustRow(asked, comparison, ANSWERS[choice]),
  };
}
