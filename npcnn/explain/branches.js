// Where branches meet: a Concat puts their channels one after the other, an Add and a Residual add them up.  The
// arguments are those of Forward.
"use strict";

const Branches = (() => {
  const { number, operand, count, largestOf, make, figures, formula } = Drawing;
  const { oneChannel, sheet, output, outputs } = Maps;
  const KINDS = ["concat", "add", "residual"];
  const meet = (step) => KINDS.includes(step.kind);

  // Which branch of a meeting a step is in.
  const nameOf = (step, within) => within.branches[step.branches.length]?.[1];

  // The first channel of a concatenation that comes from a branch.
  const start = (from, k) => from.slice(0, k).reduce((sum, branch) => sum + branch.shape[2], 0);

  // The branches of a Concat side by side, on one scale of colours: their channels, one after the other, are those of
  // step.
  function sheets(step, from, what, at, set) {
    return figures(
      ...from.map((branch, k) => {
        const first = start(from, k);
        const end = first + branch.shape[2];
        const mine = at.o >= first && at.o < end;
        return sheet(branch, what, {
          label: `branch ${k}, ${branch.title}: channels ${first} to ${end - 1}${mine ? ` (chosen: its channel ${at.o - first})` : ""}`,
          chosen: mine ? at.o - first : null,
          pick: (c) => set({ o: first + c, chosen: true }),
          key: `branch${k}`,
          largest: step.largest[what],
        });
      }),
    );
  }

  // The same channel of all branches, and what comes out: elements with signs between them.
  function row(elements, signs) {
    const between = elements.slice(1).map((element, k) => [make("span", { class: "sign" }, signs[k] ?? "+"), element]);
    return make("div", { class: "row signs" }, elements[0], ...between.flat());
  }
  function sameChannel(step, from, what, at, label) {
    const largest = largestOf([step, ...from].map((one) => one.largest[what]));
    return from.map((branch) =>
      oneChannel(branch, what, at.o, {
        label: label(branch, number(Arithmetic.at(branch[what], branch.shape, at.i, at.j, at.o))),
        boxes: [[at.i, at.j, 1, 1]],
        largest,
      }),
    );
  }
  const told = (step, branch) =>
    nameOf(step, branch) + (branch.kind === "identity" ? " (the input as it is)" : ` (ends in ${branch.label})`);

  function forward(step, from, at, set) {
    if (step.kind === "concat") {
      const channels = from.map((branch) => branch.shape[2]).join(" + ");
      const all = `the channels of ${count(from.length, "branch")}, one after the other`;
      return [
        sheets(step, from, "y", at, set),
        formula("formula", `${all}: ${channels} = ${step.shape[2]}`),
        figures(output(step, at, set), outputs(step, at, set)),
      ];
    }
    const y = (one) => Arithmetic.at(one.y, one.shape, at.i, at.j, at.o);
    const parts = from.map((branch, k) => `${(k ? operand : number)(y(branch))} (${nameOf(step, branch)})`);
    const sum = from.reduce((total, branch) => total + y(branch), 0);
    const maps = sameChannel(step, from, "y", at, (branch, value) => `${told(step, branch)}: ${value}`);
    return [
      row([...maps, output(step, at, set)], [...from.slice(1).map(() => "+"), "="]),
      formula("formula", `y = ${parts.join(" + ")} = ${number(sum)}`),
      figures(outputs(step, at, set)),
    ];
  }

  // What each branch gets back; what they make of it, and hand back to the layer before them, is drawn by Backward.
  function backward(step, from, at, set) {
    if (step.kind === "concat")
      return [
        make("h3", {}, "Every branch gets back the gradient of its own channels"),
        sheets(step, from, "dy", at, set),
      ];
    const maps = sameChannel(step, from, "dy", at, (branch, value) => `to ${told(step, branch)}: ${value}`);
    return [make("h3", {}, "Every branch gets back the gradient of the sum, unchanged"), figures(...maps)];
  }

  // What such a step hands back to the end of one of its branches.
  function dx(step, input, i, j, c) {
    const first = step.kind === "concat" ? start(step.from, step.from.indexOf(input)) : 0;
    return Arithmetic.at(step.dy, step.shape, i, j, first + c);
  }

  return { meet, nameOf, row, forward, backward, dx };
})();
