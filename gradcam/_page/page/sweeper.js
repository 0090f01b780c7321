// The button that moves the patch over the whole picture, and how far it has come.

import {Occlusions, fillColour, patchGrid, sweep} from "./occlusion.js";

/** Tries the patch at every place of a grid, until the reader stops it or the picture changes. */
export class Sweeper {
  /**
   * @param {Object<string, HTMLElement>} parts of the panel
   * @param {object} panel `begin(known)` shows that the sweep's `known` takes the place of what was
   *   known; `known` is what the panel shows; `scores(picture)` asks; `paint()` paints
   */
  constructor(parts, panel) {
    Object.assign(this, {parts, panel});
    this.known = null; // what is known of the sweep that runs
    this.place = null; // where its patch is
    this.#show(0, 1);
  }

  /** Whether a sweep runs. */
  get runs() {
    return this.known !== null;
  }

  stop() {
    this.known = this.place = null;
  }

  /**
   * Runs a sweep.
   * @param {Occlusions} before what is known of the picture
   * @param {number} side of the patch, in pixels
   * @param {string} fill a key of FILLS
   */
  async run({picture, width, height, scores}, side, fill) {
    const {panel} = this;
    const known = new Occlusions(picture, width);
    known.scores = scores;
    this.known = known;
    panel.begin(known);
    const grid = patchGrid(width, height, side, side / 2);
    const ask = (changed) => panel.scores(changed);
    try {
      known.scores ??= await ask(picture);
      const goesOn = (place) => this.#goesOn(known, place, grid.length);
      await sweep(known, grid, fillColour(picture, fill), ask, goesOn);
      this.#end(known, grid.length, "stopped");
    } catch (error) {
      this.#end(known, grid.length, error.message);
    }
  }

  /** Shows the next place; false if the sweep is to end. */
  #goesOn(known, place, all) {
    const isShown = this.parts.sweep.offsetParent !== null;
    if (this.known !== known || this.panel.known !== known || !isShown) return false;
    this.place = place;
    this.#show(known.count, all);
    this.panel.paint();
    return true;
  }

  /** Shows the end of a sweep, unless another one has begun. */
  #end(known, all, why) {
    if (this.runs && this.known !== known) return;
    this.stop();
    this.#show(known.count, all);
    this.panel.paint();
    if (known.count < all) {
      this.parts.progressText.textContent = `${known.count} of ${all} patches, ${why}`;
    } else this.parts.spoken.textContent = this.parts.fallsText.textContent;
  }

  #show(done, all) {
    const {sweep: button, progress, progressText} = this.parts;
    button.textContent = this.runs ? "Stop" : "Move the patch over the whole picture";
    progress.max = all;
    progress.value = done;
    progressText.textContent = done > 0 ? `${done} of ${all} patches` : "";
  }
}
