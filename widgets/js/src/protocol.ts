/** What the kernel and the page say to each other: the mirror of `tidegate_widgets/protocol`. */

export type Family = "idle" | "active" | "done" | "attention" | "bad";
export type Verb = "pause" | "resume" | "suspend" | "retry" | "cancel";
export type Action = "load" | "plan" | "rerun" | "turn";

export interface StateView {
  type: string;
  name: string;
  family: Family;
  message: string;
}

export interface Counts {
  done: number;
  running: number;
  retrying: number;
  failed: number;
  cancelled: number;
  waiting: number;
}

export type FieldKind = "text" | "number" | "integer" | "boolean" | "choice" | "json";

export interface FieldView {
  name: string;
  label: string;
  kind: FieldKind;
  required: boolean;
  default: string | boolean | null;
  description: string;
  choices: string[];
}

export interface QuestionView {
  key: string;
  /** Whom to answer: the run, or a subflow of it. */
  flow_run: number;
  /** The subflow that asks; empty for the run itself. */
  asker: string;
  title: string;
  about: string;
  fields: FieldView[];
  code: string;
}

/** What was typed, by field; a choice as its number. */
export type Input = Record<string, string | boolean>;

export interface RunView {
  id: string;
  /** Of the flow run in its store. */
  number: number;
  flow: string;
  name: string;
  state: StateView;
  started: number | null;
  elapsed: number;
  running: boolean;
  left: number | null;
  counts: Counts;
  total: number;
  can: Verb[];
  note: string;
  saved: boolean;
  durability: string;
  question?: QuestionView;
  /** How many are open, with that one. */
  questions?: number;
  answered?: string;
  artifacts?: ArtifactCount;
}

export interface ArtifactCount {
  count: number;
  version: number;
}

export interface ArtifactView {
  id: number;
  title: string;
  maker: string;
  description: string;
  kind: "text" | "table" | "link" | "image" | "progress";
  text: string;
  url: string;
  columns: string[];
  rows: string[][];
  progress: number;
  note: string;
}

export interface NodeView {
  id: number;
  kind: "task" | "group" | "flow";
  name: string;
  line: string;
  alert: string;
  state: StateView;
  total: number;
  counts: Counts;
  strip: string;
  progress: number | null;
  /** Whether a subflow is a box with its nodes; null for what cannot be opened. */
  open: boolean | null;
  /** The box that it stands in. */
  parent: number | null;
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface EdgeView {
  source: number;
  target: number;
  kind: "future" | "value" | "map" | "wait_for" | "subflow";
  waiting: boolean;
  path: string;
}

export interface View {
  v: number;
  seq: number;
  run: RunView;
  width: number;
  height: number;
  nodes: NodeView[];
  edges: EdgeView[];
}

export interface Delta {
  seq: number;
  run: RunView;
  nodes: NodeView[];
  edges?: EdgeView[];
  width?: number;
  height?: number;
}

export interface ErrorView {
  error: string;
  total: number;
  runs: { number: number; label: string }[];
  traceback: string;
}

export interface Fact {
  label: string;
  text: string;
}

export interface Dial {
  dial: "concurrency" | "rate";
  label: string;
  /** As it is typed; empty for no limit. */
  value: string;
}

export interface Detail {
  node: number;
  name: string;
  state: StateView;
  facts: Fact[];
  /** The only task run; null where there are several. */
  member: number | null;
  errors: ErrorView[];
  dials: Dial[];
}

export interface Bar {
  letter: string;
  start: number;
  end: number;
}

export interface Lane {
  node: number;
  bars: Bar[];
  heights: number[];
  failed: number[];
}

export interface Timeline {
  seconds: number;
  /** When the run is likely to end; null where nothing honest can be said. */
  likely: number | null;
  lanes: Lane[];
}

/** The most rows that a page of members has. */
export const PAGE = 25;

export type Sort = "place" | "state" | "duration";

export interface MemberRow {
  number: number;
  label: string;
  state: StateView;
  line: string;
}

export interface MemberPage {
  node: number;
  first: number;
  only: string;
  sort: Sort;
  total: number;
  rows: MemberRow[];
}

export interface InputView {
  parameter: string;
  label: string;
  node: number;
  member: number | null;
}

export interface LogView {
  clock: string;
  level: string;
  text: string;
}

/** The failed task runs of a node, seen from one of its runs. */
export interface Steps {
  at: number;
  of: number;
  before: number | null;
  after: number | null;
}

export interface Member {
  number: number;
  node: number;
  place: number;
  label: string;
  state: StateView;
  steps: Steps;
  facts: Fact[];
  inputs: InputView[];
  error: string;
  traceback: string;
  logs: LogView[];
  more: boolean;
  result: string;
  result_note: string;
  code: string;
  code_note: string;
  /** What may be done with it: `load`, and `rerun` once the flow run is over. */
  actions: Action[];
}

export type FromKernel =
  | { kind: "snap"; view: View }
  | { kind: "delta"; delta: Delta }
  | { kind: "problem"; error: string }
  | { kind: "ack"; id: string; ok: boolean; error: string | null; fields?: Record<string, string>; told?: string }
  | { kind: "detail"; id: string; detail: Detail }
  | { kind: "artifacts"; id: string; version: number; artifacts: ArtifactView[] }
  | { kind: "timeline"; id: string; timeline: Timeline }
  | { kind: "past"; id: string; at: number; view: View }
  | { kind: "members"; id: string; page: MemberPage }
  | { kind: "member"; id: string; member: Member };

export type ToKernel =
  | { kind: "hello"; id: string }
  | { kind: "resync" }
  | { kind: "open"; id: string; node: number; open: boolean }
  | {
      kind: "do";
      id: string;
      verb: Verb | Action;
      flow_run?: number;
      key?: string;
      input?: Input;
      member?: number;
      node?: number;
      dial?: string;
      value?: string;
    }
  | { kind: "get"; id: string; node: number }
  | { kind: "get"; id: string; artifacts: number }
  | { kind: "get"; id: string; timeline: true }
  | { kind: "get"; id: string; past: number }
  | { kind: "get"; id: string; members: number; first: number; only: string; sort: Sort }
  | { kind: "get"; id: string; member: number }
  | { kind: "get"; id: string; failed_after: number };
