// Terms are added to the sum one after the other.

const PAUSE = 120; // milliseconds between two steps
const STEPS = 60; // at most, from the first term to the last

/** Plays the sum from the first term to the last. Readers who want no motion add term by term. */
export class Player {
  /**
   * @param {HTMLButtonElement} button
   * @param {() => number} channels how many terms there are
   * @param {() => number | null} terms how many are added; null: all
   * @param {(terms: number) => void} change
   */
  constructor(button, channels, terms, change) {
    Object.assign(this, {button, channels, terms, change, timer: null});
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.calm.addEventListener("change", () => this.stop());
    button.addEventListener("click", () => this.#pressed());
    this.stop();
  }

  /** Stops when the panel is no longer shown. */
  check() {
    if (this.timer !== null && this.button.offsetParent === null) this.stop();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = this.calm.matches ? "Add a term" : "Play";
  }

  #pressed() {
    if (this.timer !== null) return this.stop();
    const all = this.channels();
    const terms = this.terms() ?? all;
    const from = terms >= all ? 0 : terms;
    if (this.calm.matches) return this.change(Math.min(from + 1, all));
    this.change(from);
    this.button.textContent = "Pause";
    this.timer = setInterval(() => this.#step(), PAUSE);
  }

  #step() {
    const all = this.channels();
    const terms = Math.min(all, (this.terms() ?? 0) + Math.ceil(all / STEPS));
    this.change(terms);
    this.check();
    if (terms === all) this.stop();
  }
}
