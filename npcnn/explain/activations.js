// Activations: functions of one number, applied to each; their slopes, by which a gradient is multiplied on its way
// back; and softmax, which looks at all channels of a pixel.  First the numbers, then what is drawn of them; `at` and
// `set` are those of Forward.
"use strict";

const Activations = (() => {
  const { number, operand, make, figures, formula } = Drawing;
  const { samePixel, output, outputs, gradient, channelStrips } = Maps;

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  // The part of a normal distribution below x, and its density.
  const below = (x) => (1 + erf(x / Math.SQRT2)) / 2;
  const density = (x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  const FACTOR = Math.sqrt(2 / Math.PI);
  const bent = (x) => FACTOR * (x + 0.044715 * x ** 3);

  // erf(x) = 2 / sqrt(pi) * e^(-x²) * (x + 2/3 x³ + 4/15 x⁵ + ...): all terms have one sign, so no digits are lost.
  function erf(x) {
    if (Math.abs(x) > 6) return Math.sign(x);
    let term = (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * x;
    let sum = term;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return sum;
  }

  // Of each kind: y(x) and its slope dy/dx, as a number (y, slope), a formula (is, slopeIs) and the formula with its
  // numbers (of, slopeOf).
  const KINDS = {
    relu: () => ({
      y: (x) => Math.max(x, 0),
      is: "max(x, 0)",
      of: (x) => `max(${number(x)}, 0)`,
      slope: (x) => (x > 0 ? 1 : 0),
      slopeIs: "1 where x > 0, else 0",
    }),
    leaky_relu: ({ slope }) => ({
      y: (x) => (x > 0 ? x : slope * x),
      is: `x where x > 0, else ${number(slope)} * x`,
      of: (x) => (x > 0 ? null : `${number(slope)} * ${operand(x)}`),
      slope: (x) => (x > 0 ? 1 : slope),
      slopeIs: `1 where x > 0, else ${number(slope)}`,
    }),
    rescale: ({ factor }) => ({
      y: (x) => factor * x,
      is: `${number(factor)} * x`,
      of: (x) => `${number(factor)} * ${operand(x)}`,
      slope: () => factor,
      slopeIs: "the factor",
    }),
    gelu: ({ approximate }) =>
      approximate === "tanh"
        ? {
            y: (x) => (x * (1 + Math.tanh(bent(x)))) / 2,
            is: "x * (1 + tanh(u)) / 2, with u = sqrt(2 / pi) * (x + 0.044715 x³)",
            of: (x) => `${number(x)} * (1 + tanh(${number(bent(x))})) / 2`,
            slope: (x) => {
              const t = Math.tanh(bent(x));
              return (1 + t) / 2 + (x / 2) * (1 - t * t) * FACTOR * (1 + 3 * 0.044715 * x * x);
            },
            slopeIs: "(1 + t) / 2 + x / 2 * (1 - t²) * u', with t = tanh(u), u' = sqrt(2 / pi) * (1 + 0.134145 x²)",
          }
        : {
            y: (x) => x * below(x),
            is: "x * P, with P = (1 + erf(x / sqrt(2))) / 2, the part of a normal distribution below x",
            of: (x) => `${number(x)} * ${number(below(x))}`,
            slope: (x) => below(x) + x * density(x),
            slopeIs: "P + x * p, with p = e^(-x² / 2) / sqrt(2 pi)",
            slopeOf: (x) => `${number(below(x))} + ${operand(x)} * ${number(density(x))}`,
          },
    silu: () => ({
      y: (x) => x * sigmoid(x),
      is: "x * s, with s = sigmoid(x) = 1 / (1 + e^-x)",
      of: (x) => `${number(x)} * ${number(sigmoid(x))}`,
      slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
      slopeIs: "s * (1 + x * (1 - s))",
      slopeOf: (x) => `${number(sigmoid(x))} * (1 + ${operand(x)} * (1 - ${number(sigmoid(x))}))`,
    }),
    sigmoid: () => ({
      y: sigmoid,
      is: "1 / (1 + e^-x)",
      of: (x) => `1 / (1 + e^${operand(-x)})`,
      slope: (x) => sigmoid(x) * (1 - sigmoid(x)),
      slopeIs: "y * (1 - y)",
      slopeOf: (x) => `${number(sigmoid(x))} * (1 - ${number(sigmoid(x))})`,
    }),
    tanh: () => ({
      y: Math.tanh,
      is: "tanh(x)",
      of: (x) => `tanh(${number(x)})`,
      slope: (x) => 1 - Math.tanh(x) ** 2,
      slopeIs: "1 - y²",
      slopeOf: (x) => `1 - ${operand(Math.tanh(x))}²`,
    }),
  };
  const draws = (kind) => kind === "softmax" || kind in KINDS;
  const functionOf = (step) => KINDS[step.kind](step.constants);

  // The output of a softmax at a pixel and all numbers on the way there, for every channel.
  function softmax(step, input, i, j) {
    const C = step.shape[2];
    const x = Array.from({ length: C }, (_, c) => Arithmetic.at(input.y, input.shape, i, j, c));
    const largest = x.reduce((a, b) => Math.max(a, b));
    const powers = x.map((value) => Math.exp(value - largest)); // without `largest` they might overflow
    const sum = powers.reduce((a, b) => a + b);
    const y = powers.map((power) => power / sum);
    const dy = y.map((_, c) => Arithmetic.at(step.dy, step.shape, i, j, c));
    const mean = dy.reduce((total, value, c) => total + value * y[c], 0);
    return { x, largest, powers, sum, y, dy, mean, dx: dy.map((value, c) => y[c] * (value - mean)) };
  }

  // One number of the output, and of the gradient for the input.
  function y(step, input, i, j, c) {
    if (step.kind === "softmax") return softmax(step, input, i, j).y[c];
    return functionOf(step).y(Arithmetic.at(input.y, input.shape, i, j, c));
  }
  function dx(step, input, i, j, c) {
    if (step.kind === "softmax") return softmax(step, input, i, j).dx[c];
    const slope = functionOf(step).slope(Arithmetic.at(input.y, input.shape, i, j, c));
    return Arithmetic.at(step.dy, step.shape, i, j, c) * slope;
  }

  // The curve of y(x) with the number looked at, and with its tangent.
  function curve(f, x, tangent) {
    const reach = Math.max(5, 1.1 * Math.abs(x));
    const xs = Array.from({ length: 201 }, (_, k) => reach * (k / 100 - 1));
    const ys = xs.map(f.y);
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    const across = (value) => 50 + (48 * value) / reach;
    const up = (value) => 96 - (92 * (value - low)) / (high - low);
    const pairs = (first, second) => first.map((value, k) => `${across(value).toFixed(2)} ${up(second[k]).toFixed(2)}`);
    const line = (points, name = null) => make("path", { d: `M${points.join("L")}`, class: name });
    const [y0, slope] = [f.y(x), f.slope(x)];
    const along = [-reach, reach].map((end) => y0 + slope * (end - x));
    const picture = make(
      "svg",
      { viewBox: "0 0 100 100", class: "curve", "aria-hidden": "true" },
      line(pairs([-reach, reach], [0, 0]), "axis"),
      line(pairs([0, 0], [low, high]), "axis"),
      tangent ? line(pairs([-reach, reach], along), "tangent") : null,
      line(pairs(xs, ys)),
      make("circle", { cx: across(x), cy: up(y0), r: 2.2 }),
    );
    const told = tangent ? `; the straight line touches it there, with a slope of ${number(slope)}` : "";
    const ends = `x from ${number(-reach)} to ${number(reach)}, y from ${number(low)} to ${number(high)}`;
    return make("figure", {}, picture, make("figcaption", {}, `y by x, ${ends}; the point: this number${told}`));
  }

  // Forward, at the place looked at.
  function forward(step, input, at, set) {
    const shown = [samePixel(input, at), output(step, at, set), outputs(step, at, set)];
    if (step.kind === "softmax") {
      const all = softmax(step, input, at.i, at.j);
      return [
        figures(...shown),
        formula(
          "formula",
          `y = e^(x - largest) / (sum of that over the channels) = e^(${number(all.x[at.o])} - ${operand(all.largest)}) / ` +
            `${number(all.sum)} = ${number(all.y[at.o])}`,
        ),
        channelStrips("The channels of this pixel; their y add up to 1", at, set, {
          x: all.x,
          "e^(x - largest)": all.powers,
          y: all.y,
        }),
      ];
    }
    const f = functionOf(step);
    const x = Arithmetic.at(input.y, input.shape, at.i, at.j, at.o);
    const parts = [f.is, f.of(x), number(f.y(x))].filter((part) => part !== null);
    return [figures(...shown, curve(f, x, false)), formula("formula", `y = ${parts.join(" = ")}`)];
  }

  // Backward: dx, drawn and as a formula, to which Backward adds the `ending` for the place.
  function backward(step, input, at, set, ending) {
    const value = dx(step, input, at.i, at.j, at.o);
    const dy = number(Arithmetic.at(step.dy, step.shape, at.i, at.j, at.o));
    const picture = gradient(input, at, (row, col) => dx(step, input, row, col, at.o));
    if (step.kind === "softmax") {
      const all = softmax(step, input, at.i, at.j);
      return [
        make("h3", {}, "dx = y * (dy - m), with m = the sum of y * dy over the channels: each of them is in the sum"),
        figures(picture),
        formula("dx", `dx = ${number(all.y[at.o])} * (${dy} - ${operand(all.mean)}) = ${number(value)}${ending(at.i, at.j, at.o)}`),
        channelStrips("The channels of this pixel", at, set, { y: all.y, dy: all.dy, dx: all.dx }),
      ];
    }
    const f = functionOf(step);
    const x = Arithmetic.at(input.y, input.shape, at.i, at.j, at.o);
    const slope = [f.slopeIs, f.slopeOf?.(x), number(f.slope(x))].filter(Boolean).join(" = ");
    return [
      make("h3", {}, "dx = dy * slope: the gradient times how steep the curve is"),
      figures(samePixel(input, at), picture, curve(f, x, true)),
      formula("dx", `dx = dy * slope = ${dy} * ${operand(f.slope(x))} = ${number(value)}; slope: ${slope}${ending(at.i, at.j, at.o)}`),
    ];
  }

  return { draws, erf, y, dx, forward, backward };
})();
