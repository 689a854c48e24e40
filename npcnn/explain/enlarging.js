// Layers that make pictures larger: ZeroPad2D, UpSample2D and Conv2DTranspose.  A pixel of their output is a sum over
// pixels of the input, each times a share or, in a transposed convolution, times a tap of the kernel; backward the same
// pixels meet the other way round.  First the numbers, then what is drawn of them; `at`, `set` and `player` are those of
// Forward.
"use strict";

const Enlarging = (() => {
  const { number, clamp, make, figures, formula } = Drawing;
  const { oneChannel, eachPixel, computed, output, outputs, inputs, inputGradients, box, pointing, keep } = Maps;
  const { told, products, tables } = Convolution;
  const upTo = (length) => Array.from({ length }, (_, k) => k);

  // What a place of the output (to) takes from one of the input (from) along an axis, 0 the height and 1 the width: a
  // share, or the number of a tap; null where they do not meet.
  const KINDS = {
    zero_pad: (step, input, axis, from, to) => (from + step.constants.padding[axis][0] === to ? 1 : null),
    upsample: (step, input, axis, from, to) => {
      const factor = step.shape[axis] / input.shape[axis];
      if (step.constants.mode === "nearest") return Math.floor(to / factor) === from ? 1 : null;
      // Where the centre of the output pixel lies among those of the input, which it does not leave.
      const centre = clamp((to + 0.5) / factor - 0.5, input.shape[axis]);
      return Math.max(1 - Math.abs(centre - from), 0) || null;
    },
    conv_transpose: (step, input, axis, from, to) => {
      const { size, stride, dilation, padding } = step.window;
      const tap = (to + padding[axis][0] - from * stride[axis]) / dilation[axis];
      return Number.isInteger(tap) && tap >= 0 && tap < size[axis] ? tap : null;
    },
  };
  const draws = (kind) => kind in KINDS;

  // Along either axis, whom each place of the output (sources) and of the input (targets) meets, as [{ place, by }].
  function meetings(step, input) {
    step.meetings ??= [0, 1].map((axis) => {
      const by = (from, to) => KINDS[step.kind](step, input, axis, from, to);
      const met = (length, how) =>
        upTo(length)
          .map((place) => ({ place, by: how(place) }))
          .filter((one) => one.by !== null);
      return {
        sources: upTo(step.shape[axis]).map((to) => met(input.shape[axis], (from) => by(from, to))),
        targets: upTo(input.shape[axis]).map((from) => met(step.shape[axis], (to) => by(from, to))),
      };
    });
    return step.meetings;
  }

  // The sum of x * w over the pixels that a pixel meets, in some channels; they lie in a rectangle of `size`.
  function total(step, input, way, [row, col], channels, x, w) {
    const [down, across] = meetings(step, input).map((axis, k) => axis[way][[row, col][k]]);
    let sum = 0;
    const terms = down.flatMap((r) =>
      across.flatMap((s) =>
        channels.map((c) => {
          const factors = { x: x(r.place, s.place, c), w: w(r.by, s.by, c) };
          const product = factors.x * factors.w;
          sum += product;
          return { row: r.place, col: s.place, by: [r.by, s.by], c, inside: true, ...factors, product, sum };
        }),
      ),
    );
    return { terms, size: [down.length, across.length], sum };
  }
  const shares = (down, across) => down * across;

  // The convolution that goes from the output of a transposed one back to its input, and the picture it goes over: the
  // gradient.
  const turned = (step, input) => ({
    conv: { ...step, kind: "convolution", b: null, relu: false, shape: input.shape, dz: input.y },
    picture: { ...step, y: step.dz },
  });

  // One number of the output, and all that it takes.
  function made(step, input, i, j, o) {
    const x = (row, col, c) => Arithmetic.at(input.y, input.shape, row, col, c);
    const { conv, picture } = turned(step, input);
    const all = step.w
      ? total(step, input, "sources", [i, j], upTo(input.shape[2]), x, (kh, kw, c) =>
          Arithmetic.weight(conv, picture, kh, kw, o, c),
        )
      : total(step, input, "sources", [i, j], [o], x, shares);
    const bias = step.b ? step.b[o] : 0;
    const z = all.sum + bias;
    return { ...all, bias, z, y: step.relu ? Math.max(z, 0) : z };
  }

  // One number of the gradient for the input, likewise.
  function handed(step, input, row, col, c) {
    if (step.w) {
      const { conv, picture } = turned(step, input);
      return { ...Arithmetic.convolution(conv, picture, row, col, c), size: step.window.size };
    }
    const dy = (i, j) => Arithmetic.at(step.dy, step.shape, i, j, c);
    return total(step, input, "targets", [row, col], [c], dy, shares);
  }
  const gradientOf = (step, input, c) =>
    keep(`enlarging ${step.number} ${c}`, () => eachPixel(input, (row, col) => handed(step, input, row, col, c).sum));
  const dx = (step, input, row, col, c) => gradientOf(step, input, c)[row * input.shape[1] + col];

  // Forward, at the place looked at.
  const forward = (step, ...rest) => (step.w ? transposed : copied)(step, ...rest);

  // Through padding and upsampling: one pixel or the shares of several.
  function copied(step, input, at, set) {
    const all = made(step, input, at.i, at.j, at.o);
    const { terms } = all;
    const { padding } = step.constants;
    const boxes = padding ? [[at.i - padding[0][0], at.j - padding[1][0], 1, 1]] : [box(terms)];
    const label = `input, channel ${input.channelName(at.o)}: what the output pixel is made of${padding ? " (hatched: padding)" : ""}`;
    return [
      figures(
        oneChannel(input, "y", at.o, { label, frame: padding, boxes }),
        output(step, at, set),
        outputs(step, at, set),
      ),
      formula("formula", `y = ${terms.length ? sumOf("x", step, all) : "0: padding, no pixel of the input"}`),
      ...tablesOf("x", ["the pixels", "their shares"], all),
    ];
  }
  // A sum with shares: one pixel as it is, or the tables of several.
  const sumOf = (name, step, all) => {
    const [{ row, col }, ...more] = all.terms;
    return more.length ? `the ${told(step, all)[0]}` : `${name}[${row}, ${col}] = ${number(all.sum)}`;
  };
  const tablesOf = (x, of, all) => (all.terms.length > 1 ? [tables({ ...all, x, of })] : []);

  // Through a transposed convolution: the pixels whose kernels reach the output pixel, each with the tap that does.
  function transposed(step, input, at, set, player) {
    const all = made(step, input, at.i, at.j, at.o);
    const { terms } = all;
    const cursor = clamp(at.cursor, terms.length);
    const now = terms[cursor] ?? { c: at.c }; // with a stride larger than the kernel there may be no terms
    const boxes = terms.length ? [box(terms), [now.row, now.col, 1, 1, "faint"]] : [];
    const label = `input, channel ${input.channelName(now.c)}: the pixels whose kernels reach the output pixel, and among them that of the multiplication below`;
    const pick = ({ c }) => set(terms.length ? { cursor: cursor - now.c + c } : { c });
    return [
      figures(
        oneChannel(input, "y", now.c, { label, boxes }),
        output(step, at, set),
        inputs(input, { ...at, c: now.c }, pick),
        outputs(step, at, set),
      ),
      formula("formula", terms.length ? "" : "no kernel reaches this pixel: ", ...told(step, all)),
      ...(terms.length
        ? products(
            {
              ...all,
              heading: `The pixels in input channel ${input.channelName(now.c)}, each times the tap that reaches here: they add up to`,
              of: ["the pixels", "the tap of each"],
              places: { pixel: ({ row, col }) => `${row}, ${col}`, tap: ({ by }) => by.join(", ") },
            },
            cursor,
            set,
            player,
          )
        : []),
    ];
  }

  // Backward: dx, drawn and as a formula, to which Backward adds the `ending` for the place.
  function backward(step, input, at, set, ending, player) {
    const c = step.w ? at.c : at.o;
    const all = handed(step, input, at.row, at.col, c);
    const { hint, choose } = pointing(at, set, "input", ["row", "col"], input.shape);
    const where = `dx[${at.row}, ${at.col}], channel ${input.channelName(c)}`;
    const label = `${where}: ${number(all.sum)}${hint}`;
    const boxes = [[at.row, at.col, 1, 1]];
    const picture = computed(input, gradientOf(step, input, c), { label, key: "input", boxes, choose });
    const { heading, seen, sum, below } = (step.w ? gathered : returned)(step, input, at, set, all, player);
    return [
      make("h3", {}, heading),
      figures(seen, picture, step.w ? inputGradients(input, at, set) : null),
      formula("dx", `${where} = ${sum}${ending(at.row, at.col, c)}`),
      ...below,
    ];
  }

  // Of padding and upsampling.
  function returned(step, input, at, set, all) {
    const { padding } = step.constants;
    const inner = padding ? [[padding[0][0], padding[1][0], input.shape[0], input.shape[1], "faint"]] : [];
    const label = `dy, channel ${step.channelName(at.o)}: where the pixel of the input went${padding ? ", and the border that is cut off" : ""}`;
    return {
      heading: padding
        ? "The border is cut off, and every pixel gets back its gradient"
        : "Every output pixel hands its gradient to the pixels that it is made of, by their shares",
      seen: oneChannel(step, "dy", at.o, { label, boxes: [...inner, box(all.terms)] }),
      sum: sumOf("dy", step, all),
      below: tablesOf("dy", ["the output pixels", "the shares"], all),
    };
  }

  // Of a transposed convolution: the view of the convolution of dz that dx is.
  function gathered(step, input, at, set, all, player) {
    const name = step.relu ? "dz" : "dy";
    const cursor = clamp(at.cursor, all.terms.length);
    const now = all.terms[cursor];
    const channel = step.channelName(now.c);
    return {
      heading: `dx is a convolution of ${name}: every input pixel gathers from the output pixels that its kernel reached`,
      seen: oneChannel(step, "dz", now.c, {
        label: `${name}, channel ${channel}: the patch that the kernel sees (hatched: padding), and in it the pixel of the multiplication below`,
        frame: step.window.padding,
        boxes: [box(all.terms), [now.row, now.col, 1, 1, "faint"]],
      }),
      sum: `the ${told({}, all)[0]}`,
      below: products(
        {
          ...all,
          heading: `The patch in channel ${channel} of ${name}: its products add up to`,
          x: name,
          places: { "row, column": ({ kh, kw }) => `${kh}, ${kw}` },
        },
        cursor,
        set,
        player,
      ),
    };
  }

  return { draws, made, dx, turned, forward, backward };
})();
