// Plans votes for the seeds that it is given, answers their questions at random, and prints the plans,
// the rows, the file and the tables of the page. The network is replaced by a rule that is told.
import {readFileSync} from "node:fs";
import {questionsOf} from "../gradcam/_page/page/questions.js";
import {COLUMNS, PAPER, discriminationTable, toCsv, trustTable, wilson} from "../gradcam/_page/page/results.js";
import {fromText, toText} from "../gradcam/_page/page/scene.js";
import {createStimuli} from "../gradcam/_page/page/stimuli.js";
import {ANSWERS, DISCRIMINATION, NETWORKS, TRUST, candidate, planned, randomOf} from "../gradcam/_page/page/study.js";

const {contents, seeds, votes, unknown} = JSON.parse(readFileSync(0, "utf-8"));
const known = {...contents, layers: []};

/** A context whose weaker network does not recognise the classes `unknown`, nor the other one the last. */
function fakeContext(requests) {
  const draw = (scene) => ({picture: Object.assign(new Uint8ClampedArray(4), {scene})});
  const run = async ({network, picture, maps}) => {
    requests.push({network, scene: toText(picture.scene, []), maps});
    const label = picture.scene.objects.at(-1).label;
    const index = known.classes.findIndex((each) => each.label === label);
    const missed = network === NETWORKS.other ? unknown : unknown.slice(-1);
    const scores = known.classes.map((_, n) => (n === index && !missed.includes(label) ? 1 : n / 100));
    const raw = new Float32Array(3).fill(network === NETWORKS.better ? 1 : -1);
    return {scores, maps: maps.map(() => ({values: new Float32Array(1), raw}))};
  };
  return {draw, known, colours: null, client: {run}};
}

/** A vote whose answers are random. */
async function voted({session, seed}) {
  const plan = planned(seed, known);
  const random = randomOf(seed, 99);
  const requests = [];
  const rows = [];
  const shown = [];
  const parts = ["pairs", "comparisons"];
  for (const question of questionsOf(plan, createStimuli(fakeContext(requests), seed), parts)) {
    const stimulus = await question.make();
    const choices = question.choices(stimulus);
    const asked = {session, seed, question: question.number, scene: toText(stimulus.scene, [])};
    rows.push(question.row({...asked, milliseconds: random.between(300, 9000)}, random.between(0, choices.length - 1)));
    shown.push({prompt: question.prompt(stimulus), choices, bright: stimulus.pictures.map(([red]) => red > 127)});
  }
  return {plan, rows, shown, requests, csv: toCsv(rows)};
}

/** The error of a vote in which the networks agree on nothing. */
async function failed() {
  const {draw, client} = fakeContext([]);
  const context = {draw, known, client: {run: async () => ({scores: known.classes.map(() => 0)})}};
  return createStimuli({...context}, 1).comparison({method: TRUST[0], better: "left"}).then(() => "", String);
}

const plans = seeds.map((seed) => {
  const plan = planned(seed, known);
  const scenes = plan.pairs.map(({scene}) => toText(scene, []));
  return {...plan, scenes, read: scenes.every((text) => toText(fromText(text, known).scene, []) === text)};
});
const found = [];
for (const vote of votes) found.push(await voted(vote));
const rows = found.flatMap((vote) => vote.rows);
process.stdout.write(
  JSON.stringify({
    plans,
    candidates: seeds.map((seed) => known.classes.map((_, n) => candidate(seed, n, known))),
    votes: found,
    tables: {discrimination: discriminationTable(rows), trust: trustTable(rows)},
    wilson: [[0, 4], [4, 4], [1, 3], [13, 20]].map(([count, size]) => ({count, size, ...wilson(count, size)})),
    constants: {COLUMNS, PAPER, DISCRIMINATION, TRUST, NETWORKS, ANSWERS},
    failed: await failed(),
  }),
);
