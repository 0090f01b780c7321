// The scores of all classes as bars, and two maps of the scene with the truth beside each.

import {OBJECT_COLOURS, mapPixels, oneDigit, paint, percent} from "./colours.js";
import {Effects} from "./effects.js";
import {added, addedSvg, fill, setText} from "./elements.js";
import {INPUT, METHODS, methodCalled} from "./methods.js";
import {TOP, indexed, inWords, objectNames, sortedByLabel} from "./scene.js";
import {energy, highest, outline, wholePercents} from "./truth.js";

const SCALE = [-5, 8]; // of the bars of scores, which grows only if a score is beyond it

/**
 * Makes the bars of the scores, the highest first. A click on one asks for the maps of its class.
 * @param {HTMLElement} root
 * @param {object} context
 */
export function mountScores(root, {store, known, pictogram}) {
  const labels = known.classes.map(({label}) => label);
  const list = added(root, "ol", "bars");
  const rows = labels.map(() => {
    const row = added(added(list, "li"), "button", "bar");
    row.type = "button";
    const names = ["pictogram", "name", "score", "share", "track"];
    const parts = names.map((name) => added(row, "span", name));
    added(parts[4], "i");
    row.addEventListener("click", () => {
      const maps = store.get().maps.map((wish) => ({...wish, target: row.dataset.label}));
      store.update({maps});
    });
    return {row, parts};
  });
  return {
    update({reply, scene}) {
      const present = new Set(scene.objects.map(({label}) => label));
      const order = [...reply.scores.keys()].sort((a, b) => reply.scores[b] - reply.scores[a]);
      const low = Math.min(SCALE[0], ...reply.scores);
      const high = Math.max(SCALE[1], ...reply.scores);
      order.forEach((index, rank) => {
        const label = labels[index];
        showScore(rows[rank], label, reply.scores[index], reply.probabilities[index]);
        showBar(rows[rank].parts[4], reply.scores[index], low, high);
        rows[rank].row.classList.toggle("present", present.has(label));
        pictogram(rows[rank].parts[0], label, 1);
      });
    },
    rest({reply}) {
      const [first, second] = [...reply.scores.keys()].sort((a, b) => reply.scores[b] - reply.scores[a]);
      document.getElementById("spoken").textContent =
        `The network says ${inWords(labels[first])}, ${percent(reply.probabilities[first])}, ` +
        `then ${inWords(labels[second])}, ${percent(reply.probabilities[second])}.`;
    },
  };
}

/** Fills one row. */
function showScore({row, parts}, label, score, probability) {
  const [, name, number, share] = parts;
  row.dataset.label = label;
  setText(name, inWords(label));
  setText(number, oneDigit(score));
  setText(share, percent(probability));
  row.title = `Explain ${inWords(label)} in both maps`;
}

/** Draws a score as a bar from 0, to the right or to the left. */
function showBar(track, score, low, high) {
  const at = (value) => (100 * (value - low)) / (high - low);
  const left = at(Math.min(0, score));
  track.style.setProperty("--zero", `${at(0).toFixed(1)}%`);
  track.firstChild.style.left = `${left.toFixed(1)}%`;
  track.firstChild.style.width = `${(at(Math.max(0, score)) - left).toFixed(1)}%`;
}

/**
 * Makes the two maps: choices of method, class and layer, the map over the scene, and the truth.
 * @param {HTMLElement} root
 * @param {object} context
 */
export function mountMaps(root, context) {
  const effects = new Effects(context);
  const views = [0, 1].map((n) => mapView(root, n, context));
  return {
    wishes: ({maps}) => ({maps: maps.map((wish) => indexed(wish, context.known.classes))}),
    update(frame) {
      views.forEach((view) => view.update(frame, effects.of(frame)));
    },
    async rest(frame) {
      const found = await effects.ask(frame);
      if (found) views.forEach((view) => view.showEffects(frame, found));
    },
  };
}

/** Makes one of the two maps. */
function mapView(root, number, context) {
  const {store, known, colours} = context;
  const figure = added(root, "figure", "map");
  const choose = choices(added(figure, "div", "choices"), number, context);
  const square = added(figure, "div", "square");
  const canvas = added(square, "canvas");
  canvas.setAttribute("role", "img");
  const marks = truthMarks(square, known.size);
  const truth = truthText(added(figure, "figcaption"));
  let target = 0;
  return {
    update(frame, effects) {
      const wish = frame.state.maps[number];
      const map = frame.map(indexed(wish, known.classes));
      const {view, title} = methodCalled(wish.method);
      target = wish.target === TOP ? argmax(frame.reply.scores) : indexed(wish, known.classes).target;
      choose.show(wish, frame.scene, known.classes[target].label);
      paint(canvas, mapPixels(view, map, frame.picture, colours));
      const at = highest(map.values, map.width);
      marks.show(frame, at);
      const heading = `${title} for ${inWords(known.classes[target].label)}`;
      truth.show(frame, map, at, heading);
      canvas.setAttribute("aria-label", frame.state.truth ? truth.words() : `${heading}.`);
      this.showEffects(frame, effects);
    },
    showEffects(frame, effects) {
      truth.showEffects(frame, effects, target, inWords(known.classes[target].label));
    },
  };
}

/** Makes the choices of method, class and layer of one map. */
function choices(root, number, {store, known}) {
  const name = ["Left", "Right"][number];
  const change = (changes) => {
    const {maps} = store.get();
    const changed = settled({...maps[number], ...changes}, known);
    store.update({maps: maps.map((wish, n) => (n === number ? changed : wish))});
  };
  const method = choice(root, `${name} map: method`, (value) => change({method: value}));
  const target = choice(root, `${name} map: class`, (value) => change({target: value}));
  const layer = choice(root, `${name} map: layer`, (value) => change({layer: value}));
  for (const each of METHODS) method.append(new Option(each.title, each.name));
  const top = new Option("highest score", TOP);
  const here = added(target, "optgroup");
  here.label = "in the scene";
  const all = added(target, "optgroup");
  all.label = "all classes";
  target.prepend(top);
  for (const {label} of sortedByLabel(known.classes)) all.append(new Option(inWords(label), label));
  for (const each of known.layers) layer.append(new Option(each, each));
  const whole = new Option("picture", INPUT);
  return {
    show(wish, scene, first) {
      const labels = [...new Set(scene.objects.map(({label}) => label))];
      if (here.dataset.labels !== labels.join()) {
        here.dataset.labels = labels.join();
        here.hidden = !labels.length;
        here.replaceChildren(...labels.map((label) => new Option(inWords(label), label)));
      }
      setText(top, wish.target === TOP ? `highest: ${inWords(first)}` : "highest score");
      method.value = wish.method;
      const {layered} = methodCalled(wish.method);
      layer.disabled = !layered;
      if (layered) whole.remove();
      else layer.prepend(whole);
      layer.value = wish.layer;
      target.value = wish.target;
    },
  };
}

/** Returns a wish whose layer fits its method: the last one where a layer is missing. */
function settled(wish, {layers}) {
  const {layered} = methodCalled(wish.method);
  if (!layered) return {...wish, layer: INPUT};
  return {...wish, layer: wish.layer === INPUT ? lastRelu(layers) : wish.layer};
}

function lastRelu(layers) {
  return layers.filter((name) => name.startsWith("relu")).at(-1);
}

function choice(root, label, changed) {
  const select = added(root, "select");
  select.setAttribute("aria-label", label);
  select.addEventListener("change", () => changed(select.value));
  return select;
}

/** Makes the outlines of the objects and the mark of the maximum, over a map. */
function truthMarks(root, size) {
  const svg = addedSvg(root, "svg", {viewBox: `0 0 ${size} ${size}`, "aria-hidden": "true"});
  const outlines = OBJECT_COLOURS.map((colour) => addedSvg(svg, "path", {stroke: colour}));
  const cross = addedSvg(svg, "path", {class: "maximum"});
  return {
    show({masks}, at) {
      outlines.forEach((path, n) => path.setAttribute("d", masks[n] ? outline(masks[n], size) : ""));
      cross.setAttribute("d", at ? crossAt(at.x + 0.5, at.y + 0.5) : "");
    },
  };
}

function crossAt(x, y) {
  return `M${x - 7} ${y}h14M${x} ${y - 7}v14M${x - 4.5} ${y}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0`;
}

/** Makes the truth in words and as bars of shares. */
function truthText(root) {
  const where = added(root, "p");
  const bar = added(root, "div", "shares");
  const shares = added(root, "ul", "legend");
  const effects = added(root, "p", "effects");
  return {
    words: () => [where, ...shares.children].map(({textContent}) => textContent).join(" "),
    show({scene, owner}, map, at, heading) {
      const names = objectNames(scene);
      const found = energy(map.values, owner, names.length);
      setText(where, `${heading}. ${whereWords(owner, at, names)}`);
      const parts = [...names, "ground"];
      const percents = found ? wholePercents([...found.objects, found.ground]) : [];
      fill(bar, percents.length, "i", (element, n) => {
        element.style.width = `${percents[n]}%`;
        element.style.background = OBJECT_COLOURS[n] && n < names.length ? OBJECT_COLOURS[n] : "";
      });
      fill(shares, percents.length, "li", (element, n) => {
        setText(element, `${parts[n]} ${percents[n]} %`);
        element.style.setProperty("--mark", n < names.length ? OBJECT_COLOURS[n] : "var(--ground-share)");
      });
    },
    showEffects({scene}, found, target, label) {
      setText(effects, effectWords(objectNames(scene), found, target, label));
    },
  };
}

function whereWords(owner, at, names) {
  if (!at) return "The map is 0 everywhere.";
  const number = owner[at.at];
  return number ? `Its maximum is on the ${names[number - 1]}.` : "Its maximum is on the ground.";
}

/** What taking each object away does to the score, in words; a placeholder while it is not known. */
function effectWords(names, found, target, label) {
  if (!names.length) return "";
  if (!found) return "Score without …";
  const parts = names.map((name, n) => {
    const change = found.without[n][target] - found.scores[target];
    return `without the ${name} ${change >= 0 ? "+" : ""}${oneDigit(change)}`;
  });
  return `Score of ${label} ${oneDigit(found.scores[target])}: ${parts.join(", ")}.`;
}

function argmax(values) {
  return values.indexOf(Math.max(...values));
}
