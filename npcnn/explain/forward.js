// Forward: how one number of a layer's output is computed.  Every function returns elements of the page; `at` is where
// the reader points (the state of Explorer), `set` changes it, `player` makes the buttons that walk through something.
"use strict";

const Forward = (() => {
  const { number, count, largestOf, make, beside, figures, formula, grid, cell } = Drawing;
  const { oneChannel, output, outputs, box, branches } = Maps;

  function pooling(step, input, at, set) {
    const { taps, values, winner, weights, y } = Arithmetic.pooling(step, input, at.i, at.j, at.o);
    const size = step.window.size;
    const largest = largestOf(values.map((value) => value ?? 0));
    const max = step.kind === "max_pool";
    const window = oneChannel(input, "y", at.o, {
      label: `input, channel ${input.channelName(at.o)}: the window${max ? ", and in it the winner" : ""}`,
      frame: step.window.padding,
      boxes: [box(taps), ...(max ? [[taps[winner].row, taps[winner].col, 1, 1, "winner"]] : [])],
    });
    const table = (caption, numbers, scale, padding) =>
      grid(caption, size, (kh, kw) => {
        const k = kh * size[1] + kw;
        return cell(numbers[k], scale, { name: k === winner ? "winner" : null, padding });
      });
    return [
      figures(window, output(step, at, set), outputs(step, at, set)),
      formula(
        "formula",
        max
          ? `the largest of ${count(values.filter((value) => value !== null).length, "number")} is ${number(y)}, at row ${taps[winner].row}, column ${taps[winner].col}`
          : `${count(weights.filter(Boolean).length, "number")}, each times ${number(largestOf(weights))}, add up to ${number(y)}`,
      ),
      beside(table("the window", values, largest, "–"), table("the weight of each", weights, 1)),
    ];
  }

  function concat(step, from, at, set) {
    const channels = from.map((branch) => branch.shape[2]).join(" + ");
    return [
      branches(step, from, "y", at, set),
      formula(
        "formula",
        `the channels of ${count(from.length, "branch")}, one after the other: ${channels} = ${step.shape[2]}`,
      ),
      figures(output(step, at, set), outputs(step, at, set)),
    ];
  }

  // Steps without arithmetic of their own to show: the picture itself, a ReLU, and layers that only pass numbers on.
  function other(step, input, at, set) {
    const y = number(Arithmetic.at(step.y, step.shape, at.i, at.j, at.o));
    const said = {
      input: () => `pixel (${at.i}, ${at.j}), channel ${step.channelName(at.o)}, as the network is given it: ${y}`,
      relu: () => `max(${number(Arithmetic.at(input.y, input.shape, at.i, at.j, at.o))}, 0) = ${y}`,
      dropout: () => `${y}: unchanged; only in training some numbers are set to 0`,
      flatten: () => {
        const [, W, C] = input.shape;
        const pixel = Math.floor(at.o / C);
        return `number ${at.o} is pixel (${Math.floor(pixel / W)}, ${pixel % W}), channel ${at.o % C} of the input: ${y}`;
      },
    };
    return [
      figures(output(step, at, set), outputs(step, at, set)),
      formula("formula", (said[step.kind] ?? (() => y))()),
    ];
  }

  // The logits, and the probabilities that softmax makes of them.
  function classes(step, at, set) {
    return make(
      "table",
      { id: "logits" },
      make("caption", {}, "logit, and its probability (softmax)"),
      ...step.classes.map(({ name, share }, o) =>
        make(
          "tr",
          { class: o === at.o ? "now" : null, onclick: () => set({ o, chosen: true }) },
          make("td", {}, name),
          cell(step.y[o], step.largest.y),
          make("td", {}, `${(100 * share).toFixed(1)}%`),
        ),
      ),
    );
  }

  // The elements that show a step.
  function panel(step, from, at, set, player) {
    const convolution = Convolution.panel;
    const show = { convolution, dense: convolution, max_pool: pooling, avg_pool: pooling }[step.kind] ?? other;
    const parts = step.kind === "concat" ? concat(step, from, at, set) : show(step, from[0], at, set, player);
    return step.classes ? [...parts, classes(step, at, set)] : parts;
  }

  return { panel };
})();
