/** One display of a run: the panel in its shadow root.  A store may have several. */

import { Artifacts } from "./artifacts";
import { coverPicture } from "./cover";
import { button, html, isModified, listen, set, setText, show, taken } from "./dom";
import { Expanded } from "./expanded";
import { Filter } from "./filter";
import { QuestionForm } from "./form";
import { Graph } from "./graph";
import { Header } from "./header";
import { turnRings } from "./icons";
import { Inspector } from "./inspector";
import { keyTable } from "./keys";
import { List } from "./list";
import { Playback } from "./playback";
import type { RunView, View } from "./protocol";
import type { Selection } from "./selection";
import type { Connection, Store } from "./store";
import styles from "./style.css";
import { count, plural } from "./text";
import { watchTheme } from "./theme";
import { Timeline } from "./timeline";
import { MODES, Toolbar } from "./toolbar";
import type { Mode } from "./toolbar";

const TICK = 1000;
const TURN = 160;
const STATUS: Record<Connection, readonly [text: string, dot: string]> = {
  connecting: ["Connecting…", "gone"],
  live: ["Live", "done"],
  saved: ["Saved view", "gone"],
  lost: ["Not connected", "attention"],
};

let displays = 0;

export class RunGraph {
  #store: Store;
  #panel: HTMLElement;
  #header: Header;
  #form: QuestionForm;
  #toolbar: Toolbar;
  #graph: Graph;
  #timeline: Timeline;
  #list: List;
  #playback: Playback;
  #strip: Timeline;
  #below = html("details", "below", html("summary", {}, "Timeline"));
  /** Whether somebody has opened or closed the timeline below the graph. */
  #wanted: boolean | null = null;
  #pages: Record<Mode, HTMLElement>;
  #expanded: Expanded;
  #inspector: Inspector;
  #artifacts: Artifacts;
  #mode: Mode = "graph";
  #filter = new Filter();
  #dot = html("i", "dot");
  #status = html("span");
  #size = html("span");
  #failed = button({ class: "link" }, () => this.#nextFailed(), "Next failed", html("kbd", { "aria-hidden": true }, "F"));
  #leave = button({ class: "link" }, () => this.#playback.leave(), "Back to its end");
  #keys = keyTable();
  #help = button({ class: "link" }, () => this.#toggleKeys(), "Keys", html("kbd", { "aria-hidden": true }, "?"));
  #announcer = html("div", { class: "announcer", "aria-live": "polite" });
  #announced = "";
  #frame = 0;
  #covered: string | null = null;
  #cleanups: (() => void)[] = [];

  constructor(store: Store, element: HTMLElement) {
    this.#store = store;
    const prefix = `view-${++displays}`;
    const select = (selection: Selection | null): void => this.#select(selection);
    const expand = (node: number | null): void => this.#expand(node);
    const open = (node: number): void => this.#open(node);
    this.#header = new Header(store, (word) => {
      this.#filter.word = word;
      this.#draw();
    });
    this.#form = new QuestionForm(store);
    this.#toolbar = new Toolbar(prefix, (mode) => this.#turnTo(mode), (text) => this.#find(text), () => this.#goToFound());
    this.#graph = new Graph((node) => select({ node, member: null }), open);
    this.#timeline = new Timeline(store, select);
    this.#strip = new Timeline(store, select, true);
    this.#below.append(this.#strip.element);
    listen(this.#below.firstElementChild!, "click", () => (this.#wanted = !this.#below.open));
    listen(this.#below, "toggle", () => this.#draw());
    this.#list = new List(store, select, open);
    this.#playback = new Playback(store);
    this.#inspector = new Inspector(store, prefix, select, expand);
    this.#expanded = new Expanded(store, select, () => expand(null));
    this.#artifacts = new Artifacts(store);
    const page = (mode: Mode, ...content: Element[]): HTMLElement => {
      const names = { id: `${prefix}-${mode}`, "aria-labelledby": `${prefix}-${mode}-tab` };
      return html("div", { class: "page", role: "tabpanel", ...names }, ...content);
    };
    this.#pages = {
      graph: page("graph", this.#graph.element, this.#expanded.element),
      timeline: page("timeline", this.#timeline.element),
      list: page("list", this.#list.element),
    };
    const status = html("span", "status", this.#dot, this.#status);
    this.#panel = html(
      "section",
      // May be given the focus, so that it is not lost with a form that goes away.
      { class: "panel", tabindex: -1 },
      this.#header.element,
      this.#form.element,
      this.#toolbar.element,
      html("div", "body", ...Object.values(this.#pages), this.#inspector.element),
      this.#playback.element,
      this.#below,
      this.#artifacts.element,
      this.#keys,
      html("footer", {}, status, this.#leave, this.#size, html("span", "space"), this.#failed, this.#help),
      this.#announcer,
    );
    listen(this.#panel, "keydown", (event) => this.#onKey(event));

    set(element, { "data-lm-suppress-shortcuts": "true" });
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    root.replaceChildren(html("style", {}, styles), html("div", "frame", this.#panel));
    const ticker = setInterval(() => this.#header.tick(), TICK);
    const turner = setInterval(() => store.shown?.run.running && turnRings(root), TURN);
    this.#cleanups.push(
      () => clearInterval(ticker),
      () => clearInterval(turner),
      store.subscribe(() => this.#schedule()),
      watchTheme(element, (dark) => set(this.#panel, { "data-theme": dark ? "dark" : "light" })),
      () => root.replaceChildren(),
    );
    this.#element = element;
    this.#draw();
  }

  #element: HTMLElement;

  destroy(): void {
    cancelAnimationFrame(this.#frame);
    this.#header.destroy();
    this.#graph.destroy();
    this.#playback.destroy();
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
  }

  #schedule(): void {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw(): void {
    const { view, shown, past, connection, reachable } = this.#store;
    set(this.#panel, { "data-away": !reachable });
    show(this.#panel, view !== null);
    if (!view || !shown) return;
    const { run } = view;
    set(this.#panel, { "aria-label": `Flow run ${run.name}`, "data-state": shown.run.state.type });
    this.#header.update(this.#filter);
    this.#form.update();
    this.#drawPage(shown);
    this.#drawTimes(view);
    this.#inspector.update();
    this.#artifacts.update();
    const [text, dot] = STATUS[connection];
    const { since } = this.#store;
    const lost = connection === "lost" && since !== null;
    setText(this.#status, past ? "As it was" : lost ? `${text} since ${new Date(since).toTimeString().slice(0, 5)}` : text);
    set(this.#dot, { class: `dot of-${past ? "active" : dot}` });
    show(this.#leave, past !== null);
    setText(this.#size, run.total ? sizeText(run, view.nodes.length) : "");
    show(this.#failed, run.counts.failed > 0 && this.#store.reachable);
    const { question } = run;
    const asks = question ? `, ${[question.asker, `asks for ${question.title}`].filter(Boolean).join(" ")}` : "";
    this.#announce(`${run.flow} ${run.name}: ${run.state.name}${asks}`);
    if (this.#covered !== run.id) {
      this.#covered = run.id;
      this.#cleanups.push(coverPicture(this.#element, run.id));
    }
  }

  /** The moment that is looked at, and below the graph when all ran; while the run goes on only for who opens that. */
  #drawTimes(view: View): void {
    const { reachable } = this.#store;
    this.#playback.update();
    show(this.#below, reachable && this.#mode === "graph" && view.nodes.length > 0);
    this.#below.open = this.#wanted ?? !view.run.running;
    if (!this.#below.hidden && this.#below.open) this.#strip.update(view, this.#filter, this.#inspector.selected);
    else if (!this.#playback.element.hidden) this.#store.fetchTimeline();
  }

  /** Draws the view that is shown; the others wait until somebody turns to them. */
  #drawPage(view: View): void {
    this.#toolbar.update(this.#mode);
    for (const mode of MODES) show(this.#pages[mode], mode === this.#mode);
    const { selected } = this.#inspector;
    if (this.#mode === "graph") {
      this.#graph.update(view, this.#filter);
      this.#expanded.update(view, this.#filter, selected);
    } else if (this.#mode === "timeline") this.#timeline.update(this.#store.view!, this.#filter, selected);
    else this.#list.update(view, this.#filter, selected);
  }

  #turnTo(mode: Mode): void {
    this.#mode = mode;
    this.#draw();
  }

  /** Speaks changes of the state, but not the first one seen. */
  #announce(text: string): void {
    if (this.#announced && this.#announced !== text) setText(this.#announcer, text);
    this.#announced = text;
  }

  #find(text: string): void {
    this.#filter.text = text;
    this.#draw();
  }

  /** Selects the first node that fits the words, or goes to the task run that they name. */
  #goToFound(): void {
    const node = this.#store.view?.nodes.find((each) => this.#filter.matches(each));
    if (!node) return;
    const { place } = this.#filter;
    if (place === null) {
      this.#select({ node: node.id, member: null });
      return;
    }
    this.#turnTo("list");
    this.#list.goTo(node.id, place);
  }

  /** Selects in all views and opens the inspector, or closes that for null. */
  #select(selection: Selection | null): void {
    const before = this.#inspector.selected;
    this.#graph.setSelected(selection?.node ?? null);
    this.#inspector.open(selection);
    set(this.#panel, { "data-inspecting": selection !== null });
    this.#draw();
    if (selection === null && before !== null) this.#giveBack(before);
  }

  /** Opens a subflow, or closes it; shows the task runs of a group. */
  #open(id: number): void {
    const node = this.#store.nodes.get(id);
    if (node?.kind === "flow") this.#store.open(id, !node.open);
    else this.#expand(id);
  }

  /** Shows the task runs of a group over the graph, or the graph again for null. */
  #expand(node: number | null): void {
    const before = this.#expanded.node;
    if (node !== null) this.#mode = "graph";
    this.#expanded.open(node);
    set(this.#panel, { "data-expanded": node !== null });
    this.#draw();
    if (node !== null) this.#expanded.enter();
    else if (before !== null) this.#graph.focus(before);
  }

  /** The focus goes back to where the inspector was opened. */
  #giveBack(selection: Selection): void {
    if (this.#mode === "list") this.#list.focus(selection);
    else if (this.#mode === "timeline") this.#timeline.focus(selection.node);
    else if (this.#expanded.node !== null) this.#expanded.focus(selection);
    else this.#graph.focus(selection.node);
  }

  /** Selects the failed task run after the selected one; after the last comes the first. */
  #nextFailed(): void {
    this.#store.findFailed(this.#inspector.number ?? 0, (member) => {
      const single = this.#store.nodes.get(member.node)?.total === 1;
      this.#select({ node: member.node, member: single ? null : member.number });
      setText(this.#announcer, `${member.label}: ${member.error}`);
    });
  }

  #toggleKeys(): void {
    const shown = !!this.#keys.hidden;
    show(this.#keys, shown);
    set(this.#help, { "aria-expanded": String(shown) });
  }

  #onKey(event: KeyboardEvent): void {
    const { target, key } = event;
    const typing = target instanceof Element && target.matches("input, textarea, select");
    if (isModified(event)) return;
    const mode = MODES.find((each) => each[0] === key.toLowerCase());
    if (key === "Escape" && this.#inspector.selected) this.#select(null);
    else if (key === "Escape" && this.#expanded.node !== null) this.#expand(null);
    else if (key === "Escape" && this.#store.past) this.#playback.leave();
    else if (key === "Escape" && !this.#keys.hidden) this.#toggleKeys();
    else if (key === "Escape" && this.#graph.box !== null) this.#open(this.#graph.box);
    else if (typing) return;
    else if (key === "?") this.#toggleKeys();
    else if (mode) this.#turnTo(mode);
    else if (key === "/") this.#toolbar.search();
    else if (key.toLowerCase() === "f" && !this.#failed.hidden) this.#nextFailed();
    else return;
    taken(event);
  }
}

/** How large the run is, and how durable what is shown of it. */
function sizeText(run: RunView, nodes: number): string {
  const size = `${plural(run.total, "task run")} · ${count(nodes)} shown as nodes`;
  return run.durability ? `${size} · durability: ${run.durability}` : size;
}
