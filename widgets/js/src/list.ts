/** The task runs as a table that is read and walked through row by row; what the graph shows, for whoever cannot see it. */

import { arrange, html, isModified, listen, set, setText, show, taken } from "./dom";
import type { Filter } from "./filter";
import { PAGE } from "./protocol";
import type { MemberPage, MemberRow, NodeView, Sort, View } from "./protocol";
import { PageRow, Row } from "./row";
import type { Look } from "./row";
import type { Select, Selection } from "./selection";
import type { Store } from "./store";
import { count, timesOf } from "./text";

const COLUMNS = ["Task", "State", "Runs", "About"];

/** What a row stands for: a node, one of its task runs, or the turning of their pages. */
interface Item {
  key: string;
  node: NodeView;
  member: MemberRow | null;
  turns: boolean;
}

export class List {
  readonly element: HTMLElement;
  #store: Store;
  #select: Select;
  #table: HTMLTableElement;
  #body = html("tbody");
  #empty = html("p", "hint");
  #rows = new Map<string, Row | PageRow>();
  #items: Item[] = [];
  #current = "";
  /** The nodes whose task runs are shown, each with the place of the first of them. */
  #open = new Map<number, number>();
  /** The place that is to get the focus as soon as it is there. */
  #awaited: { node: number; place: number } | null = null;
  #sort: Sort = "place";
  #chosen = "";
  #depths = new Map<number, number>();
  #followed: number | null = null;
  #openBox: (node: number) => void;
  #draw = (): void => {};

  /** `open` opens or closes a subflow. */
  constructor(store: Store, select: Select, open: (node: number) => void, label = "Task runs") {
    this.#store = store;
    this.#openBox = open;
    this.#select = select;
    const head = html("tr", {}, ...COLUMNS.map((name) => html("th", { scope: "col" }, name)));
    this.#table = html("table", { role: "treegrid", "aria-label": label, tabindex: -1 }, html("thead", {}, head), this.#body);
    this.element = html("div", "rows", this.#table, this.#empty);
    listen(this.#body, "click", (event) => this.#onClick(event));
    listen(this.#body, "keydown", (event) => this.#onKey(event));
    listen(this.#body, "focusin", (event) => this.#setCurrent(keyOf(event.target) ?? this.#current));
  }

  /** Shows the nodes that fit the filter, or nothing but the task runs of the node `within`. */
  update(view: View, filter: Filter, selected: Selection | null, within: number | null = null): void {
    this.#draw = () => this.update(view, filter, selected, within);
    if (within !== null && !this.#open.has(within)) this.#open.set(within, 0);
    this.#follow(filter, selected);
    const nodes = view.nodes.filter((node) => (within === null ? filter.matches(node) : node.id === within));
    this.#depths = new Map();
    for (const { id, parent } of view.nodes) this.#depths.set(id, 1 + (this.#depths.get(parent!) ?? 0));
    const items = nodes.flatMap((node) => this.#itemsOf(node, filter, within !== null));
    this.#arrange(items);
    for (const item of items) this.#drawItem(item, filter, selected);
    set(this.#table, { "aria-rowcount": items.length + 1 });
    show(this.#table, items.length > 0);
    show(this.#empty, items.length === 0);
    setText(this.#empty, filter.on ? filter.nothing : "No task has run yet.");
    const chosen = selected ? keyFor(selected) : "";
    if (chosen !== this.#chosen && this.#rows.has(chosen)) this.#setCurrent((this.#chosen = chosen));
    if (!this.#rows.has(this.#current)) this.#setCurrent(items[0]?.key ?? "");
    this.#focusAwaited();
  }

  focus(selection: Selection): void {
    (this.#rows.get(keyFor(selection)) ?? this.#rows.get(`${selection.node}`))?.element.focus();
  }

  /** Turns to the page with a place of a node's task runs, in the order of the calls. */
  goTo(node: number, place: number): void {
    this.#sort = "place";
    this.#turnTo(node, place);
  }

  #turnTo(node: number, place: number): void {
    this.#open.set(node, place - (place % PAGE));
    this.#awaited = { node, place };
    this.#draw();
  }

  #itemsOf(node: NodeView, filter: Filter, alone: boolean): Item[] {
    const head = alone ? [] : [{ key: `${node.id}`, node, member: null, turns: false }];
    const first = this.#open.get(node.id);
    if (first === undefined || node.kind !== "group") return head;
    const pageFrom = (at: number): MemberPage | undefined => this.#store.page(node.id, at, filter.word ?? "", this.#sort);
    let page = pageFrom(first);
    if (page && first && first >= page.total) {
      const last = Math.max(0, page.total - 1);
      this.#open.set(node.id, last - (last % PAGE));
      page = pageFrom(last - (last % PAGE));
    }
    const members = page?.rows ?? [];
    return [
      ...head,
      ...members.map((member) => ({ key: `${node.id}/${member.number}`, node, member, turns: false })),
      { key: `${node.id}/turns`, node, member: null, turns: true },
    ];
  }

  #drawItem(item: Item, filter: Filter, selected: Selection | null): void {
    const row = this.#rows.get(item.key)!;
    const { node, member } = item;
    const level = this.#depths.get(node.id)!;
    if (row instanceof PageRow) {
      const first = this.#open.get(node.id) ?? 0;
      const total = this.#store.page(node.id, first, filter.word ?? "", this.#sort)?.total ?? null;
      set(row.element, { "aria-level": level + 1 });
      row.update(first, total, filter.word === null && this.#sort === "place", this.#sort);
      return;
    }
    const chosen = selected?.node === node.id && selected.member === (member?.number ?? null);
    row.update(member ? memberLook(member, chosen, level + 1) : nodeLook(node, chosen, level, this.#isOpen(node)));
  }

  /** Opens the page with the task run that was selected elsewhere. */
  #follow(filter: Filter, selected: Selection | null): void {
    const number = selected?.member ?? null;
    if (number === null) this.#followed = null;
    const member = number === null ? undefined : this.#store.members.get(number);
    if (!member || number === this.#followed) return;
    this.#followed = number;
    if (this.#rows.has(`${member.node}/${number}`)) return;
    const place = filter.word === null ? member.place : filter.word === "failed" ? member.steps.at - 1 : -1;
    if (place < 0 || this.#sort !== "place") return;
    this.#open.set(member.node, place - (place % PAGE));
    if (this.#focused) this.#awaited = { node: member.node, place };
  }

  /** Makes, keeps, orders and removes rows, so that those of `items` are there. */
  #arrange(items: Item[]): void {
    const gone = new Set(this.#rows.keys());
    const had = this.#current;
    const focused = this.#focused;
    const elements = items.map(({ key, node, turns }) => {
      gone.delete(key);
      let row = this.#rows.get(key);
      if (!row) {
        row = turns ? this.#turns(key, node.id) : new Row(key);
        this.#rows.set(key, row);
      }
      return row.element;
    });
    arrange(this.#body, elements);
    for (const key of gone) {
      this.#rows.get(key)!.element.remove();
      this.#rows.delete(key);
    }
    this.#items = items;
    if (!focused) return;
    // The focus does not get lost with a row: whoever walks through a changing list goes on in it.
    const next = this.#rows.get(had) ?? (this.#awaited ? null : this.#rows.get(had.split("/")[0]!));
    (next?.element ?? this.#table).focus();
  }

  #turns(key: string, node: number): PageRow {
    const sort = (by: Sort): void => {
      this.#sort = by;
      this.#open.set(node, 0);
      this.#draw();
    };
    return new PageRow(key, (to) => this.#turnTo(node, to), sort);
  }

  /** True if the focus is on a row, or on the table while its row is awaited. */
  get #focused(): boolean {
    const root = this.#body.getRootNode();
    const active = root instanceof ShadowRoot ? root.activeElement : null;
    return active !== null && (active === this.#table || active === this.#rows.get(this.#current)?.element);
  }

  #focusAwaited(): void {
    const awaited = this.#awaited;
    const first = awaited && this.#open.get(awaited.node);
    if (!awaited || first === null || first === undefined) return;
    const members = this.#items.filter(({ node, member }) => node.id === awaited.node && member);
    const item = members[awaited.place - first] ?? members.at(-1);
    if (!item) return;
    this.#awaited = null;
    this.#go(item.key);
  }

  #onClick(event: MouseEvent): void {
    const item = this.#itemOf(event.target);
    if (!item || item.turns) return;
    this.#go(item.key);
    if (event.target instanceof Element && event.target.closest("[data-twist]") && !item.member) this.#toggle(item);
    else this.#choose(item);
  }

  #onKey(event: KeyboardEvent): void {
    const item = this.#itemOf(event.target);
    if (!item || item.turns || isModified(event)) return;
    const rows = this.#items.filter(({ turns }) => !turns);
    const at = rows.indexOf(item);
    const { node, member } = item;
    const open = this.#isOpen(node);
    const up = member ? node.id : node.parent;
    const actions: Record<string, () => void> = {
      ArrowDown: () => this.#go(rows[at + 1]?.key ?? item.key),
      ArrowUp: () => this.#go(rows[at - 1]?.key ?? item.key),
      Home: () => this.#go(rows[0]!.key),
      End: () => this.#go(rows.at(-1)!.key),
      ArrowRight: () => (open === false && !member ? this.#toggle(item) : this.#go(rows[at + 1]?.key ?? item.key)),
      ArrowLeft: () => (open && !member ? this.#toggle(item) : this.#go(`${up ?? node.id}`)),
      PageDown: () => this.#turn(item, 1),
      PageUp: () => this.#turn(item, -1),
      Enter: () => this.#choose(item),
      " ": () => this.#choose(item),
    };
    const action = actions[event.key];
    if (!action) return;
    action();
    taken(event);
  }

  #turn({ node }: Item, step: number): void {
    const first = this.#open.get(node.id);
    const place = (first ?? 0) + step * PAGE;
    if (first !== undefined && place >= 0 && place < node.total) this.#turnTo(node.id, place);
  }

  #toggle({ node }: Item): void {
    if (node.kind !== "group") {
      if (node.open !== null) this.#openBox(node.id);
      return;
    }
    if (!this.#open.delete(node.id)) this.#open.set(node.id, 0);
    this.#draw();
  }

  /** Null where there is nothing to open. */
  #isOpen(node: NodeView): boolean | null {
    return node.kind === "group" ? this.#open.has(node.id) : node.open;
  }

  #choose({ node, member }: Item): void {
    this.#select({ node: node.id, member: member?.number ?? null });
  }

  #itemOf(target: EventTarget | null): Item | undefined {
    const key = keyOf(target);
    return this.#items.find((item) => item.key === key);
  }

  #go(key: string): void {
    this.#rows.get(key)?.element.focus();
  }

  /** Of all rows, one can be reached with Tab. */
  #setCurrent(key: string): void {
    if (!(this.#rows.get(key) instanceof Row)) return;
    for (const [each, row] of this.#rows) {
      if (row instanceof Row) set(row.element, { tabindex: each === key ? 0 : -1 });
    }
    this.#current = key;
  }
}

function keyFor({ node, member }: Selection): string {
  return member === null ? `${node}` : `${node}/${member}`;
}

function keyOf(target: EventTarget | null): string | null {
  return (target instanceof Element && target.closest<HTMLElement>("[data-row]")?.dataset.row) || null;
}

function nodeLook(node: NodeView, selected: boolean, level: number, open: boolean | null): Look {
  const { name, state, line, alert, total, kind } = node;
  const times = kind === "flow" ? "subflow" : timesOf(node);
  return { name, times, state, runs: count(total), line, alert, selected, level, member: false, open };
}

function memberLook(member: MemberRow, selected: boolean, level: number): Look {
  const { label, state, line } = member;
  return { name: label, times: "", state, runs: "", line, alert: "", selected, level, member: true, open: null };
}
