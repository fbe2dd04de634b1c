/** Lays graphs out with dagre: reads [{nodes: [[id, width, height]], edges: [[source, target]]}] and writes the middles
 * of their nodes.  `tests/widgets/test_layout_quality.py` compares our layout with it. */

import { readFileSync } from "node:fs";

import dagre from "@dagrejs/dagre";

const graphs = JSON.parse(readFileSync(0, "utf8"));
const middles = graphs.map(({ nodes, edges }) => {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR" });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const [id, width, height] of nodes) graph.setNode(String(id), { width, height });
  for (const [source, target] of edges) graph.setEdge(String(source), String(target));
  dagre.layout(graph);
  return nodes.map(([id]) => [graph.node(String(id)).x, graph.node(String(id)).y]);
});
console.log(JSON.stringify(middles));
