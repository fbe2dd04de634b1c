/** The graph: cards and edges as the view gives them, patched in place, with panning, zooming and arrow keys. */

import { Card } from "./card";
import { html, isModified, listen, numberOf, set, show, svg, taken } from "./dom";
import type { Filter } from "./filter";
import { iconButton } from "./icons";
import type { EdgeView, NodeView, View } from "./protocol";

const MIN_HEIGHT = 130;
const MAX_HEIGHT = 420;
const MIN_SCALE = 0.05;
const MAX_SCALE = 2;
/** Below this, the names of the nodes cannot be read; a wide graph starts at its left instead. */
const READABLE = 0.6;
/** Below this, a button on a node that can be hit would cover the node. */
const FAR = 0.5;
/** Below this, its word is left out. */
const SMALL = 0.9;
const DRAG_FROM = 4;
/** The corner that the zoom buttons take, and the margin that a view has of itself. */
const ZOOM = { width: 110, height: 48 };
const MARGIN = 20;
const EMPTY = "No task has run yet. Tasks appear here as the flow calls them.";

interface Line {
  group: SVGGElement;
  edge: EdgeView;
}

export class Graph {
  readonly element: HTMLElement;
  selected: number | null = null;

  #select: (node: number) => void;
  #world = html("div", "world");
  #cards = html("div", { role: "group", "aria-label": "Task graph" });
  #edges = svg("svg", { class: "edges", "aria-hidden": true });
  #empty = html("p", "empty", EMPTY);
  #zoom: HTMLElement;
  #byId = new Map<number, Card>();
  #lines = new Map<string, Line>();
  #shownEdges: readonly EdgeView[] = [];
  #view: View | null = null;
  #width = 0;
  #at = { x: 0, y: 0, scale: 1 };
  #fitted = true;
  #boxes = 0;
  #current: number | null = null;
  #drag: { x: number; y: number; moved: boolean } | null = null;
  #sizes: ResizeObserver | null = null;

  #expand: (node: number) => void;

  /** `select` is called with the node that was chosen, `expand` with the group whose task runs are to be shown. */
  constructor(select: (node: number) => void, expand: (node: number) => void) {
    this.#select = select;
    this.#expand = expand;
    this.#world.append(this.#edges, this.#cards);
    this.#zoom = html(
      "div",
      "zoom",
      iconButton("plus", "Zoom in", () => this.#zoomBy(1.25)),
      iconButton("minus", "Zoom out", () => this.#zoomBy(0.8)),
      iconButton("fit", "Show the whole graph", () => this.#fitAll()),
    );
    this.element = html("div", "graph", this.#world, this.#empty, this.#zoom);
    this.#listen();
    if (typeof ResizeObserver !== "undefined") {
      this.#sizes = new ResizeObserver(() => this.#onResize());
      this.#sizes.observe(this.element);
    }
  }

  destroy(): void {
    this.#sizes?.disconnect();
  }

  update(view: View, filter: Filter): void {
    const grown = view.width !== this.#view?.width || view.height !== this.#view?.height;
    const boxes = view.nodes.filter(({ open }) => open).length;
    this.#view = view;
    for (const node of view.nodes) {
      const card = this.#byId.get(node.id);
      // A second call makes a group of a task.
      if (card?.node.kind === node.kind) card.update(node);
      else this.#add(node, card);
      set(this.#byId.get(node.id)!.element, { "data-faded": !filter.matches(node) });
    }
    if (this.#byId.size > view.nodes.length) this.#drop(new Set(view.nodes.map(({ id }) => id)));
    this.#updateEdges(view.edges);
    show(this.#empty, view.nodes.length === 0);
    show(this.#zoom, view.nodes.length > 0);
    if (this.#current === null && view.nodes[0]) this.#setCurrent(view.nodes[0].id);
    if (grown) {
      set(this.#edges, { width: view.width, height: view.height });
      if (boxes !== this.#boxes || (this.#fitted && this.selected === null)) this.#fitWidth();
      // What was just opened or closed is still before one's eyes.
      const current = boxes === this.#boxes ? undefined : this.#byId.get(this.#current!);
      if (current) this.#bringIntoSight(current.node);
    }
    this.#boxes = boxes;
  }

  /** Marks `node` and its edges, or nothing for null. */
  setSelected(node: number | null): void {
    if (node === this.selected) return;
    this.selected = node;
    for (const [id, card] of this.#byId) set(card.element, { "data-selected": id === node });
    for (const line of this.#lines.values()) this.#mark(line);
    const card = node === null ? undefined : this.#byId.get(node);
    if (card) this.#bringIntoSight(card.node);
  }

  focus(node: number): void {
    this.#byId.get(node)?.element.focus({ preventScroll: true });
  }

  #add(node: NodeView, old: Card | undefined): void {
    const card = new Card(node);
    this.#byId.set(node.id, card);
    this.#cards.append(card.element, ...(card.expand ? [card.expand] : []));
    if (!old) return;
    const focused = old.element.matches(":focus");
    set(card.element, { "data-selected": node.id === this.selected, tabindex: old.element.getAttribute("tabindex") });
    old.element.remove();
    old.expand?.remove();
    if (focused) this.focus(node.id);
  }

  /** Takes away what is not among `kept`: the nodes of a box that was closed.  The focus goes to the box. */
  #drop(kept: Set<number>): void {
    for (const [id, { element, expand, node }] of this.#byId) {
      if (kept.has(id)) continue;
      const focused = element.matches(":focus");
      element.remove();
      expand?.remove();
      this.#byId.delete(id);
      if (id === this.#current) this.#setCurrent(node.parent ?? kept.values().next().value!);
      if (focused && this.#current !== null) this.focus(this.#current);
    }
  }

  #updateEdges(edges: readonly EdgeView[]): void {
    if (edges === this.#shownEdges) return;
    this.#shownEdges = edges;
    const gone = new Set(this.#lines.keys());
    for (const edge of edges) {
      const key = `${edge.source} ${edge.target} ${edge.kind}`;
      gone.delete(key);
      const line = this.#lines.get(key);
      if (line) {
        line.edge = edge;
        this.#drawLine(line);
      } else {
        const added = { group: svg("g", {}, svg("path"), svg("path")), edge };
        this.#lines.set(key, added);
        this.#edges.append(added.group);
        this.#drawLine(added);
      }
    }
    for (const key of gone) {
      this.#lines.get(key)?.group.remove();
      this.#lines.delete(key);
    }
  }

  #drawLine(line: Line): void {
    const [path, arrow] = line.group.children;
    set(path!, { d: line.edge.path, class: "way" });
    set(arrow!, { d: arrowOf(line.edge.path), class: "arrow" });
    this.#mark(line);
  }

  #mark(line: Line): void {
    const { source, target, waiting } = line.edge;
    const selected = this.selected !== null && (source === this.selected || target === this.selected);
    const classes = ["edge", waiting ? "waiting" : "", selected ? "selected" : ""];
    set(line.group, { class: classes.filter(Boolean).join(" "), "data-edge": `${source}-${target}` });
    if (selected) this.#edges.append(line.group);
  }

  // ---- where we look -------------------------------------------------------------------------------------------

  #onResize(): void {
    const width = this.element.clientWidth;
    if (!width || width === this.#width) return;
    this.#width = width;
    const selected = this.selected === null ? undefined : this.#byId.get(this.selected);
    // What was just clicked must not jump away because the inspector takes room beside it.
    if (selected) this.#bringIntoSight(selected.node);
    else if (this.#fitted) this.#fitWidth();
  }

  #fitWidth(): void {
    const view = this.#view;
    const width = this.element.clientWidth || view?.width || 1;
    if (!view?.nodes.length) {
      this.element.style.minHeight = `${MIN_HEIGHT}px`;
      return;
    }
    const wide = Math.min(1, width / view.width);
    const whole = Math.min(wide, MAX_HEIGHT / view.height);
    const scale = Math.max(READABLE, whole >= READABLE ? whole : wide);
    const drawn = view.height * scale;
    // Nodes that would lie under the zoom buttons get room above them.
    const covered = view.nodes.some(
      (node) => node.x * scale < ZOOM.width && (node.y + node.h) * scale > drawn - ZOOM.height,
    );
    const wanted = Math.max(MIN_HEIGHT, drawn + (covered ? ZOOM.height - MARGIN * scale : 0));
    const height = Math.round(Math.min(MAX_HEIGHT, wanted));
    this.element.style.minHeight = `${height}px`;
    const first = view.nodes[0]!;
    const free = height - drawn;
    const y = free < 0 ? Math.max(free, Math.min(0, height / 2 - (first.y + first.h / 2) * scale)) : 0;
    this.#at = { scale, x: 0, y: free > 0 && !covered ? free / 2 : y };
    this.#place();
  }

  #fitAll(): void {
    const view = this.#view;
    if (!view) return;
    const { clientWidth: width, clientHeight: height } = this.element;
    const scale = Math.max(MIN_SCALE, Math.min(1, width / view.width, height / view.height));
    this.#at = { scale, x: (width - view.width * scale) / 2, y: (height - view.height * scale) / 2 };
    this.#fitted = true;
    this.#place();
  }

  #zoomBy(factor: number, x = this.element.clientWidth / 2, y = this.element.clientHeight / 2): void {
    const at = this.#at;
    const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, at.scale * factor));
    const ratio = scale / at.scale;
    this.#at = { scale, x: x - (x - at.x) * ratio, y: y - (y - at.y) * ratio };
    this.#fitted = false;
    this.#place();
  }

  #place(): void {
    const { x, y, scale } = this.#at;
    this.#world.style.transform = `translate(${x}px,${y}px) scale(${scale})`;
    this.#world.style.setProperty("--grown", String(Math.max(1, 1 / scale)));
    set(this.#world, { "data-far": scale < FAR, "data-small": scale < SMALL });
    this.element.style.backgroundPosition = `${x}px ${y}px`;
  }

  #bringIntoSight(node: NodeView): void {
    const { x, y, scale } = this.#at;
    const shift = (from: number, length: number, space: number): number => {
      const start = from - 12;
      const end = from + length + 12;
      return start < 0 ? -start : end > space ? Math.max(space - end, -start) : 0;
    };
    const dx = shift(node.x * scale + x, node.w * scale, this.element.clientWidth);
    const dy = shift(node.y * scale + y, node.h * scale, this.element.clientHeight);
    if (!dx && !dy) return;
    this.#at = { x: x + dx, y: y + dy, scale };
    this.#place();
  }

  // ---- what people do ------------------------------------------------------------------------------------------

  #listen(): void {
    const { element } = this;
    listen(element, "click", (event) => {
      const group = numberOf(event.target, "expand");
      if (group !== null && !this.#drag?.moved) this.#expand(group);
      const node = nodeOf(event.target);
      if (node !== null && !this.#drag?.moved) this.#choose(node);
    });
    listen(element, "keydown", (event) => this.#onKey(event));
    listen(element, "focusin", (event) => {
      const node = nodeOf(event.target);
      if (node !== null) this.#setCurrent(node);
    });
    listen(element, "wheel", (event) => this.#onWheel(event), { passive: false });
    listen(element, "pointerdown", (event) => {
      if (event.button !== 0 || (event.target as Element).closest(".zoom")) return;
      this.#drag = { x: event.clientX, y: event.clientY, moved: false };
    });
    listen(element, "pointermove", (event) => this.#onMove(event));
    for (const end of ["pointerup", "pointercancel"] as const) {
      listen(element, end, () => {
        element.classList.remove("dragging");
        // The click that ends a drag is still to come and must see that it was one.
        setTimeout(() => (this.#drag = null));
      });
    }
  }

  #onMove(event: PointerEvent): void {
    const drag = this.#drag;
    if (!drag) return;
    const dx = event.clientX - drag.x;
    const dy = event.clientY - drag.y;
    if (!drag.moved) {
      if (Math.hypot(dx, dy) < DRAG_FROM) return;
      drag.moved = true;
      this.element.setPointerCapture?.(event.pointerId);
      this.element.classList.add("dragging");
    }
    drag.x = event.clientX;
    drag.y = event.clientY;
    this.#at = { ...this.#at, x: this.#at.x + dx, y: this.#at.y + dy };
    this.#fitted = false;
    this.#place();
  }

  #onWheel(event: WheelEvent): void {
    if (!event.ctrlKey) return;
    taken(event);
    const box = this.element.getBoundingClientRect();
    this.#zoomBy(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }

  #onKey(event: KeyboardEvent): void {
    if (isModified(event)) return;
    const node = nodeOf(event.target);
    const zooms: Record<string, () => void> = {
      "+": () => this.#zoomBy(1.25),
      "=": () => this.#zoomBy(1.25),
      "-": () => this.#zoomBy(0.8),
      "0": () => this.#fitAll(),
    };
    if (zooms[event.key]) zooms[event.key]!();
    else if (node === null) return;
    else if (event.key === "Enter" && this.#openable(node)) this.#expand(node);
    else if (event.key === "Enter" || event.key === " ") this.#choose(node);
    else if (event.key.startsWith("Arrow")) this.#step(node, event.key);
    else return;
    taken(event);
  }

  #openable(node: number): boolean {
    return this.#byId.get(node)?.node.open != null;
  }

  /** The open box that has the focus, or that the focused node is in; null if there is none. */
  get box(): number | null {
    const root = this.element.getRootNode();
    const id = root instanceof ShadowRoot ? nodeOf(root.activeElement) : null;
    const node = id === null ? undefined : this.#byId.get(id)?.node;
    return node ? (node.open ? node.id : node.parent) : null;
  }

  #choose(node: number): void {
    this.#setCurrent(node);
    this.focus(node);
    this.#select(node);
  }

  #step(from: number, key: string): void {
    const node = this.#byId.get(from)?.node;
    const next = node && this.#view && neighbour(this.#view, node, key);
    if (!next) return;
    this.focus(next.id);
    this.#bringIntoSight(next);
    this.#fitted = false;
  }

  /** Of all nodes, one can be reached with Tab, and the button that opens it. */
  #setCurrent(node: number): void {
    if (node === this.#current) return;
    for (const [id, tabindex] of [[this.#current, -1], [node, 0]] as const) {
      const card = id === null ? undefined : this.#byId.get(id);
      for (const element of card ? [card.element, card.expand] : []) if (element) set(element, { tabindex });
    }
    this.#current = node;
  }
}

function nodeOf(target: EventTarget | null): number | null {
  return numberOf(target, "node");
}

function arrowOf(path: string): string {
  const end = /(-?[\d.]+)[ ,](-?[\d.]+)\s*$/.exec(path);
  if (!end) return "";
  const [x, y] = [Number(end[1]), Number(end[2])];
  return `M${x - 6},${y - 3.6}L${x},${y}L${x - 6},${y + 3.6}`;
}

/** Where an arrow key leads: left and right along the edges, up and down within the column; down into an open box. */
export function neighbour(view: View, from: NodeView, key: string): NodeView | null {
  const inside = key === "ArrowDown" && from.open && view.nodes.find((node) => node.parent === from.id);
  const found = inside || beside(view, from, key);
  const box = found ? undefined : view.nodes.find((node) => node.id === from.parent);
  if (!box) return found;
  return key === "ArrowUp" || key === "ArrowLeft" ? box : neighbour(view, { ...box, open: false }, key);
}

function beside(view: View, from: NodeView, key: string): NodeView | null {
  const middle = (node: NodeView): number => node.y + node.h / 2;
  const near = new Set<number>();
  for (const { source, target } of view.edges) {
    if (key === "ArrowRight" && source === from.id) near.add(target);
    if (key === "ArrowLeft" && target === from.id) near.add(source);
  }
  const sideways = key === "ArrowRight" || key === "ArrowLeft";
  const sign = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  const candidates = view.nodes.filter((node) => {
    if (node.id === from.id || node.parent !== from.parent) return false;
    if (near.size) return near.has(node.id);
    if (sideways) return sign * (node.x - from.x) > 0;
    return sign * (middle(node) - middle(from)) > 0 && node.x < from.x + from.w && from.x < node.x + node.w;
  });
  const distance = (node: NodeView): number =>
    Math.abs(middle(node) - middle(from)) + (near.size ? 0 : Math.abs(node.x - from.x));
  return candidates.reduce<NodeView | null>(
    (best, node) => (!best || distance(node) < distance(best) ? node : best),
    null,
  );
}
