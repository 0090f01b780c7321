// The scene, in which objects are placed, moved, scaled, turned and removed.
//
// The frames of the objects follow the pointer at once; the picture is painted with its frame, when
// the network has answered.

import {paint} from "./colours.js";
import {added, addedButton, addedSvg} from "./elements.js";
import {MAX_OBJECTS, inWords, objectNames, sortedByLabel} from "./scene.js";
import {toFront, withAdded, withChanged, without} from "./scene.js";

const MOVED = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
const STEP = 2;
const LONG_STEP = 10;
const SCALED = 1.06;
const TURNED = 5; // degrees
const KEYS = {
  "+": ({scale}) => scale(SCALED),
  "=": ({scale}) => scale(SCALED),
  "-": ({scale}) => scale(1 / SCALED),
  _: ({scale}) => scale(1 / SCALED),
  ",": ({turn}) => turn(-TURNED),
  "[": ({turn}) => turn(-TURNED),
  ".": ({turn}) => turn(TURNED),
  "]": ({turn}) => turn(TURNED),
  v: ({another}) => another(),
};
const KEY_WORDS =
  "Keys: arrows move the object, with Shift by larger steps; plus and minus scale it; comma and full stop " +
  "turn it; f puts it to the front; v shows another pictogram of its class; Delete removes it.";
const NEW_LENGTH = 88;
const FULL_WORDS = "A scene has at most four objects.";
const ENDS = ["pointerup", "pointercancel", "lostpointercapture"]; // of a drag

/**
 * Makes the scene with its tools and the pictograms to choose from.
 * @param {HTMLElement} root
 * @param {object} context
 */
export function mountEditor(root, context) {
  mountGround(root.querySelector(".head"), context);
  const square = added(root, "div", "square");
  const canvas = added(square, "canvas");
  canvas.setAttribute("role", "img");
  const actions = actionsOn(context);
  const boxes = mountBoxes(square, context, actions);
  mountTools(root, context, actions, boxes);
  mountPalette(root, context, actions, boxes);
  return {
    update({picture, scene}) {
      paint(canvas, picture);
      canvas.setAttribute("aria-label", sceneWords(scene));
    },
  };
}

function sceneWords(scene) {
  const names = objectNames(scene);
  return `${names.length ? names.join(", ") : "no objects"}, on the background ${scene.ground}`;
}

/** Returns what can be done with the scene and the selected object. */
function actionsOn({store, known}) {
  const edit = (change) => {
    const {scene, selected} = store.get();
    if (selected === null) return;
    store.update({scene: withChanged(scene, selected, change(scene.objects[selected]))});
  };
  return {
    move: (dx, dy) => edit(({x, y}) => ({x: x + dx, y: y + dy})),
    scale: (factor) => edit(({length}) => ({length: length * factor})),
    turn: (by) => edit(({turn}) => ({turn: turn + by})),
    set: (changes) => edit(() => changes),
    another: () => edit(({label, variant}) => ({variant: (variant % countOf(label, known)) + 1})),
    remove() {
      const {scene, selected} = store.get();
      if (selected === null) return;
      const next = Math.min(selected, scene.objects.length - 2); // -1: it was the last one
      store.update({scene: without(scene, selected), selected: next < 0 ? null : next});
    },
    front() {
      const {scene, selected} = store.get();
      if (selected === null) return;
      store.update({scene: toFront(scene, selected), selected: scene.objects.length - 1});
    },
    select: (selected) => store.get().selected !== selected && store.update({selected}),
    add(label, x, y) {
      const {scene} = store.get();
      if (scene.objects.length >= MAX_OBJECTS) return false;
      const thing = {label, variant: 1, x, y, length: NEW_LENGTH, turn: 0};
      store.update({scene: withAdded(scene, thing), selected: scene.objects.length});
      return true;
    },
  };
}

/** Makes the boxes around the objects, which take the focus, the pointer and the keys. */
function mountBoxes(square, {store, draw, pixels, known}, actions) {
  const {size} = known;
  const svg = addedSvg(square, "svg", {viewBox: `0 0 ${size} ${size}`, class: "boxes"});
  added(square, "p", "spoken", KEY_WORDS).id = "scene-keys";
  const boxes = Array.from({length: MAX_OBJECTS}, (_, n) => {
    const group = addedSvg(svg, "g", {class: "box", tabindex: 0, role: "button"});
    group.setAttribute("aria-describedby", "scene-keys");
    const rect = addedSvg(group, "rect");
    const handle = addedSvg(group, "g", {class: "handle"});
    addedSvg(handle, "circle", {class: "reach", r: 16});
    addedSvg(handle, "circle", {class: "knob", r: 6});
    group.addEventListener("focus", () => actions.select(n));
    group.addEventListener("keydown", (event) => pressed(event, actions, focus));
    return {group, rect, handle};
  });
  const focus = () => {
    const {selected} = store.get();
    const first = square.parentElement.querySelector(".palette button");
    (boxes[selected]?.group ?? first).focus({preventScroll: true});
  };
  const show = ({scene, selected}) => {
    const names = objectNames(scene);
    boxes.forEach(({group, rect, handle}, n) => {
      const thing = scene.objects[n];
      group.style.display = thing ? "" : "none";
      if (!thing) return;
      const [width, height] = sizeOf(thing, known, pixels);
      const {x, y, length, turn} = thing;
      group.setAttribute("transform", `translate(${x} ${y}) rotate(${turn})`);
      const where = `at ${x}, ${y}, ${length} pixels long, turned ${turn} degrees`;
      group.setAttribute("aria-label", `${names[n]}, ${where}`);
      group.setAttribute("aria-pressed", n === selected);
      group.classList.toggle("selected", n === selected);
      for (const [name, value] of Object.entries({x: -width / 2, y: -height / 2, width, height})) {
        rect.setAttribute(name, value);
      }
      handle.setAttribute("transform", `translate(${width / 2} ${height / 2})`);
    });
  };
  const at = (event) => {
    const {left, top, width} = svg.getBoundingClientRect();
    return {x: ((event.clientX - left) * size) / width, y: ((event.clientY - top) * size) / width};
  };
  const pointer = mountPointer(svg, {at, boxes, store, draw, size, actions});
  store.subscribe(show);
  show(store.get());
  return {...pointer, at, focus};
}

/** Returns the width and height of an object before it is turned. */
function sizeOf({label, variant, length}, {classes}, {sprites}) {
  const {cells} = classes.find((each) => each.label === label);
  const {width, height} = sprites[cells[variant - 1]];
  const zoom = length / Math.max(width, height);
  return [width * zoom, height * zoom];
}

/** Does what a key says on the selected object; `focus` gives the focus to what is selected then. */
function pressed(event, actions, focus) {
  const alone = event.getModifierState("AltGraph") || !(event.ctrlKey || event.metaKey || event.altKey);
  if (!alone) return;
  const key = event.key.length > 1 ? event.key : event.key.toLowerCase();
  const step = event.shiftKey ? LONG_STEP : STEP;
  const moved = MOVED[event.key];
  if (moved) actions.move(step * moved[0], step * moved[1]);
  else if (KEYS[key]) KEYS[key](actions);
  else if (key === "f") {
    actions.front();
    focus();
  } else if (key === "Delete" || key === "Backspace") {
    actions.remove();
    focus();
  } else if (key === "Escape") {
    actions.select(null);
    event.currentTarget.blur();
  } else return;
  event.preventDefault();
}

/** Follows mouse, pen and fingers: one drags, on the handle it scales and turns, as two fingers do. */
function mountPointer(svg, {at, boxes, store, draw, size, actions}) {
  const points = new Map(); // where each finger is, in pixels of the scene
  let drag = null; // {apply(points)}
  const begin = (handle) => {
    const {scene, selected} = store.get();
    drag = selected === null ? null : dragOf(scene.objects[selected], [...points.values()], handle);
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const point = at(event);
    svg.setPointerCapture(event.pointerId);
    points.set(event.pointerId, point);
    const handle = event.target.closest(".handle") !== null;
    if (points.size === 1 && !handle) {
      const number = hit(draw(store.get().scene).owner, size, point) ?? boxOf(event.target, boxes);
      actions.select(number);
      if (number !== null) boxes[number].group.focus({preventScroll: true});
    }
    begin(handle);
    event.preventDefault();
  });
  const move = (event) => {
    if (!points.has(event.pointerId)) return;
    points.set(event.pointerId, at(event));
    if (drag) actions.set(drag([...points.values()]));
  };
  const end = (event) => {
    if (points.delete(event.pointerId)) begin(false);
  };
  svg.addEventListener("pointermove", move);
  for (const name of ENDS) svg.addEventListener(name, end);
  return {
    follow(event) {
      points.set(event.pointerId, at(event));
      begin(false);
    },
    move,
    end,
  };
}

/** Returns the number of the object that a point shows; null if none. */
function hit(owner, size, {x, y}) {
  const number = owner[Math.floor(y) * size + Math.floor(x)];
  return number ? number - 1 : null;
}

function boxOf(target, boxes) {
  const number = boxes.findIndex(({group}) => group.contains(target));
  return number < 0 ? null : number;
}

/** Returns a function from where the fingers are to what changes of the object. */
function dragOf(thing, start, handle) {
  if (!start.length) return null;
  if (start.length > 1) return betweenTwo(thing, start);
  const [first] = start;
  if (!handle) return ([now]) => ({x: thing.x + now.x - first.x, y: thing.y + now.y - first.y});
  const from = polar(thing, first);
  return ([now]) => {
    const to = polar(thing, now);
    return {length: (thing.length * to.far) / from.far, turn: thing.turn + to.turn - from.turn};
  };
}

function betweenTwo(thing, [a, b]) {
  const from = polar(a, b);
  return ([c, d]) => {
    if (!d) return {};
    const to = polar(c, d);
    return {
      x: thing.x + (c.x + d.x - a.x - b.x) / 2,
      y: thing.y + (c.y + d.y - a.y - b.y) / 2,
      length: (thing.length * to.far) / from.far,
      turn: thing.turn + to.turn - from.turn,
    };
  };
}

/** Returns how far and in which direction, in degrees, a point is from another. */
function polar(from, to) {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  return {far: Math.max(1, Math.hypot(dx, dy)), turn: (Math.atan2(dy, dx) * 180) / Math.PI};
}

/** Makes the buttons below the scene. */
function mountTools(root, {store, known}, actions, boxes) {
  const bar = added(root, "div", "toolbar");
  const buttons = [
    addedButton(bar, "−", "Smaller (key −)", () => actions.scale(1 / 1.12)),
    addedButton(bar, "+", "Larger (key +)", () => actions.scale(1.12)),
    addedButton(bar, "↺", "Turn left (key , or [)", () => actions.turn(-10)),
    addedButton(bar, "↻", "Turn right (key . or ])", () => actions.turn(10)),
    addedButton(bar, "⇡", "To the front (key f)", actions.front),
  ];
  const other = addedButton(bar, "⇄", "Another pictogram of the class (key v)", actions.another);
  const remove = addedButton(bar, "✕", "Remove (key Delete)", () => {
    actions.remove();
    if (store.get().selected === null) boxes.focus(); // as this button is disabled
  });
  const show = ({scene, selected}) => {
    const none = selected === null;
    for (const button of [...buttons, remove]) button.disabled = none;
    other.disabled = none || countOf(scene.objects[selected].label, known) < 2;
  };
  store.subscribe(show);
  show(store.get());
}

/** Makes the choice of the background. */
function mountGround(root, {store, known}) {
  const select = added(root, "select");
  select.setAttribute("aria-label", "Background");
  for (const name of known.grounds) select.append(new Option(name, name));
  select.addEventListener("change", () => {
    store.update({scene: {...store.get().scene, ground: select.value}});
  });
  const show = ({scene}) => (select.value = scene.ground);
  store.subscribe(show);
  show(store.get());
}

function countOf(label, {classes}) {
  return classes.find((each) => each.label === label).cells.length;
}

/** Makes the pictograms: a click adds one, and each can be drawn into the scene. */
function mountPalette(root, {store, known, pictogram}, actions, boxes) {
  const list = added(root, "div", "palette");
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", "Add an object");
  const buttons = sortedByLabel(known.classes).map(({label}) => {
    const button = addedButton(list, "", `Add: ${inWords(label)}`, () => {
      const done = button.dataset.drawn || actions.add(label, ...freePlace(store.get().scene));
      if (!done) document.getElementById("spoken").textContent = FULL_WORDS;
      delete button.dataset.drawn;
    });
    pictogram(added(button, "span", "pictogram"), label, 1);
    mountDrawing(button, known.size, (x, y) => actions.add(label, x, y), boxes);
    return button;
  });
  const show = ({scene}) => {
    const full = scene.objects.length >= MAX_OBJECTS;
    for (const button of buttons) button.setAttribute("aria-disabled", full);
    list.classList.toggle("full", full);
  };
  store.subscribe(show);
  show(store.get());
}

/** Lets a button be drawn into the scene, where the object appears and follows the pointer. */
function mountDrawing(button, size, add, boxes) {
  button.addEventListener("pointerdown", (event) => {
    delete button.dataset.drawn;
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
  });
  button.addEventListener("pointermove", (event) => {
    if (!button.hasPointerCapture(event.pointerId)) return;
    const {x, y} = boxes.at(event);
    const within = x > 0 && y > 0 && x < size && y < size;
    if (within && !button.dataset.drawn && add(x, y)) {
      button.dataset.drawn = true;
      boxes.follow(event);
    }
    boxes.move(event);
  });
  for (const name of ENDS) button.addEventListener(name, boxes.end);
}

/** Returns the place, of a few, that is farthest from all objects. */
function freePlace({objects}) {
  const places = [60, 112, 164].flatMap((y) => [60, 164, 112].map((x) => [x, y]));
  const distance = ([x, y]) => {
    return Math.min(...objects.map((thing) => Math.hypot(thing.x - x, thing.y - y)), 1000);
  };
  return places.reduce((best, place) => (distance(place) > distance(best) ? place : best));
}
