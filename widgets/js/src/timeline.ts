/** When the task runs ran: a lane for each node, with a bar for each run, or a profile of how many ran at once. */

import { arrange, html, isModified, listen, numberOf, set, setText, show, svg, taken, tell } from "./dom";
import type { Filter } from "./filter";
import { COUNT_LOOKS, icon, setIcon, shapeOf } from "./icons";
import type { Lane, NodeView, View } from "./protocol";
import type { Select, Selection } from "./selection";
import type { Store } from "./store";
import { LETTERS } from "./strip";
import { duration, nodeLabel, timesOf } from "./text";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400];
const TICKS = 6;

/** The moments to write on an axis of that length: few, and round ones. */
export function ticks(seconds: number): number[] {
  let unit = 1;
  while (seconds < TICKS * unit && seconds < TICKS) unit /= 10;
  const last = STEPS.at(-1)!;
  const fits = (step: number): boolean => seconds / step <= TICKS;
  const step = STEPS.map((each) => each * unit).find(fits) ?? Math.ceil(seconds / TICKS / last) * last;
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, i) => i * step);
}

export class Timeline {
  readonly element: HTMLElement;
  #store: Store;
  #select: Select;
  #axis = html("div", { class: "axis", "aria-hidden": true });
  #lanes = html("div", { class: "lanes", role: "group", "aria-label": "Timeline" });
  #hint = html("p", "hint");
  #byId = new Map<number, LaneRow>();
  #now = html("i", { class: "now", "aria-hidden": true });
  #drawn = "";
  #current: number | null = null;
  #strip: boolean;

  /** A `strip` is what is seen below the graph: its nodes are reached there, and its lanes by the pointer alone. */
  constructor(store: Store, select: Select, strip = false) {
    this.#store = store;
    this.#select = select;
    this.element = html("div", { class: "timeline", "aria-hidden": strip }, this.#axis, this.#lanes, this.#hint);
    this.#strip = strip;
    this.#lanes.append(this.#now);
    listen(this.#lanes, "click", (event) => {
      const node = nodeOf(event.target);
      if (node === null) return;
      if (!strip) this.focus(node);
      this.#select({ node, member: null });
    });
    listen(this.#lanes, "keydown", (event) => this.#onKey(event));
    listen(this.#lanes, "focusin", (event) => this.#setCurrent(nodeOf(event.target)));
  }

  update(view: View, filter: Filter, selected: Selection | null): void {
    this.#store.fetchTimeline();
    const { timeline, reachable } = this.#store;
    const lanes = new Map(timeline?.lanes.map((lane) => [lane.node, lane]));
    const seconds = timeline?.seconds ?? 1;
    const length = Math.max(seconds, timeline?.likely ?? 0);
    let shown = 0;
    const rows = new Map(view.nodes.map(({ id }) => [id, this.#byId.get(id) ?? new LaneRow(id)]));
    // Boxes open and close, and their nodes stand below them.
    for (const [id, { element }] of this.#byId) if (!rows.has(id)) element.remove();
    arrange(this.#lanes, [...rows.values()].map(({ element }) => element));
    this.#byId = rows;
    for (const node of view.nodes) {
      const row = rows.get(node.id)!;
      const fits = filter.matches(node);
      shown += Number(fits);
      show(row.element, fits);
      row.update(node, lanes.get(node.id), seconds, length, node.id === selected?.node);
    }
    const drawn = `${seconds} ${length}`;
    if (timeline && drawn !== this.#drawn) this.#drawAxis(seconds, length);
    this.#drawn = drawn;
    const { past } = this.#store;
    show(this.#now, past !== null || length > seconds);
    set(this.#now, { "data-past": past !== null });
    this.#now.style.setProperty("--at", `${(past?.at ?? seconds) / length}`);
    const nothing = filter.on ? filter.nothing : "No task has run yet.";
    tell(this.#hint, !timeline && !reachable ? "The timeline needs a connection to the kernel." : shown ? "" : nothing);
    if (this.#strip) return;
    if (this.#current === null || this.#byId.get(this.#current)?.element.hidden) {
      this.#setCurrent(view.nodes.find((node) => filter.matches(node))?.id ?? null);
    }
  }

  focus(node: number): void {
    this.#byId.get(node)?.element.focus();
  }

  #drawAxis(seconds: number, length: number): void {
    const open = length > seconds;
    // What a word says takes the place of the numbers beside it; two words stand where there is room for both.
    const words: [number, string][] = open ? [[length, "likely end"]] : [];
    if (open && seconds < 0.7 * length) words.push([seconds, "now"]);
    const free = (at: number): boolean => !open || (at <= 0.75 * length && Math.abs(at - seconds) > 0.12 * length);
    const told = (at: number): string => (at ? duration(at).replace(/\.0s$/, "s").replace(/ 00[sm]$/, "") : "0s");
    const numbers = ticks(length).filter(free).map((at): [number, string] => [at, told(at)]);
    const marks = [...numbers, ...words].map(([at, text], place) => {
      // What stands is moved: whoever looked at it would see it vanish with each second.
      const mark = (this.#axis.children[place] ?? html("span")) as HTMLElement;
      // The last one stands before its line, where there is room.
      set(mark, { class: at > 0.85 * length && "late" });
      setText(mark, text);
      mark.style.left = `${(100 * at) / length}%`;
      return mark;
    });
    arrange(this.#axis, marks);
    while (this.#axis.children.length > marks.length) this.#axis.lastChild!.remove();
  }

  #onKey(event: KeyboardEvent): void {
    const node = nodeOf(event.target);
    if (node === null || isModified(event)) return;
    const order = [...this.#byId].filter(([, row]) => !row.element.hidden).map(([id]) => id);
    const at = order.indexOf(node);
    const places: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: order.length - 1 };
    if (event.key in places) this.focus(order[places[event.key]!] ?? node);
    else if (event.key === "Enter" || event.key === " ") this.#select({ node, member: null });
    else return;
    taken(event);
  }

  #setCurrent(node: number | null): void {
    for (const [id, row] of this.#byId) set(row.element, { tabindex: id === node ? 0 : -1 });
    this.#current = node;
  }
}

class LaneRow {
  readonly element: HTMLElement;
  #spoken = html("span", "spoken");
  #icon = icon("idle");
  #name = html("span", "name");
  #times = html("span", "times");
  #track = html("div", { class: "track", "aria-hidden": true });
  #drawn = "";

  constructor(node: number) {
    const label = html("div", { class: "label", "aria-hidden": true }, this.#icon, this.#name, this.#times);
    this.element = html(
      "div",
      { class: "lane", role: "button", tabindex: -1, "data-lane": node },
      this.#spoken,
      label,
      this.#track,
    );
  }

  update(node: NodeView, lane: Lane | undefined, seconds: number, length: number, selected: boolean): void {
    set(this.element, { "data-selected": selected, title: node.name });
    setText(this.#spoken, nodeLabel(node));
    setIcon(this.#icon, shapeOf(node.state), node.state.family);
    setText(this.#name, node.name);
    setText(this.#times, timesOf(node));
    const key = JSON.stringify([lane, seconds, length, node.state.family]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.#track.replaceChildren(...(lane ? marksOf(lane, seconds, length, node) : []));
  }
}

function marksOf(lane: Lane, seconds: number, length: number, node: NodeView): Element[] {
  if (!lane.heights.length) {
    return lane.bars.map(({ letter, start, end }) => {
      const bar = html("i", `run of-${COUNT_LOOKS[LETTERS[letter] ?? "waiting"][0]}`);
      bar.style.left = `${(100 * start) / length}%`;
      bar.style.width = `${(100 * (end - start)) / length}%`;
      return bar;
    });
  }
  const most = Math.max(1, ...lane.heights);
  // One that runs alone is seen beside thousands.
  const steps = lane.heights.map((height, i) => `V${round(height ? 0.9 - (0.85 * height) / most : 1)}H${i + 1}`);
  const family = node.counts.running ? "active" : node.counts.done ? "done" : "bad";
  const profile = svg(
    "svg",
    { class: `profile of-${family}`, viewBox: `0 0 ${lane.heights.length} 1`, preserveAspectRatio: "none" },
    svg("path", { d: `M0,1${steps.join("")}V1z` }),
  );
  profile.style.width = `${(100 * seconds) / length}%`;
  const pins = lane.failed.map((at) => {
    const pin = html("i", "pin");
    pin.style.left = `${(100 * at) / length}%`;
    return pin;
  });
  return [profile, ...pins];
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function nodeOf(target: EventTarget | null): number | null {
  return numberOf(target, "lane");
}
