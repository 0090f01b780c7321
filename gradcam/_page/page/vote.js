// A vote: the human studies of the Grad-CAM paper, with the answers of whoever sits here. Nothing is
// stored; the answers can be saved as a file.

import {showBreak, showQuestion, showStart} from "./ballot.js";
import {PARTS, questionsOf} from "./questions.js";
import {toCsv} from "./results.js";
import {toText} from "./scene.js";
import {createStimuli} from "./stimuli.js";
import {planned} from "./study.js";
import {showResults} from "./tally.js";

/**
 * Makes the part of the page.
 * @param {HTMLElement} root
 * @param {object} context
 */
export function mountVote(root, context) {
  root.classList.add("vote");
  listenToKeys(root);
  pauseWhenLeft(root, context.store);
  const keep = keeper(context.store);
  const start = () => {
    keep(false);
    showStart(root, randomBelow(1e6), vote);
  };
  const vote = async (seed, parts) => {
    const session = {id: randomName(), plan: planned(seed, context.known), rows: []};
    let problem = "";
    keep(true);
    try {
      await ask(root, context, session, parts);
    } catch (error) {
      problem = error.message;
    }
    const saved = () => {
      save(session);
      keep(false);
    };
    keep(session.rows.length > 0);
    showResults(root, {rows: session.rows, problem, save: saved, again: start});
  };
  start();
  return {};
}

/** Asks the questions of some parts, until the last one, or until who answers wants to end. */
async function ask(root, context, {id, plan, rows}, parts) {
  const questions = questionsOf(plan, createStimuli(context, plan.seed), parts);
  let coming = questions[0].make();
  let part = questions[0].part;
  for (const [n, question] of questions.entries()) {
    if (question.part !== part && !(await showBreak(root, PARTS.find(({name}) => name === question.part)))) return;
    part = question.part;
    const stimulus = await coming;
    coming = questions[n + 1]?.make(); // while this one is answered
    coming?.catch(() => {}); // it is reported when it is awaited
    const place = {at: n + 1, of: questions.length};
    const reply = await showQuestion(root, context, question, stimulus, place);
    if (!reply) return;
    const asked = {session: id, seed: plan.seed, question: question.number};
    const {choice, milliseconds} = reply;
    rows.push(question.row({...asked, scene: toText(stimulus.scene, []), milliseconds}, choice));
  }
}

/** Lets the keys of the buttons that are shown press them: `data-key` of each. */
function listenToKeys(root) {
  document.addEventListener("keydown", (event) => {
    const {key, target} = event;
    if (root.hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) return;
    const button = [...root.querySelectorAll("button[data-key]")].find(
      (each) => each.dataset.key === key.toLowerCase(),
    );
    if (!button || button.closest("[inert]")) return;
    event.preventDefault();
    button.click();
  });
}

/** Makes a pause when another part of the page, or another page, is looked at. */
function pauseWhenLeft(root, store) {
  const pause = () => root.querySelector("button.pause")?.click();
  document.addEventListener("visibilitychange", () => document.hidden && pause());
  store.subscribe(({tab}) => tab !== "vote" && pause());
}

/** Returns a function that says whether a vote is open; one that is, is not left without a question. */
function keeper(store) {
  const ask = (event) => {
    event.preventDefault();
    event.returnValue = "unsaved"; // for browsers before 2024
  };
  return (open) => {
    store.update({vote: {open}});
    if (open) window.addEventListener("beforeunload", ask);
    else window.removeEventListener("beforeunload", ask);
  };
}

/** Saves the answers as a file; the browser asks where, or puts it with its downloads. */
function save({id, rows}) {
  const link = document.createElement("a");
  const url = URL.createObjectURL(new Blob([toCsv(rows)], {type: "text/csv"}));
  link.href = url;
  link.download = `vote-${id}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

function randomBelow(count) {
  return crypto.getRandomValues(new Uint32Array(1))[0] % count;
}

/** A name that tells sessions apart and says nothing about a person: s and 12 digits. */
function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return `s${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
