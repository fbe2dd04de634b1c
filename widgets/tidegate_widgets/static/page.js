// The page of a run outside of a notebook: stands in for the model that anywidget would give to the run graph.
import makeGraph from "./run_graph.js";

const traits = {
  _view: {},
  _live: true,
  _words: {
    suspend: ["Suspend", "Suspending…"],
    lost: "The server of this page has ended, and not the run. This shows it again: tidegate graph",
    unanswered: "Nobody has answered; the process that runs this may be gone.",
  },
};
const listeners = new Map();
const tell = (event, ...content) => [...(listeners.get(event) ?? [])].forEach((listener) => listener(...content));
const model = {
  get: (name) => traits[name],
  set(name, value) {
    traits[name] = value;
    tell(`change:${name}`);
  },
  on(event, listener) {
    listeners.set(event, (listeners.get(event) ?? new Set()).add(listener));
  },
  off: (event, listener) => listeners.get(event)?.delete(listener),
  send(content) {
    const body = JSON.stringify(content);
    // What is not answered is sent again.
    fetch("hear", { method: "POST", headers: { "Content-Type": "application/json" }, body }).catch(() => {});
  },
  save_changes() {},
};

const events = new EventSource("events");
let graph = null;
let connected = false;
events.onopen = () => {
  connected = true;
  tell("comm_live_update");
};
events.onerror = () => {
  // It is tried again every few seconds; the graph is to count from the first time.
  if (connected) tell("comm_live_update");
  connected = false;
};
events.addEventListener("live", ({ data }) => {
  model.set("_live", JSON.parse(data));
  if (graph) return;
  const el = document.querySelector("main");
  graph = makeGraph();
  graph.initialize({ model });
  el.replaceChildren();
  graph.render({ model, el: el.appendChild(document.createElement("div")) });
});
events.addEventListener("message", ({ data }) => {
  const message = JSON.parse(data);
  const run = (message.view ?? message.delta)?.run;
  if (run) document.title = `${run.state.name} · ${run.flow} ${run.name}`;
  tell("msg:custom", message);
});
