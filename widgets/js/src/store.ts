/** What the page knows of one run, and how it stands with the kernel.  One store per model; no DOM in here. */

import type { Model } from "./model";
import type {
  Action,
  ArtifactView,
  Delta,
  Detail,
  FromKernel,
  Input,
  Member,
  MemberPage,
  NodeView,
  Sort,
  Timeline,
  ToKernel,
  Verb,
  View,
} from "./protocol";

/** `connecting`: no answer yet; `saved`: there is nobody to answer and nothing runs; `lost`: there should be. */
export type Connection = "connecting" | "live" | "saved" | "lost";

/** What is said in other words where there is no notebook. */
export type Words = { lost?: string; unanswered?: string } & { [V in Verb]?: readonly [rest: string, pending: string] };

/** A moment that is looked back at. */
export interface Past {
  at: number;
  view: View;
}

/** Why an answer was not taken. */
export interface Refusal {
  error: string;
  fields: Record<string, string>;
}

/** What an action of the inspector has given: on which task run, or on which node's dial, and in words. */
export interface Said {
  verb: Action;
  of: number;
  text: string;
  wrong: boolean;
}

const HELLO_AT = [0, 300, 1000, 2000, 4000];
const HELLO_LIMIT = 6000;
const QUIET_LIMIT = 15_000;
const RESYNC_LIMIT = 3000;
const ACK_LIMIT = 15_000;
/**
 * What is not answered by then is sent again, under the same id, which the kernel carries out once.  JupyterLab makes a
 * subshell for us some moments after the first message; until it has, messages queue behind whatever the cell is doing.
 */
const AGAIN = 1000;
const GET_EVERY = 1000;
/** What is kept of members; somebody who walks through ten thousand does not want them all back. */
const KEPT_PAGES = 40;
const KEPT_MEMBERS = 100;

type Distributed<T> = T extends unknown ? Omit<T, "kind" | "id"> : never;
/** What may be asked for. */
type Question = Distributed<Extract<ToKernel, { kind: "get" }>>;
/** What may be told to be done. */
type Order = Distributed<Extract<ToKernel, { kind: "do" }>>;
type Asked = Verb | Action | "answer";

export class Store {
  view: View | null = null;
  nodes = new Map<number, NodeView>();
  connection: Connection = "connecting";
  /** When the connection was lost, in milliseconds since the epoch; null for a page that never had one. */
  since: number | null = null;
  /** What was asked for and not yet answered: verbs, and the answer to a question. */
  pending = new Set<Asked>();
  /** Why the last verb did not work, or empty. */
  error = "";
  /** What the last action gave. */
  said: Said | null = null;
  /** Why the last answer to a question was not taken; null while there is nothing to say. */
  refusal: Refusal | null = null;
  details = new Map<number, Detail>();
  timeline: Timeline | null = null;
  /** How a run at rest was so many seconds after its timeline begins; null while it is shown as it is. */
  past: Past | null = null;
  /** The moment that somebody wants to see; null for none. */
  wanted: number | null = null;
  /** The task runs that the kernel has told of, by number. */
  members = new Map<number, Member>();
  /** The artifacts that the kernel has sent, by id. */
  artifacts = new Map<number, ArtifactView>();
  /** True once the kernel has said anything since the page connected to it. */
  heard = false;
  /** When `view.run` arrived, on the clock of `performance.now()`. */
  receivedAt = 0;

  #model: Model;
  #listeners = new Set<() => void>();
  #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #asked = new Map<string, readonly [what: Asked, of: number]>();
  #resyncing = false;
  #counter = 0;
  #prefix = Math.random().toString(36).slice(2, 8);
  #pages = new Map<string, MemberPage>();
  #finding: { id: string; found: (member: Member) => void } | null = null;
  #looking: { id: string; at: number } | null = null;
  #artifactsVersion = 0;
  #artifactsAsked = -Infinity;
  #lastGet = new Map<string, { at: number; mark: unknown }>();

  constructor(model: Model) {
    this.#model = model;
    this.#takeTrait();
    model.on("msg:custom", this.#onMessage);
    model.on("change:_view", this.#takeTrait);
    model.on("change:_live", this.#onLive);
    model.on("comm_live_update", this.#connect);
    this.#connect();
  }

  destroy(): void {
    this.#model.off("msg:custom", this.#onMessage);
    this.#model.off("change:_view", this.#takeTrait);
    this.#model.off("change:_live", this.#onLive);
    this.#model.off("comm_live_update", this.#connect);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#listeners.clear();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get words(): Words {
    return (this.#model.get("_words") ?? {}) as Words;
  }

  /** Asks the kernel for `verb`; one question of a kind at a time. */
  ask(verb: Verb): void {
    this.#do(verb, { verb });
  }

  /** Resumes with the answer to a question: that of this flow run, of this key. */
  answer(flow_run: number, key: string, input: Input): void {
    this.#do("answer", { verb: "resume", flow_run, key, input });
  }

  /** Does something with a task run; what that gave is then `said`. */
  act(verb: Action, member: number): void {
    this.#do(verb, { verb, member });
  }

  /** Sets a dial of a node's task to what was typed. */
  turn(node: number, dial: string, value: string): void {
    this.#do("turn", { verb: "turn", node, dial, value });
  }

  /** Opens a subflow as a box, or closes it: for all who look at the run, because the kernel lays out. */
  open(node: number, open: boolean): void {
    this.#send({ kind: "open", id: this.#id(), node, open });
  }

  #do(what: Asked, message: Order): void {
    // The result of a run that has ended can be loaded, too.
    const there = message.member === undefined ? this.connection === "live" : this.reachable;
    if (!there || this.pending.has(what)) return;
    const id = this.#id();
    this.pending.add(what);
    this.error = "";
    if (what === "answer") this.refusal = null;
    this.said = null;
    this.#asked.set(id, [what, message.member ?? message.node ?? 0]);
    this.#after(id, ACK_LIMIT, () =>
      this.#answer(id, this.words.unanswered ?? "The kernel has not answered; the notebook's stop button interrupts the run."),
    );
    const say = (): void => {
      this.#send({ kind: "do", id, ...message });
      this.#after(`again ${id}`, AGAIN, say);
    };
    say();
    this.#notify();
  }

  /** True if the kernel answers, also for a run that has ended. */
  get reachable(): boolean {
    return this.heard && this.connection !== "lost";
  }

  /** What is to be drawn: the run as it was, where somebody looks back, else as it is. */
  get shown(): View | null {
    return this.past?.view ?? this.view;
  }

  /** Looks back to a moment, and for null at how the run is.  One question at a time: what is overtaken is not asked. */
  lookBack(at: number | null): void {
    this.wanted = at;
    if (at === null) {
      this.past = this.#looking = null;
      this.#notify();
    } else if (!this.#looking && this.reachable) {
      const id = this.#id();
      this.#looking = { id, at };
      this.#send({ kind: "get", id, past: at });
      this.#after("past", RESYNC_LIMIT, () => {
        this.#looking = null;
        this.lookBack(this.wanted);
      });
    }
  }

  #takePast({ id, at, view }: Extract<FromKernel, { kind: "past" }>): void {
    if (this.#looking?.id !== id) return;
    this.#looking = null;
    this.#cancel("past");
    this.past = { at, view };
    if (this.wanted !== at) this.lookBack(this.wanted);
  }

  /** Asks for what is to be known of a node, again when its view has changed, or when `again` is set. */
  inspect(node: number, again = false): void {
    this.#get({ node }, this.nodes.get(node), again);
  }

  /** Asks for when the task runs ran, again when anything has changed: while the run goes on that is always. */
  fetchTimeline(): void {
    const { run, seq } = this.view ?? {};
    this.#get({ timeline: true }, run?.running ? performance.now() : seq);
  }

  /** The task runs of a node from a place on, as they were when the kernel last told of them; asks when they changed. */
  page(node: number, first: number, only: string, sort: Sort): MemberPage | undefined {
    this.#get({ members: node, first, only, sort }, this.nodes.get(node));
    return this.#pages.get(pageKey(node, first, only, sort));
  }

  /** Asks for the story of a task run, again when its node has changed. */
  fetchMember(node: number, number: number): void {
    this.#get({ member: number }, this.nodes.get(node));
  }

  /** Calls `found` with the first failed task run beyond that number, or of all. */
  findFailed(after: number, found: (member: Member) => void): void {
    if (!this.reachable) return;
    const id = this.#id();
    this.#finding = { id, found };
    this.#send({ kind: "get", id, failed_after: after });
  }

  /** Asks at once for what was not asked for before, else only when `mark` is another, and once a second at most. */
  #get(what: Question, mark: unknown, again = false): void {
    if (!this.reachable) return;
    const key = JSON.stringify(what);
    const last = this.#lastGet.get(key);
    const now = performance.now();
    if (last && !again) {
      if (last.mark === mark) return;
      if (now - last.at < GET_EVERY) {
        this.#after(`get ${key}`, GET_EVERY - (now - last.at), () => this.#notify());
        return;
      }
    }
    this.#lastGet.set(key, { at: now, mark });
    this.#send({ kind: "get", id: this.#id(), ...what });
  }

  /** Asks for the artifacts that came or changed, at most once a second. */
  fetchArtifacts(): void {
    const told = this.view?.run.artifacts;
    if (!told || told.version <= this.#artifactsVersion || !this.reachable) return;
    const since = performance.now() - this.#artifactsAsked;
    if (since >= GET_EVERY) {
      this.#artifactsAsked = performance.now();
      this.#send({ kind: "get", id: this.#id(), artifacts: this.#artifactsVersion });
    }
    this.#after("artifacts", since >= GET_EVERY ? GET_EVERY : GET_EVERY - since, () => this.#notify());
  }

  /** Says hello until the kernel answers; what was known is kept meanwhile. */
  #connect = (): void => {
    this.#resyncing = this.heard = false;
    if (this.connection === "live") this.since = Date.now();
    this.#setConnection(this.#model.get("_live") === false ? "saved" : "connecting");
    for (const at of HELLO_AT) this.#after(`hello ${at}`, at, () => this.#hello());
    this.#after("unanswered", HELLO_LIMIT, () => {
      this.#setConnection(this.view?.run.running ? "lost" : "saved");
      this.#after("quiet", QUIET_LIMIT, this.#checkOn);
    });
  };

  #hello(): void {
    this.#send({ kind: "hello", id: this.#id() });
  }

  /** A run that is going on and says nothing for long is asked whether it is still there. */
  #checkOn = (): void => {
    this.#after("quiet", QUIET_LIMIT, this.#checkOn);
    if (!this.view?.run.running) return;
    this.#hello();
    if (this.connection !== "live") return;
    const since = Date.now();
    this.#after("unanswered", HELLO_LIMIT, () => {
      this.since = since;
      this.#setConnection("lost");
    });
  };

  #onLive = (): void => {
    if (this.#model.get("_live") === false) this.#setConnection("saved");
    else if (this.connection !== "live") this.#connect();
  };

  #onMessage = (message: FromKernel): void => {
    this.#answered();
    switch (message.kind) {
      case "snap":
        this.#takeSnap(message.view);
        break;
      case "delta":
        this.#takeDelta(message.delta);
        break;
      case "ack":
        this.#answer(message.id, message.ok ? "" : message.error || "The kernel refused.", message);
        break;
      case "problem":
        this.error = message.error;
        break;
      case "detail":
        this.details.set(message.detail.node, message.detail);
        break;
      case "members":
        this.#keepPage(message.page);
        break;
      case "member":
        this.#takeMember(message.id, message.member);
        break;
      case "timeline":
        this.timeline = message.timeline;
        break;
      case "past":
        this.#takePast(message);
        break;
      case "artifacts":
        for (const each of message.artifacts) this.artifacts.set(each.id, each);
        this.#artifactsVersion = Math.max(this.#artifactsVersion, message.version);
        break;
    }
    this.#notify();
  };

  #keepPage(page: MemberPage): void {
    const key = pageKey(page.node, page.first, page.only, page.sort);
    this.#pages.delete(key);
    this.#pages.set(key, page);
    if (this.#pages.size > KEPT_PAGES) this.#pages.delete(this.#pages.keys().next().value!);
  }

  #takeMember(id: string, member: Member): void {
    this.members.delete(member.number);
    this.members.set(member.number, member);
    if (this.members.size > KEPT_MEMBERS) this.members.delete(this.members.keys().next().value!);
    if (this.#finding?.id !== id) return;
    const { found } = this.#finding;
    this.#finding = null;
    found(member);
  }

  #answered(): void {
    for (const at of HELLO_AT) this.#cancel(`hello ${at}`);
    this.#cancel("unanswered");
    this.heard = true;
    this.#after("quiet", QUIET_LIMIT, this.#checkOn);
    if (this.#model.get("_live") !== false) this.connection = "live";
  }

  #answer(id: string, error: string, { fields = {}, told = "" }: { fields?: Record<string, string>; told?: string } = {}): void {
    const [asked, of] = this.#asked.get(id) ?? [];
    if (!asked) return;
    this.#asked.delete(id);
    this.#cancel(id);
    this.#cancel(`again ${id}`);
    this.pending.delete(asked);
    if (asked === "answer") this.refusal = error ? { error, fields } : null;
    else if (asked === "load" || asked === "plan" || asked === "rerun" || asked === "turn") {
      this.said = { verb: asked, of: of!, text: error || told, wrong: error !== "" };
    } else this.error = error;
    this.#notify();
  }

  #takeTrait = (): void => {
    const view = this.#model.get("_view") as Partial<View> | undefined;
    if (view?.run && view.nodes && (!this.view || (view.seq ?? 0) > this.view.seq)) {
      this.#takeView(view as View);
      this.#notify();
    }
  };

  /** A snap for another page may be older than what this one has. */
  #takeSnap(view: View): void {
    const mine = this.view;
    if (this.#resyncing || !mine || view.seq >= mine.seq || view.run.id !== mine.run.id) this.#takeView(view);
    this.#resyncing = false;
  }

  #takeView(view: View): void {
    this.view = view;
    this.nodes = new Map(view.nodes.map((node) => [node.id, node]));
    this.#received();
  }

  #received(): void {
    this.receivedAt = performance.now();
    // A run that goes on again is looked at as it goes on.
    if (this.wanted !== null && this.view?.run.running) this.lookBack(null);
  }

  #takeDelta(delta: Delta): void {
    if (!this.view || delta.seq > this.view.seq + 1) {
      if (!this.#resyncing) this.#send({ kind: "resync" });
      this.#resyncing = true;
      this.#after("resync", RESYNC_LIMIT, () => (this.#resyncing = false));
      return;
    }
    if (delta.seq <= this.view.seq) return;
    if (delta.width !== undefined) this.nodes = new Map();
    for (const node of delta.nodes) this.nodes.set(node.id, node);
    this.view = {
      ...this.view,
      seq: delta.seq,
      run: delta.run,
      nodes: [...this.nodes.values()],
      edges: delta.edges ?? this.view.edges,
      width: delta.width ?? this.view.width,
      height: delta.height ?? this.view.height,
    };
    this.#received();
  }

  #setConnection(connection: Connection): void {
    this.connection = connection;
    this.#notify();
  }

  #send(message: ToKernel): void {
    try {
      this.#model.send(message);
    } catch {
      // A closed comm: the missing answer tells.
    }
  }

  #id(): string {
    return `${this.#prefix}-${++this.#counter}`;
  }

  #after(key: string, delay: number, action: () => void): void {
    this.#cancel(key);
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        action();
      }, delay),
    );
  }

  #cancel(key: string): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

function pageKey(...parts: readonly [node: number, first: number, only: string, sort: Sort]): string {
  return parts.join(" ");
}
