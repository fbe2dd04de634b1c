/** The head of the panel: what the run is, how far it is, what one may do. */

import { SegmentBar } from "./card";
import { button, html, set, setText, show, tell } from "./dom";
import { COUNT_LOOKS, icon, setIcon, shapeOf } from "./icons";
import type { Counts, StateView, Verb } from "./protocol";
import type { Filter } from "./filter";
import type { Said, Store } from "./store";
import { COUNT_WORDS, count, duration, stateWords } from "./text";

const CONFIRM_FOR = 3000;
const NO_CONNECTION =
  "Buttons need a connection to the kernel; the notebook's stop button interrupts the run. " +
  "If the kernel has died, this goes on in the next one: %tidegate resume";
/** What stands on a verb's button, at rest and while it is waited for. */
export const LABELS: Record<Verb, readonly [rest: string, pending: string]> = {
  pause: ["Pause", "Pausing…"],
  resume: ["Resume", "Resuming…"],
  suspend: ["Release cell", "Releasing…"],
  retry: ["Retry failed", "Retrying…"],
  cancel: ["Cancel", "Cancelling…"],
};

/** A pill with the icon and the word of a state. */
export class Pill {
  readonly element: HTMLElement;
  #icon = icon("idle");
  #word = html("span");

  constructor() {
    this.element = html("span", "pill", this.#icon, this.#word);
  }

  update(state: StateView): void {
    setIcon(this.#icon, shapeOf(state), state.family);
    setText(this.#word, stateWords(state));
    set(this.element, { class: `pill of-${state.family}`, title: state.message || null });
  }
}

export class Header {
  readonly element: HTMLElement;
  #store: Store;
  #pill = new Pill();
  #flow = html("span", "flow");
  #name = html("span", "sub");
  #elapsed = html("b");
  #left = html("b");
  #elapsedWord = html("span");
  #elapsedPart = html("span", "sub", this.#elapsedWord, " ", this.#elapsed);
  #leftPart = html("span", "sub", "left ≈ ", this.#left);
  #buttons = new Map<Verb, HTMLButtonElement>();
  #buttonRow = html("span", "buttons");
  #bar = new SegmentBar();
  #counts = new Map<keyof Counts, readonly [item: HTMLElement, number: HTMLElement]>();
  #progress: HTMLElement;
  #note = html("p", "note");
  #answered = html("p", "note");
  #hint = html("p", "note");
  #error = html("p", { class: "note error", role: "alert" });
  #confirming: ReturnType<typeof setTimeout> | null = null;

  /** `only` is called with the kind of task runs that a person wants to see; null for all. */
  constructor(store: Store, only: (word: keyof Counts | null) => void) {
    this.#store = store;
    const legend = html("span", { class: "legend", role: "group", "aria-label": "Show only" });
    for (const word of COUNT_WORDS) {
      const [family, shape] = COUNT_LOOKS[word];
      const number = html("b");
      const press = (): void => only(item.getAttribute("aria-pressed") === "true" ? null : word);
      const item = button({ "data-count": word }, press, icon(shape, family), number, ` ${word}`);
      this.#counts.set(word, [item, number]);
      legend.append(item);
    }
    this.#progress = html("div", "progress-row", this.#bar.element, legend);
    const row = html(
      "div",
      "title-row",
      this.#pill.element,
      this.#flow,
      this.#name,
      this.#elapsedPart,
      this.#leftPart,
      html("span", "space"),
      this.#buttonRow,
    );
    this.element = html("header", {}, row, this.#progress, this.#note, this.#answered, this.#hint, this.#error);
  }

  destroy(): void {
    this.#stopConfirming();
  }

  update(filter: Filter): void {
    const { shown, past, view, connection, error } = this.#store;
    if (!shown) return;
    const { run } = shown;
    this.#pill.update(run.state);
    setText(this.#flow, run.flow);
    setText(this.#name, run.name);
    show(this.#progress, run.total > 0);
    this.#bar.update(run.counts, run.total);
    for (const [word, [item, number]] of this.#counts) {
      setText(number, count(run.counts[word]));
      set(item, { "aria-pressed": String(filter.word === word) });
      // What hides all else must stay to be released, also when the last of its kind has become another.
      show(item, run.counts[word] > 0 || word === "done" || filter.word === word);
    }
    // The room of a note that is not there yet stays, or the slider would move away below the hand that moves it.
    tell(this.#note, run.note || (past && view?.run.note ? "\u00a0" : ""));
    set(this.#note, { class: run.state.family === "bad" || !run.saved ? "note error" : "note" });
    tell(this.#answered, this.#plan?.text ?? run.answered ?? "");
    setText(this.#hint, `${this.#store.words.lost ?? NO_CONNECTION} ${run.number}`);
    show(this.#hint, connection === "lost");
    tell(this.#error, error);
    this.#updateButtons();
    this.tick();
  }

  /** Lets the times go on between two messages. */
  tick(): void {
    const { shown, past } = this.#store;
    if (!shown) return;
    const { run } = shown;
    const going = run.running && !past && this.#store.connection !== "lost" && this.#store.connection !== "saved";
    const since = going ? (performance.now() - this.#store.receivedAt) / 1000 : 0;
    const elapsed = run.elapsed + since;
    setText(this.#elapsed, run.running && elapsed >= 1 ? duration(Math.floor(elapsed)).replace(".0s", "s") : duration(elapsed));
    setText(this.#elapsedWord, run.running ? "elapsed" : "took");
    show(this.#elapsedPart, run.started !== null);
    const left = Math.max(0, (run.left ?? 0) - since);
    setText(this.#left, duration(Math.ceil(left)).replace(".0s", "s"));
    show(this.#leftPart, run.running && run.left !== null && left >= 1);
  }

  #updateButtons(): void {
    const { connection, shown } = this.#store;
    const can: readonly Verb[] = connection === "live" ? (shown?.run.can ?? []) : [];
    if (!can.includes("cancel")) this.#stopConfirming();
    const { activeElement: focused } = this.element.getRootNode() as ShadowRoot;
    for (const verb of Object.keys(LABELS) as Verb[]) {
      const made = this.#buttons.get(verb) ?? (can.includes(verb) ? this.#makeButton(verb) : null);
      if (!made) continue;
      const pending = this.#store.pending.has(verb);
      const asking = verb === "cancel" && this.#confirming !== null;
      const [rest, busy] = this.#store.words[verb] ?? LABELS[verb];
      setText(made.lastElementChild!, pending ? busy : asking ? "Cancel run?" : this.#plan ? `${rest} now` : rest);
      set(made, {
        // Not `disabled`: that would drop the focus of whoever pressed it.
        "aria-disabled": pending,
        class: verb === "resume" || verb === "retry" ? "primary" : asking ? "danger" : null,
      });
      show(made, can.includes(verb));
      made.style.order = String(can.indexOf(verb));
    }
    // The focus goes over to what has come in its place; else it is lost, and the next click is not heard before the
    // notebook has found it again.
    const first = can[0];
    if (focused?.matches(".buttons [hidden]") && first !== "cancel") {
      this.#buttons.get(first!)?.focus({ preventScroll: true });
    }
  }

  #makeButton(verb: Verb): HTMLButtonElement {
    const made = button({ "data-verb": verb }, () => this.#press(verb), icon(verb), html("span"));
    this.#buttons.set(verb, made);
    this.#buttonRow.append(made);
    return made;
  }

  #press(verb: Verb): void {
    if (verb === "cancel" && this.#confirming === null) {
      if (this.#store.pending.has(verb)) return;
      this.#confirming = setTimeout(() => {
        this.#stopConfirming();
        this.#updateButtons();
      }, CONFIRM_FOR);
      this.#updateButtons();
      return;
    }
    this.#stopConfirming();
    if (verb === "cancel" || this.#store.view!.run.running || (this.#plan && !this.#plan.wrong)) this.#store.ask(verb);
    else this.#store.act("plan", 0);
  }

  /** What going on with a run that is at rest would keep and run again: that is said first, the next press does it. */
  get #plan(): Said | null {
    const { said } = this.#store;
    return said?.of === 0 ? said : null;
  }

  #stopConfirming(): void {
    if (this.#confirming !== null) clearTimeout(this.#confirming);
    this.#confirming = null;
  }
}
