/** A run that has ended, looked at again: a slider over its time, and a button that lets it go by. */

import { button, html, isMotionReduced, listen, set, setText, show } from "./dom";
import { icon, setIcon } from "./icons";
import type { Store } from "./store";
import { duration } from "./text";

const STEPS = 200;
/** Milliseconds from step to step: ten seconds for the whole, however long the run took. */
const PACE = 50;
/** Whoever wants nothing to move sees ten pictures instead, a second each. */
const JUMP = 20;

export class Playback {
  readonly element: HTMLElement;
  #store: Store;
  #glyph = icon("resume");
  #play = button({}, () => this.#toggle(), this.#glyph);
  #told = html("span", "times");
  #slider = html("input", { type: "range", min: 0, max: STEPS, value: STEPS, "aria-label": "Moment of the run" });
  #playing: ReturnType<typeof setInterval> | null = null;

  constructor(store: Store) {
    this.#store = store;
    this.element = html("div", "playback", html("div", "label", this.#play, this.#told), this.#slider);
    listen(this.#slider, "input", () => {
      this.#stop();
      this.#go();
    });
  }

  destroy(): void {
    this.#stop();
  }

  /** Shows the run as it is. */
  leave(): void {
    this.#stop();
    this.#store.lookBack(null);
  }

  update(): void {
    const { view, wanted, reachable, timeline } = this.#store;
    const shown = reachable && !!view?.nodes.length && !view.run.running;
    show(this.element, shown);
    if (!shown) this.#stop();
    if (!shown || !timeline) return;
    if (wanted === null && !this.#playing) this.#slider.value = `${STEPS}`;
    const told = `${duration(this.#at)} of ${duration(timeline.seconds)}`;
    setText(this.#told, told);
    set(this.#slider, { "aria-valuetext": told });
    setIcon(this.#glyph, this.#playing ? "pause" : "resume");
    const word = this.#playing ? "Stop" : "Play the run again";
    set(this.#play, { "aria-label": word, title: word });
  }

  /** Where the slider stands, in seconds after the timeline begins. */
  get #at(): number {
    return (Number(this.#slider.value) / STEPS) * (this.#store.timeline?.seconds ?? 0);
  }

  #go(): void {
    this.#store.lookBack(Number(this.#slider.value) < STEPS ? this.#at : null);
    this.update();
  }

  #toggle(): void {
    if (this.#playing) this.#stop();
    else {
      if (Number(this.#slider.value) === STEPS) this.#slider.value = "0";
      const step = isMotionReduced() ? JUMP : 1;
      this.#playing = setInterval(() => {
        this.#slider.value = `${Number(this.#slider.value) + step}`;
        if (Number(this.#slider.value) === STEPS) this.#stop();
        this.#go();
      }, PACE * step);
    }
    this.#go();
  }

  #stop(): void {
    if (this.#playing) clearInterval(this.#playing);
    this.#playing = null;
  }
}
