// Forward: how one number of a layer's output is computed.  Every function returns elements of the page; `at` is where
// the reader points (the state of Explorer), `set` changes it, `player` makes the buttons that walk through something.
"use strict";

const Forward = (() => {
  const { number, count, largestOf, make, beside, figures, formula, grid, cell } = Drawing;
  const { oneChannel, output, outputs, inputs, box, samePixel } = Maps;

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

  // Steps without arithmetic of their own to show: the picture itself, and layers that pass numbers on or that this page
  // does not know.
  function other(step, input, at, set) {
    const y = number(Arithmetic.at(step.y, step.shape, at.i, at.j, at.o));
    if (step.kind === "input")
      return [
        figures(output(step, at, set), outputs(step, at, set)),
        formula(
          "formula",
          `pixel (${at.i}, ${at.j}), channel ${step.channelName(at.o)}, as the network is given it: ${y}`,
        ),
      ];
    const [, W, C] = input.shape;
    const pixel = Math.floor(at.o / C);
    const from = step.kind === "flatten" ? { i: Math.floor(pixel / W), j: pixel % W, o: at.o % C } : at;
    const sameShape = input.shape.every((length, axis) => length === step.shape[axis]);
    const samePlace = step.kind === "flatten" || sameShape;
    const x = samePlace ? number(Arithmetic.at(input.y, input.shape, from.i, from.j, from.o)) : null;
    const said = {
      dropout: `y = ${y}: unchanged; only in training some numbers are set to 0`,
      identity: `y = ${y}: unchanged`,
      flatten: `number ${at.o} is pixel (${from.i}, ${from.j}), channel ${from.o} of the input: ${y}`,
    };
    const unknown = `${samePlace ? `x = ${x}, ` : ""}y = ${y}: how ${step.label} computes it, this page does not know`;
    return [
      figures(
        samePlace ? samePixel(input, from) : inputs(input, at, set),
        output(step, at, set),
        outputs(step, at, set),
      ),
      formula("formula", said[step.kind] ?? unknown),
    ];
  }

  // The logits, and the probabilities that softmax makes of them; or the latter alone, if the network gives them.
  function classes(step, at, set) {
    const logits = step.kind !== "softmax";
    return make(
      "table",
      { id: "logits" },
      make("caption", {}, logits ? "logit, and its probability (softmax)" : "probability"),
      ...step.classes.map(({ name, share }, o) =>
        make(
          "tr",
          { class: o === at.o ? "now" : null, onclick: () => set({ o, chosen: true }) },
          make("td", {}, name),
          logits ? cell(step.y[o], step.largest.y) : null,
          make("td", {}, `${(100 * share).toFixed(1)}%`),
        ),
      ),
    );
  }

  // Who knows the formula of a step, if it is neither a convolution nor a pooling nor where branches meet.
  const expert = (step) => [Activations, Normalization, Enlarging].find(({ draws }) => draws(step.kind));

  // The elements that show a step.
  function panel(step, from, at, set, player) {
    let parts;
    if (Branches.meet(step)) parts = Branches.forward(step, from, at, set);
    else if (expert(step)) parts = expert(step).forward(step, from[0], at, set, player);
    else if (step.w) parts = Convolution.panel(step, from[0], at, set, player);
    else if (step.window) parts = pooling(step, from[0], at, set);
    else parts = other(step, from[0], at, set);
    return step.classes ? [...parts, classes(step, at, set)] : parts;
  }

  return { expert, panel };
})();
