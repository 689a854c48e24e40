// The row of layers, to choose from.  The halves of a cut kernel stand in one frame, and so do branches, one below the
// other; branches may have branches.  Of a long network, the branches that the reader is not looking at are folded into
// one button.
"use strict";

const Overview = (() => {
  const { make, count } = Drawing;
  const LONG = 20; // steps: more of them get smaller buttons, and branches are folded

  // What stands one after the other: steps, and groups of them, whose rows stand one below the other.
  function nodes(steps, depth) {
    const list = [];
    for (const step of steps) {
      const [container, branch] = step.branches[depth] ?? [];
      const kind = container ? "branches" : step.pair ? "pair" : "step";
      const id = container ?? (step.pair || step.name);
      if (kind === "step" || list.at(-1)?.kind !== kind || list.at(-1).id !== id)
        list.push({ kind, id, steps: [], rows: new Map() });
      const { rows, steps: all } = list.at(-1);
      all.push(step);
      rows.set(branch, [...(rows.get(branch) ?? []), step]);
    }
    // The step after branches is where they meet.
    list.forEach((node, k) => (node.join = node.kind === "branches" ? list[k + 1].steps[0] : null));
    return list;
  }

  // The elements of the row.  `current`: the step that is open; `what`: the array on the pictures; show(number) opens.
  function elements(steps, current, what, show) {
    const long = steps.length > LONG;

    function button(step, label, small, attributes = {}) {
      return make(
        "button",
        {
          type: "button",
          "data-key": `layer${step.number}`,
          "aria-current": step === current,
          title: `${step.name}: ${step.title}`,
          onclick: () => show(step.number),
          ...attributes,
        },
        Maps.channels(step, what, "thumbnail"),
        make("span", {}, make("span", {}, label), make("small", {}, small)),
      );
    }
    const ofStep = (step) => button(step, step.label, step.shape.join(" x "));
    // Branches that are folded, together with the step where they meet: one button, which opens that.
    const isFolded = (node) => long && node?.join && ![...node.steps, node.join].includes(current);
    const folded = ({ join, steps: inside }) =>
      button(join, `${join.title}: ${count(inside.length, "layer")}`, join.shape.join(" x "), {
        class: "folded",
        "aria-expanded": false,
      });

    // Nodes with arrows between them.
    function sequence(list, depth) {
      const drawn = list.filter((_, k) => !isFolded(list[k - 1])).map((node) => element(node, depth));
      return drawn.flatMap((one, k) => (k ? [make("span", { class: "arrow", "aria-hidden": true }, "→"), one] : [one]));
    }
    function element(node, depth) {
      const { kind, steps: inside, rows } = node;
      if (isFolded(node)) return folded(node);
      if (kind === "step") return ofStep(inside[0]);
      if (kind === "pair") return make("div", { class: "group pair" }, make("div", {}, ...inside.map(ofStep)));
      const all = [...rows.values()];
      const cells = all.length > 2 && all.every((row) => row.length === 1) ? "cells" : "rows";
      return make(
        "div",
        { class: `group branches ${cells}` },
        ...all.map((row) => make("div", {}, ...sequence(nodes(row, depth + 1), depth + 1))),
      );
    }
    return sequence(nodes(steps, 0), 0);
  }

  // Bring the open layer into sight within its row.
  function reveal(nav) {
    const open = nav.querySelector("[aria-current=true]").getBoundingClientRect();
    const row = nav.getBoundingClientRect();
    if (open.left < row.left || open.right > row.right)
      nav.scrollLeft += (open.left + open.right - row.left - row.right) / 2;
  }

  return { LONG, elements, reveal };
})();
