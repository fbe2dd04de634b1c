/** What is looked at: a node, or one task run of it. */

export interface Selection {
  node: number;
  /** The number of the task run; null for the node itself. */
  member: number | null;
}

export type Select = (selection: Selection | null) => void;
