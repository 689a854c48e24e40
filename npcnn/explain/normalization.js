// Batch and layer normalisation: y = (x - mean) / sqrt(variance + eps) * scale + shift.  In batch normalisation each
// channel has a mean and a variance of its own, those learnt in training; in layer normalisation each pixel has, those
// of its channels.  First the numbers, then what is drawn of them; `at` and `set` are those of Forward.
"use strict";

const Normalization = (() => {
  const { number, operand, count, make, figures, formula } = Drawing;
  const { samePixel, output, outputs, gradient, channelStrips, computed } = Maps;
  const draws = (kind) => kind === "batch_norm" || kind === "layer_norm";
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  const scaleOf = (step, c) => step.constants.scale?.[c] ?? 1;
  const shiftOf = (step, c) => step.constants.shift?.[c] ?? 0;

  // Mean and variance for a number at pixel (i, j) of channel c.
  function statistics(step, input, i, j, c) {
    if (step.kind === "batch_norm") return { mean: step.constants.mean[c], variance: step.constants.variance[c] };
    const x = pixel(input, "y", i, j);
    const middle = mean(x);
    return { mean: middle, variance: mean(x.map((value) => (value - middle) ** 2)) };
  }
  const each = (step, value) => Array.from({ length: step.shape[2] }, (_, c) => value(c));
  const pixel = (step, what, i, j) => each(step, (c) => Arithmetic.at(step[what], step.shape, i, j, c));

  // One number of the output, and all that it takes.
  function normalized(step, input, i, j, c, known = statistics(step, input, i, j, c)) {
    const x = Arithmetic.at(input.y, input.shape, i, j, c);
    const deviation = Math.sqrt(known.variance + step.constants.eps);
    const z = (x - known.mean) / deviation;
    const [scale, shift] = [scaleOf(step, c), shiftOf(step, c)];
    return { x, ...known, deviation, z, scale, shift, y: z * scale + shift };
  }

  // The gradients at one pixel of a layer normalisation, of every channel: dz = dy * scale and what becomes of it on the way to dx.
  function gradients(step, input, i, j) {
    const dz = pixel(step, "dy", i, j).map((dy, c) => dy * scaleOf(step, c));
    const known = statistics(step, input, i, j);
    const deviation = Math.sqrt(known.variance + step.constants.eps);
    const z = pixel(input, "y", i, j).map((x) => (x - known.mean) / deviation);
    const meanOfDz = mean(dz);
    const meanOfProduct = mean(dz.map((value, c) => value * z[c]));
    const dx = dz.map((value, c) => (value - meanOfDz - z[c] * meanOfProduct) / deviation);
    return { dz, z, deviation, meanOfDz, meanOfProduct, dx };
  }

  // The gradient for one number of the input.  The statistics of a batch normalisation are constants here; those of a
  // layer normalisation depend on every channel of the pixel.
  function dx(step, input, i, j, c) {
    if (step.kind === "layer_norm") return gradients(step, input, i, j).dx[c];
    const { scale, deviation } = normalized(step, input, i, j, c);
    return (Arithmetic.at(step.dy, step.shape, i, j, c) * scale) / deviation;
  }

  // The gradients of scale and shift of a channel are sums over its pixels.
  function ofParameters(step, input, c) {
    const [H, W] = step.shape;
    let [dscale, dshift] = [0, 0];
    const parts = [];
    for (let i = 0; i < H; i++)
      for (let j = 0; j < W; j++) {
        const { z } = normalized(step, input, i, j, c);
        const dy = Arithmetic.at(step.dy, step.shape, i, j, c);
        parts.push({ z, dy, product: z * dy });
        dscale += z * dy;
        dshift += dy;
      }
    return { parts, dscale, dshift };
  }

  // One number on its way, from left to right.
  function stages(step, { x, mean: middle, variance, deviation, z, scale, shift, y }) {
    const columns = [
      ["x", "", x],
      ["- mean", number(middle), x - middle],
      ["/ deviation", `sqrt(${number(variance)} + ${number(step.constants.eps)}) = ${number(deviation)}`, z],
      ...(step.constants.scale ? [["* scale", number(scale), z * scale]] : []),
      ...(step.constants.shift ? [["+ shift", number(shift), y]] : []),
    ];
    const line = (name, column, tag = "td") =>
      make("tr", {}, make("th", {}, name), ...columns.map((entries) => make(tag, {}, column(entries))));
    return make(
      "div",
      { class: "wide" },
      make(
        "table",
        { id: "stages" },
        make("caption", {}, "step by step"),
        line("", ([name]) => name, "th"),
        line("by", ([, by]) => by),
        line("gives", ([, , result]) => number(result)),
      ),
    );
  }

  // Forward, at the place looked at.
  function forward(step, input, at, set) {
    const known = statistics(step, input, at.i, at.j, at.o);
    const all = normalized(step, input, at.i, at.j, at.o, known);
    const { scale, shift } = step.constants;
    const batch = step.kind === "batch_norm";
    const told =
      `(x - mean) / sqrt(variance + eps)${scale ? " * scale" : ""}${shift ? " + shift" : ""} = ` +
      `(${number(all.x)} - ${operand(all.mean)}) / sqrt(${number(all.variance)} + ${number(step.constants.eps)})` +
      `${scale ? ` * ${operand(all.scale)}` : ""}${shift ? ` + ${operand(all.shift)}` : ""}`;
    const ofPixel = (key) => each(step, (c) => normalized(step, input, at.i, at.j, c, known)[key]);
    return [
      figures(samePixel(input, at), output(step, at, set), outputs(step, at, set)),
      formula("formula", `y = ${told} = ${number(all.y)}`),
      stages(step, all),
      make(
        "p",
        {},
        batch
          ? "Mean and variance are those of this channel over the pictures seen in training: the layer has learnt them. (While it trains, it takes those of the batch, all pixels of all its pictures.)"
          : `Mean and variance are those of the ${count(step.shape[2], "channel")} of this pixel.`,
      ),
      batch
        ? channelStrips("What the layer knows of each channel", at, set, {
            mean: step.constants.mean,
            variance: step.constants.variance,
            ...(scale ? { scale } : {}),
            ...(shift ? { shift } : {}),
          })
        : channelStrips("The channels of this pixel", at, set, { x: ofPixel("x"), z: ofPixel("z"), y: ofPixel("y") }),
    ];
  }

  // Backward: dx, drawn and as a formula, to which Backward adds the `ending` for the place.
  function backward(step, input, at, set, ending) {
    const { scale, eps } = step.constants;
    const all = normalized(step, input, at.i, at.j, at.o);
    const dy = number(Arithmetic.at(step.dy, step.shape, at.i, at.j, at.o));
    const value = number(dx(step, input, at.i, at.j, at.o));
    const root = `sqrt(${number(all.variance)} + ${number(eps)})`;
    const picture = gradient(input, at, (row, col) => dx(step, input, row, col, at.o));
    if (step.kind === "batch_norm")
      return [
        make("h3", {}, `dx = dy${scale ? " * scale" : ""} / sqrt(variance + eps): one factor for the whole channel`),
        figures(picture),
        formula("dx", `dx = ${dy}${scale ? ` * ${operand(all.scale)}` : ""} / ${root} = ${value}${ending(at.i, at.j, at.o)}`),
        make(
          "p",
          {},
          "Mean and variance are constants here. (While the layer trains, they are those of the batch: x moves them, and dx has two more terms.)",
        ),
        ...parameters(step, input, at),
      ];
    const { dz, z, meanOfDz, meanOfProduct, dx: dxs } = gradients(step, input, at.i, at.j);
    return [
      make("h3", {}, "dx: every channel of a pixel moves the mean and the variance of all"),
      figures(picture),
      formula(
        "dx",
        `dx = (dz - mean of dz - z * mean of dz * z) / sqrt(variance + eps)${scale ? ", with dz = dy * scale" : ""} = ` +
          `(${number(dz[at.o])} - ${operand(meanOfDz)} - ${operand(z[at.o])} * ${operand(meanOfProduct)}) / ${root} = ${value}${ending(at.i, at.j, at.o)}`,
      ),
      channelStrips("The channels of this pixel", at, set, { z, [scale ? "dz" : "dz = dy"]: dz, dx: dxs }),
      ...parameters(step, input, at),
    ];
  }

  function parameters(step, input, at) {
    const { scale, shift } = step.constants;
    if (!scale && !shift) return [];
    const { parts, dscale, dshift } = ofParameters(step, input, at.o);
    const picture = (key, label) =>
      computed(
        step,
        parts.map((part) => part[key]),
        { label },
      );
    const pixels = count(parts.length, "pixel");
    const sums = [
      scale ? `dscale: the sum of z * dy over ${pixels}, ${number(dscale)}` : null,
      shift ? `dshift: the sum of dy, ${number(dshift)}` : null,
    ];
    return [
      make("h3", {}, `Where the gradients of the parameters of channel ${step.channelName(at.o)} come from`),
      figures(
        picture("z", "z = (x - mean) / sqrt(variance + eps)"),
        picture("dy", "dy"),
        scale ? picture("product", "z * dy") : null,
      ),
      formula("dw", sums.filter(Boolean).join("; ")),
    ];
  }

  return { draws, normalized, dx, ofParameters, forward, backward };
})();
