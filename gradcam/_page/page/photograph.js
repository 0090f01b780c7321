// The page for photographs: one is opened, and its most probable classes are explained.
//
// The picture, the classes and the maps are painted together, so that they always belong together. A
// photograph or a method that is chosen meanwhile replaces the question that waits.
//
// window.gradcam.shown() returns what is on the page, for tests and for who wants the numbers.

import {decodeBase64} from "./base64.js";
import {openClient} from "./client.js";
import {paint, percent} from "./colours.js";
import {added} from "./elements.js";
import {SHOWN, largest, showClasses} from "./five.js";
import {METHODS, methodCalled} from "./methods.js";
import {fromHex, readText} from "./parts.js";
import {openPicture} from "./picture_open.js";
import {NO_FILE, shownWords} from "./picture_words.js";

const NETWORK = "imagenet";

async function start() {
  const data = JSON.parse(readText("data"));
  const client = await openClient({
    wasm: {simd128: readText("core-simd128"), relaxed: readText("core-relaxed")},
    networks: {[NETWORK]: {description: data.networks[NETWORK], weights: readText(`network-${NETWORK}`)}},
    workerSource: readText("worker"),
  });
  const page = new Page(client, data.preset, fromHex(data.colours));
  mountChoices(page, client.networks[NETWORK].layers);
  mountFiles(page);
  mountExamples(page, data.photographs);
  element("status").textContent = `The C core of gradcam ${data.version}, as WebAssembly (${client.level}).`;
  window.gradcam = {shown: () => page.shown};
}

function element(id) {
  return document.getElementById(id);
}

/** Shows one sentence about what went wrong; an empty one removes it. */
function report(sentence) {
  element("problem").textContent = sentence;
  element("problem").hidden = !sentence;
}

/** What is asked, and what is shown. */
class Page {
  constructor(client, preset, colours) {
    this.client = client;
    this.preset = preset;
    this.colours = colours;
    this.photograph = null; // {rgba, words}
    this.choice = {}; // {method, layer}
    this.shown = null; // {picture, scores, probabilities, maps}
    this.opened = 0; // photographs that were chosen
  }

  /** Opens the first of some files and asks about it; if it cannot be opened, the page stays as it is. */
  async open(files) {
    const [file] = files;
    if (!file) return report(NO_FILE);
    const number = ++this.opened;
    this.busy(true);
    report("");
    try {
      const picture = await openPicture(file, this.preset);
      if (number !== this.opened) return;
      const words = shownWords({...picture, name: file.name, others: files.length - 1});
      this.photograph = {rgba: picture.rgba, words};
      await this.ask();
    } catch (error) {
      if (number !== this.opened) return;
      report(error.message);
      this.busy(false);
    }
  }

  /** Changes the method or the layer. */
  async choose(changes) {
    this.choice = {...this.choice, ...changes};
    if (!this.photograph) return;
    this.busy(true);
    await this.ask().catch((error) => {
      report(error.message);
      this.busy(false);
    });
  }

  /** Asks for the scores and the maps of the most probable classes, and paints all at once. */
  async ask() {
    const {photograph, choice} = this;
    const question = {network: NETWORK, picture: photograph.rgba};
    const replaced = () => photograph !== this.photograph || choice !== this.choice;
    const scored = await this.client.show({...question, maps: []});
    if (!scored || replaced()) return; // the newer question will be painted
    const classes = largest(scored.scores, SHOWN);
    const maps = classes.map((target) => ({...choice, target}));
    const reply = await this.client.show({...question, maps});
    if (!reply || replaced()) return;
    this.paint(photograph, choice, classes, reply);
  }

  paint(photograph, choice, targets, reply) {
    const {labels} = this.client.networks[NETWORK];
    const method = methodCalled(choice.method);
    const classes = targets.map((target, n) => {
      return {label: labels[target], probability: reply.probabilities[target], map: reply.maps[n]};
    });
    paint(element("picture"), photograph.rgba);
    showClasses(element("classes"), classes, method, photograph.rgba, this.colours);
    element("words").textContent = photograph.words;
    element("picture").setAttribute("aria-label", `The photograph: ${photograph.words}`);
    const said = classes.map(({label, probability}) => `${label}, ${percent(probability)}`);
    element("spoken").textContent = `${photograph.words} The network says ${said.join("; ")}.`;
    const {scores, probabilities, maps} = reply;
    this.shown = {picture: photograph.rgba, targets, scores, probabilities, maps, ...choice};
    this.busy(false);
  }

  busy(busy) {
    document.body.classList.toggle("busy", busy);
    element("result").setAttribute("aria-busy", String(busy));
  }
}

/** Makes the choices of the method and the layer, for all maps. */
function mountChoices(page, layers) {
  const [method, layer] = [element("method"), element("layer")];
  for (const each of METHODS) method.append(new Option(each.title, each.name));
  for (const {name, shape} of deepest(layers)) {
    layer.append(new Option(`${shape[1]} × ${shape[2]}, ${name}`, name));
  }
  layer.selectedIndex = layer.length - 1;
  const changed = () => {
    layer.disabled = !methodCalled(method.value).layered;
    page.choose({method: method.value, layer: layer.disabled ? "input" : layer.value});
  };
  method.addEventListener("change", changed);
  layer.addEventListener("change", changed);
  changed();
}

/** Returns the last layer of each resolution, from the finest to the coarsest. */
function deepest(layers) {
  const found = new Map();
  for (const layer of layers) {
    const [, height] = layer.shape;
    if (layer.op !== "input" && layer.shape.length === 3 && height > 1) found.set(height, layer);
  }
  return [...found.values()].sort((a, b) => b.shape[1] - a.shape[1]);
}

/** Opens files that are chosen, dropped or pasted. */
function mountFiles(page) {
  element("file").addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = ""; // the same file can be chosen again
    if (files.length) page.open(files);
  });
  const over = (event, inside) => {
    event.preventDefault();
    document.body.classList.toggle("over", inside);
  };
  document.addEventListener("dragover", (event) => over(event, true));
  document.addEventListener("dragleave", (event) => over(event, event.relatedTarget !== null));
  document.addEventListener("drop", (event) => {
    over(event, false);
    page.open([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => page.open([...event.clipboardData.files]));
}

/** Makes a button for each photograph that the page brings, and opens the first one. */
function mountExamples(page, photographs) {
  const files = photographs.map(({name}) => new File([decodeBase64(readText(`photograph-${name}`))], name));
  photographs.forEach(({title}, n) => {
    const button = added(element("examples"), "button");
    button.type = "button";
    button.title = title;
    const image = added(button, "img");
    image.src = URL.createObjectURL(files[n]);
    image.alt = title;
    button.addEventListener("click", () => page.open([files[n]]));
  });
  const credits = photographs.map(({title, credit}) => `“${title}”, ${credit}`);
  element("credits").textContent = `Photographs to try: ${credits.join("; ")}.`;
  page.open([files[0]]);
}

start()
  .catch((error) => report(error.message))
  .finally(() => element("opening").remove());
