import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Store } from "../src/store";
import { FakeModel, node, run, view } from "./fakes";

let model: FakeModel;
let store: Store;

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel();
});

afterEach(() => {
  store.destroy();
  vi.useRealTimers();
});

function open(): void {
  store = new Store(model);
}

function connect(seq = 1): void {
  open();
  vi.advanceTimersByTime(1);
  model.say({ kind: "snap", view: view(seq, [node(1), node(2)]) });
}

test("hello is repeated at 0, 0.3, 1, 2 and 4 s while nobody answers", () => {
  open();
  const at: number[] = [];
  for (let now = 0; now <= 8000; now += 100) {
    const before = model.sent.length;
    vi.advanceTimersByTime(now ? 100 : 0);
    if (model.sent.length > before) at.push(now);
  }
  expect(at).toEqual([0, 300, 1000, 2000, 4000]);
  expect(new Set(model.kinds())).toEqual(new Set(["hello"]));
  expect(new Set(model.sent.map((message) => "id" in message && message.id)).size).toBe(5);
});

test("an answer ends the hellos and makes the store live", () => {
  connect();
  vi.advanceTimersByTime(5000);
  expect(model.kinds()).toEqual(["hello"]);
  expect(store.connection).toBe("live");
  expect([...store.nodes.keys()]).toEqual([1, 2]);
});

test("unanswered for 6 s, a running run is not connected and a finished one is a saved view", () => {
  for (const [running, expected] of [[true, "lost"], [false, "saved"]] as const) {
    model = new FakeModel();
    model.traits._view = view(4, [node(1)], { run: run({ running }) });
    open();
    vi.advanceTimersByTime(5900);
    expect(store.connection).toBe("connecting");
    vi.advanceTimersByTime(200);
    expect(store.connection).toBe(expected);
    expect(store.view?.nodes).toHaveLength(1);
    store.destroy();
  }
});

test("a late answer connects again", () => {
  model.traits._view = view(1, [node(1)]);
  open();
  vi.advanceTimersByTime(7000);
  expect(store.connection).toBe("lost");
  model.say({ kind: "snap", view: view(2, [node(1)]) });
  expect(store.connection).toBe("live");
});

test("a silent kernel is asked after a while and then counts as lost", () => {
  connect();
  vi.advanceTimersByTime(14_900);
  expect(model.kinds()).toEqual(["hello"]);
  vi.advanceTimersByTime(200);
  expect(model.kinds()).toEqual(["hello", "hello"]);
  expect(store.connection).toBe("live");
  vi.advanceTimersByTime(6000);
  expect(store.connection).toBe("lost");
});

test("a finished run is left in peace", () => {
  open();
  vi.advanceTimersByTime(1);
  model.say({ kind: "snap", view: view(1, [], { run: run({ running: false }) }) });
  vi.advanceTimersByTime(60_000);
  expect(model.kinds()).toEqual(["hello"]);
  expect(store.connection).toBe("live");
});

test("a closed comm starts the hellos anew", () => {
  connect();
  model.emit("comm_live_update");
  expect(store.connection).toBe("connecting");
  vi.advanceTimersByTime(6000);
  expect(store.connection).toBe("lost");
  expect(model.kinds().length).toBe(6);
});

test("_live false means that nobody will answer", () => {
  connect();
  model.setTrait("_live", false);
  expect(store.connection).toBe("saved");
});

test("deltas replace nodes by id and keep the others as they are", () => {
  connect();
  const second = store.nodes.get(2);
  const changed = node(1, { line: "0.9s" });
  model.say({ kind: "delta", delta: { seq: 2, run: run({ total: 9 }), nodes: [changed, node(3)] } });
  expect(store.nodes.get(1)).toBe(changed);
  expect(store.nodes.get(2)).toBe(second);
  expect(store.view?.nodes.map((each) => each.id)).toEqual([1, 2, 3]);
  expect(store.view?.run.total).toBe(9);
  expect(store.view?.width).toBe(900);
});

test("a structural delta replaces edges and extent", () => {
  connect();
  const edges = [{ source: 1, target: 2, kind: "map", waiting: true, path: "M0,0C1,1 2,2 3,3" } as const];
  model.say({ kind: "delta", delta: { seq: 2, run: run(), nodes: [], edges: [...edges], width: 5, height: 6 } });
  expect(store.view).toMatchObject({ edges, width: 5, height: 6, seq: 2 });
});

test("a gap asks once for everything, and nothing is applied until it comes", () => {
  connect();
  model.say({ kind: "delta", delta: { seq: 3, run: run(), nodes: [node(8)] } });
  model.say({ kind: "delta", delta: { seq: 4, run: run(), nodes: [node(9)] } });
  expect(model.kinds().filter((kind) => kind === "resync")).toHaveLength(1);
  expect(store.nodes.has(8)).toBe(false);
  model.say({ kind: "snap", view: view(4, [node(8), node(9)]) });
  model.say({ kind: "delta", delta: { seq: 5, run: run(), nodes: [node(10)] } });
  expect([...store.nodes.keys()]).toEqual([8, 9, 10]);
});

test("a lost resync is asked again by a later delta", () => {
  connect();
  model.say({ kind: "delta", delta: { seq: 3, run: run(), nodes: [] } });
  vi.advanceTimersByTime(3500);
  model.say({ kind: "delta", delta: { seq: 4, run: run(), nodes: [] } });
  expect(model.kinds().filter((kind) => kind === "resync")).toHaveLength(2);
});

test("old deltas and old snaps, meant for another page, are ignored", () => {
  connect(7);
  model.say({ kind: "delta", delta: { seq: 7, run: run({ total: 99 }), nodes: [] } });
  model.say({ kind: "snap", view: view(5, []) });
  expect(store.view?.seq).toBe(7);
  expect(store.view?.run.total).toBe(3);
});

test("the saved view paints first, and a newer one replaces it", () => {
  model.traits._view = view(3, [node(1)]);
  open();
  expect(store.view?.seq).toBe(3);
  model.setTrait("_view", view(2, []));
  expect(store.view?.seq).toBe(3);
  model.setTrait("_view", view(9, [node(1), node(2)]));
  expect(store.nodes.size).toBe(2);
});

test("a verb is pending until its own answer", () => {
  connect();
  store.ask("pause");
  store.ask("pause");
  expect(model.kinds().filter((kind) => kind === "do")).toHaveLength(1);
  model.say({ kind: "ack", id: "another", ok: true, error: null });
  expect(store.pending.has("pause")).toBe(true);
  model.say({ kind: "ack", id: model.last("do").id, ok: false, error: "The run has ended." });
  expect(store.pending.has("pause")).toBe(false);
  expect(store.error).toBe("The run has ended.");
  store.ask("cancel");
  expect(store.error).toBe("");
});

test("a verb that is never answered says so", () => {
  connect();
  store.ask("cancel");
  vi.advanceTimersByTime(16_000);
  expect(store.pending.size).toBe(0);
  expect(store.error).toContain("has not answered");
});

test("nothing is asked of nobody", () => {
  open();
  store.ask("cancel");
  store.inspect(1);
  expect(model.kinds()).not.toContain("do");
  expect(model.kinds()).not.toContain("get");
});

test("details are asked again when the node has changed, at most once a second", () => {
  connect();
  const gets = (): number => model.kinds().filter((kind) => kind === "get").length;
  store.subscribe(() => store.inspect(1));
  store.inspect(1);
  store.inspect(1);
  expect(gets()).toBe(1);
  for (let seq = 2; seq < 12; seq++) {
    model.say({ kind: "delta", delta: { seq, run: run(), nodes: [node(1, { line: `${seq}` })] } });
    vi.advanceTimersByTime(50);
  }
  expect(gets()).toBe(1);
  vi.advanceTimersByTime(1000);
  expect(gets()).toBe(2);
  vi.advanceTimersByTime(5000);
  expect(gets()).toBe(2);
});

test("destroy leaves no timer and no listener behind", () => {
  open();
  store.destroy();
  expect(vi.getTimerCount()).toBe(0);
  expect(model.listening).toBe(0);
});

test("a comm that throws is a comm that does not answer", () => {
  model.send = () => {
    throw new Error("comm closed");
  };
  model.traits._view = view(1, [node(1)]);
  open();
  vi.advanceTimersByTime(7000);
  expect(store.connection).toBe("lost");
});

test("what is not answered is sent again each second, under the same id, until it is", () => {
  connect();
  store.ask("pause");
  const asked = () => model.sent.filter((message) => message.kind === "do");
  expect(asked()).toHaveLength(1);
  vi.advanceTimersByTime(2500);
  expect(asked()).toHaveLength(3);
  expect(new Set(asked().map((message) => JSON.stringify(message))).size).toBe(1);
  model.say({ kind: "ack", id: model.last("do").id, ok: true, error: null });
  vi.advanceTimersByTime(5000);
  expect(asked()).toHaveLength(3);
});
