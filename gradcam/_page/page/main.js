// The page: opens the core, mounts the panels, and keeps map and scene of one moment together.
//
// A change of the state leads to one frame: the scene is drawn, the network is asked about it, and
// only when it has answered are the picture, the scores and the maps painted, all at once.
//
// window.gradcam.ask(text) draws the scene of a text, as it stands in the address, and resolves to
// {picture, masks, reply}: what the network was asked about and what it answered.

import {decodeBase64} from "./base64.js";
import {openClient} from "./client.js";
import {mountDisturb} from "./disturb.js";
import {createDrawing} from "./draw.js";
import {mountEditor} from "./editor.js";
import {mountInside} from "./inside.js";
import {mapLayers} from "./methods.js";
import {fromHex, readText} from "./parts.js";
import {openPixels} from "./pixels.js";
import {openPictograms} from "./pictograms.js";
import {lessonCalled, mountLessons} from "./presets.js";
import {fromText, indexed, toText} from "./scene.js";
import {createStore} from "./store.js";
import {mountTabs} from "./tabs.js";
import {mountMaps, mountScores} from "./views.js";
import {mountVote} from "./vote.js";

/**
 * The further parts of the page, in the order of their tabs. Each is mounted in an element of its
 * own: "beside" the scene in place of the maps, "below" the maps, or as the "whole" page, for which
 * no frames are made.
 * `mount(root, context)` returns {wishes(state), picture(state, rgba), update(frame), rest(frame)}, of
 * which each may be missing, and which are called only while the part is shown:
 *
 * - `wishes` returns what the network is asked besides: {maps: [...], inside: {...}};
 * - `picture` returns the picture that the network gets in place of the scene's, RGBA;
 * - `update` paints a frame: {state, scene, picture, masks, owner, reply, map(wish), changed(rgba)}, of
 *   which `changed` does to another picture what the parts did to this one;
 * - `rest` gets the last frame again when nothing has changed for a while, for slower questions.
 *
 * A wish for a map has the index of its class, or "top".
 */
const PANELS = [
  {key: "inside", title: "Inside", place: "beside", mount: mountInside},
  {key: "disturb", title: "Noise and occlusion", place: "below", mount: mountDisturb},
  {key: "vote", title: "Vote", place: "whole", mount: mountVote},
];

const SETTLED = 300; // milliseconds without a change, after which a scene is at rest

async function start() {
  const data = JSON.parse(readText("data"));
  const client = await openClient({
    wasm: {simd128: readText("core-simd128"), relaxed: readText("core-relaxed")},
    networks: networksOf(data.networks),
    workerSource: readText("worker"),
  });
  const pixels = await openPixels(decodeBase64(readText("pixels")), data.contents);
  const {labels, layers} = client.networks.pictograms;
  const draw = createDrawing(pixels, data.contents.classes);
  const known = {...data.contents, layers: mapLayers(layers).map(({name}) => name)};
  const store = createStore({...firstState(known), selected: null, tab: "maps", truth: true});
  const ask = asking(client, draw, known);
  const pictogram = openPictograms(pixels, known.classes);
  const colours = fromHex(data.colours);
  const context = {client, store, draw, pixels, known, labels, layers, ask, pictogram, colours};
  mountPage(context);
  document.getElementById("status").textContent =
    `The C core of gradcam ${data.version}, as WebAssembly (${client.level}).`;
  window.gradcam = {ask: context.ask, state: store.get};
}

/** Returns the networks' descriptions with their weights. */
function networksOf(descriptions) {
  const networks = {};
  for (const [name, description] of Object.entries(descriptions)) {
    networks[name] = {description, weights: readText(`network-${name}`)};
  }
  return networks;
}

/** Returns the scene and maps of the address, or of the first lesson, if that is damaged with why. */
function firstState(known) {
  const usual = fromText(lessonCalled().text, known);
  const text = location.hash.slice(1);
  if (!text) return {...usual, lesson: lessonCalled().name};
  try {
    const found = fromText(text, known);
    return {...found, maps: found.maps.length ? found.maps : usual.maps, lesson: null};
  } catch (error) {
    report(`The address of this page has a scene that cannot be shown: ${error.message}`, "address");
    return {...usual, lesson: lessonCalled().name};
  }
}

/** Shows one sentence about what went wrong with the "address", a "frame" or the whole "page". */
function report(sentence, source) {
  const problem = element("problem");
  problem.textContent = sentence;
  problem.dataset.source = source;
  problem.hidden = false;
}

/** Removes what was reported about the address or a frame. */
function settle(source) {
  const problem = element("problem");
  if (problem.dataset.source === source) problem.hidden = true;
}

/** Mounts every part, and the loop that paints them. */
function mountPage(context) {
  const {store} = context;
  const panels = [
    {key: "maps", title: "Maps", place: "maps", parts: [mountMaps(element("maps"), context)]},
    ...PANELS.map((panel) => ({...panel, parts: [panel.mount(rootOf(panel), context)]})),
  ];
  const [maps] = panels;
  for (const panel of panels) if (panel.place === "below") panel.parts.unshift(...maps.parts);
  const always = [mountEditor(element("scene"), context), mountScores(element("scores"), context)];
  mountTabs(element("tabs"), panels, store);
  mountLessons(context);
  mountLink(context);
  mountTruth(context);
  const shown = () => {
    const {place, parts} = panels.find(({key}) => key === store.get().tab);
    return place === "whole" ? null : [...always, ...parts];
  };
  startLoop(context, shown);
}

function element(id) {
  return document.getElementById(id);
}

/** Returns a new element for a panel, at its place. */
function rootOf({key, title, place}) {
  const root = document.createElement("section");
  root.id = `panel-${key}`;
  root.className = `panel ${place}`;
  root.setAttribute("aria-label", title);
  element(place === "whole" ? "whole" : "beside").append(root);
  return root;
}

/** Copies the address with the scene. */
function mountLink({store}) {
  const button = element("link");
  const first = store.get().scene;
  store.subscribe(({scene}) => scene !== first && settle("address"));
  button.addEventListener("click", async () => {
    const {scene, maps} = store.get();
    history.replaceState(null, "", `#${toText(scene, maps)}`);
    settle("address");
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "See the address";
    }
    setTimeout(() => (button.textContent = "Copy link"), 2000);
  });
  window.addEventListener("hashchange", () => {
    if (!store.get().vote?.open) return location.reload();
    report("A vote is open here: save its answers before you open another address in this window.", "address");
  });
}

/** Shows or hides what is true, so that a class can guess first. */
function mountTruth({store}) {
  const box = element("truth");
  box.addEventListener("change", () => store.update({truth: box.checked}));
  const show = ({truth}) => (document.body.dataset.truth = truth ? "shown" : "hidden");
  store.subscribe(show);
  show(store.get());
}

/**
 * Asks and paints after each change of the state, always of the last state. While the network works
 * on one frame, the one before is painted.
 */
function startLoop(context, shown) {
  let changed = false;
  let busy = false;
  let resting; // the timer that tells the parts when a frame has been the last one for a while
  const run = async () => {
    if (busy) return;
    busy = true;
    let answered = null;
    while (changed || answered) {
      const parts = shown();
      const asked = changed && parts ? askFrame(context, parts) : null;
      changed = false;
      try {
        if (answered?.state.tab === context.store.get().tab) {
          paintFrame(answered, parts);
          settle("frame");
          if (!asked) resting = setTimeout(tellRest, SETTLED, answered, parts);
        }
        answered = await asked;
      } catch (error) {
        answered = null;
        report(error.message, "frame");
      }
    }
    busy = false;
  };
  context.store.subscribe(() => {
    changed = true;
    clearTimeout(resting);
    requestAnimationFrame(run);
  });
  context.store.update({});
}

/** Asks the network about the state; resolves to the frame: its answer, and what it was asked about. */
async function askFrame({client, store, draw}, parts) {
  const state = store.get();
  const drawn = draw(state.scene);
  const changed = (rgba) => parts.reduce((last, part) => part.picture?.(state, last) ?? last, rgba);
  const picture = changed(drawn.picture);
  const request = joined(parts.map((part) => part.wishes?.(state) ?? {}));
  const reply = await client.show({network: "pictograms", picture, ...request});
  const map = finder(request, reply);
  return {state, scene: state.scene, ...drawn, picture, changed, reply, map};
}

function paintFrame(frame, parts) {
  for (const part of parts) part.update?.(frame);
}

function tellRest(frame, parts) {
  for (const part of parts) {
    Promise.resolve(part.rest?.(frame)).catch((error) => report(error.message, "frame"));
  }
}

/** Joins what parts wish: each map once. */
function joined(wishes) {
  const maps = new Map();
  for (const wish of wishes.flatMap(({maps = []}) => maps)) maps.set(keyOf(wish), wish);
  const inside = wishes.map((wish) => wish.inside).find(Boolean);
  return {maps: [...maps.values()], inside};
}

function keyOf({method, target, layer}) {
  return `${method}:${target}:${layer}`;
}

/** Returns a function that finds the map of a wish in the reply. */
function finder(request, reply) {
  const maps = new Map(request.maps.map((wish, n) => [keyOf(wish), reply.maps[n]]));
  return (wish) => maps.get(keyOf(wish));
}

/** Returns the function `ask`, for tests and for who wants the numbers. */
function asking(client, draw, known) {
  return async (text) => {
    const {scene, maps} = fromText(text, known);
    const drawn = draw(scene);
    const wishes = maps.map((wish) => indexed(wish, known.classes));
    const reply = await client.run({network: "pictograms", picture: drawn.picture, maps: wishes});
    return {...drawn, reply};
  };
}

start()
  .catch((error) => report(error.message, "page"))
  .finally(() => element("opening").remove());
