// Backward: the gradient of the class that the network took the picture for, at every layer; how a layer hands it on to
// its input (col2im), and where the gradient of a weight comes from.  The arguments are those of Forward.
"use strict";

const Backward = (() => {
  const { number, operand, whole, count, clamp, largestOf, make, beside, figures, formula } = Drawing;
  const { canvas, marked, arrowKeys, map, grid } = Drawing;
  const { oneChannel, eachPixel, computed, output, outputs, inputs, inputGradients, dxName } = Maps;
  const { gradient, pointing, keep } = Maps;

  // The patches of all output pixels for one input channel, and dx, their sum.
  const patchesOf = (step, input, c) =>
    keep(`patches ${step.number} ${c}`, () => {
      const patches = Arithmetic.patches(step, input, c);
      return { patches, dx: Arithmetic.col2im(step, input, patches, patches.length) };
    });

  // What a step hands back to a number of one of its inputs; null if only the layer itself knows.
  function share(step, input, row, col, c) {
    const expert = Forward.expert(step);
    const [, W, C] = input.shape;
    if (expert) return expert.dx(step, input, row, col, c);
    if (Branches.meet(step)) return Branches.dx(step, input, row, col, c);
    if (step.window) return patchesOf(step, input, c).dx[row * W + col];
    if (step.kind === "flatten") return step.dy[(row * W + col) * C + c];
    if (["identity", "dropout"].includes(step.kind)) return Arithmetic.at(step.dy, step.shape, row, col, c);
    // Where nobody else takes that number, its gradient is what this layer handed back.
    return input.takers.length === 1 ? Arithmetic.at(input.dy, input.shape, row, col, c) : null;
  }
  const ofShared = (input, row, col, c) =>
    input.takers.length > 1
      ? `; ${count(input.takers.length, "layer")} take this number, and together they hand back ` +
        number(Arithmetic.at(input.dy, input.shape, row, col, c))
      : "";

  // The gradient that comes in from above, and what the ReLU lets through of it.
  function arriving(step, at, set, goal) {
    const withinRelu = step.relu && step.kind !== "relu";
    const [y, dy, dz] = ["y", "dy", "dz"].map((what) =>
      number(Arithmetic.at(step[what], step.shape, at.i, at.j, at.o)),
    );
    const passed = { label: "dz: dy, but 0 where the ReLU gave 0", boxes: [[at.i, at.j, 1, 1]] };
    return [
      figures(
        output(step, at, set, "dy"),
        withinRelu ? oneChannel(step, "dz", at.o, passed) : null,
        outputs(step, at, set, "dy"),
      ),
      formula(
        "dy",
        `if this number grew by a little e, the ${goal} would grow by dy * e, with dy = ${dy}`,
        step.takers.length > 1 ? sumOfShares(step, at) : "",
        withinRelu ? `; the ReLU gave ${y}, so dz = ${dz}` : "",
      ),
    ];
  }

  // Where several layers take a number, its gradient is the sum of what they hand back.
  function sumOfShares(step, at) {
    const shares = step.takers.map((taker) => share(taker, step, at.i, at.j, at.o));
    const sum = shares.includes(null) ? "" : `: ${shares.map((one, k) => (k ? operand : number)(one)).join(" + ")}`;
    return `; ${count(step.takers.length, "layer")} take it, and dy is the sum of what they hand back${sum}`;
  }

  // The same for the layer before branches, at a pixel to point at.
  function beforeBranches(source, join, at, set) {
    const { hint, choose } = pointing(at, set, "input", ["row", "col"], source.shape);
    const boxes = [[at.row, at.col, 1, 1]];
    const of = (taker) => [Branches.nameOf(join, taker), taker.label].filter(Boolean).join(": ");
    const shares = source.takers.map((taker) => ({
      taker,
      value: share(taker, source, at.row, at.col, at.c),
    }));
    const told = (value) => (value === null ? "unknown" : number(value));
    const values = shares.map(({ taker }) => eachPixel(source, (row, col) => share(taker, source, row, col, at.c)));
    const largest = largestOf([source.largest.dy, ...values.map(largestOf)]); // one scale of colours
    const maps = shares.map(({ taker, value }, k) =>
      computed(source, values[k], { label: `from ${of(taker)}: ${told(value)}`, boxes, largest }),
    );
    const total = number(Arithmetic.at(source.dy, source.shape, at.row, at.col, at.c));
    const where = `dx[${at.row}, ${at.col}], channel ${source.channelName(at.c)}`;
    const label = `${where}: ${total}${hint}`;
    const sum = oneChannel(source, "dy", at.c, { label, key: "input", boxes, choose, largest });
    const addends = shares.map(({ value }, k) => (k && value !== null ? operand(value) : told(value))).join(" + ");
    return [
      make(
        "h3",
        {},
        `Before the branches their gradients meet: dx is the sum of what each hands back to ${source.name}`,
      ),
      Branches.row([...maps, sum], [...maps.slice(1).map(() => "+"), "="]),
      formula("dx", `${where} = ${addends} = ${total}`),
      figures(inputs(source, at, set, "dy", "dx")),
    ];
  }

  // Of layers whose gradient does not go by patches: what they hand back at the same place, or all of it.
  function passedBack(step, input, at, set, player) {
    const expert = Forward.expert(step);
    if (expert) return expert.backward(step, input, at, set, (...place) => ofShared(input, ...place), player);
    const [, W, C] = input.shape;
    if (step.kind === "flatten") {
      const pixel = Math.floor(at.o / C);
      const place = { i: Math.floor(pixel / W), j: pixel % W, o: at.o % C };
      return [
        make("h3", {}, "Every number of the gradient goes back to its pixel"),
        figures(gradient(input, place, (row, col) => share(step, input, row, col, place.o))),
      ];
    }
    if (["identity", "dropout"].includes(step.kind)) {
      const heading =
        "The gradient goes back unchanged" + (step.kind === "dropout" ? ", as the numbers came forward" : "");
      const passed = gradient(input, at, (row, col) => share(step, input, row, col, at.o));
      return [
        make("h3", {}, heading),
        figures(passed),
        formula("dx", `dx = dy = ${number(share(step, input, at.i, at.j, at.o))}${ofShared(input, at.i, at.j, at.o)}`),
      ];
    }
    const place = input.shape.every((length, axis) => length === step.shape[axis]) ? [at.i, at.j, at.o] : null;
    const value = place && number(Arithmetic.at(input.dy, input.shape, ...place));
    return [
      make("h3", {}, `dx: what ${step.label} hands back (how it computes that, this page does not know)`),
      figures(
        place
          ? oneChannel(input, "dy", at.o, {
              label: `${dxName(input)}, channel ${input.channelName(at.o)}: pixel (${at.i}, ${at.j}) is ${value}`,
              boxes: [[at.i, at.j, 1, 1]],
            })
          : inputGradients(input, at, set),
      ),
    ];
  }

  // Each output pixel hands back a patch; the patches overlap, and where they do they add up.
  function handedBack(step, input, at, set, player) {
    const c = step.w ? at.c : at.o;
    const { patches, dx } = patchesOf(step, input, c);
    const added = Math.min(at.patches, patches.length);
    const { parts, sum } = Arithmetic.inputGradient(step, input, patches, at.row, at.col, added);
    const there = parts.filter((part) => part.added);
    const heading =
      { dense: "dx = dz @ w.T: every output hands back its share" }[step.kind] ??
      (step.w
        ? "col2im: every output pixel hands back a patch, and where patches overlap they add up"
        : "Every window hands its gradient back");
    const pixel =
      step.kind === "dense"
        ? []
        : [gradientMap(step, input, patches, dx, added, at, set, c), patchesOver(step, patches, parts, at)];
    return [
      make("h3", {}, heading),
      beside(...pixel, step.w ? inputGradients(input, at, set) : null),
      patches.length === 1
        ? null
        : player("patches", patches.length + 1, `patches added: ${whole(added)} of ${whole(patches.length)}`),
      formula(
        "dx",
        `dx[${at.row}, ${at.col}], channel ${input.channelName(c)}`,
        !parts.length
          ? " = 0: no window lies over it"
          : there.length < parts.length
            ? `: so far ${there.length} of ${count(parts.length, "number")}, which add up to ${number(sum)}`
            : `: ${parts.length === 1 ? "one number" : `the sum of ${count(parts.length, "number")}`}, ${number(sum)}`,
        ofShared(input, at.row, at.col, c),
      ),
    ];
  }

  // The sum of the first patches, on the input: pointing chooses the pixel whose patches are shown.
  function gradientMap(step, input, patches, dx, added, at, set, c) {
    const { size, stride, dilation, padding } = step.window;
    const [H, W] = input.shape;
    const OW = step.shape[1];
    const partial = added < patches.length;
    const sum = partial ? Arithmetic.col2im(step, input, patches, added) : dx;
    const latest = Math.max(added - 1, 0);
    const [i, j] = partial ? [Math.floor(latest / OW), latest % OW] : [at.i, at.j];
    const span = size.map((taps, axis) => (taps - 1) * dilation[axis] + 1);
    const patch = [i * stride[0] - padding[0][0], j * stride[1] - padding[1][0], ...span, "faint"];
    const { hint, choose } = pointing(at, set, "input", ["row", "col"], input.shape);
    return map({
      label: `dx, channel ${input.channelName(c)}${partial ? `, from ${count(added, "output pixel")}` : ""}; large: the patch of output pixel (${i}, ${j}); small: pixel (${at.row}, ${at.col})${hint}`,
      shape: input.shape,
      image: canvas([H, W], (row, col) => sum[row * W + col], largestOf(dx)),
      frame: padding,
      key: "input",
      boxes: [patch, [at.row, at.col, 1, 1]],
      choose,
    });
  }

  // The patches over one input pixel, placed as their output pixels lie, each with what it puts there.
  function patchesOver(step, patches, parts, at) {
    const { size } = step.window;
    const OW = step.shape[1];
    const largest = largestOf(parts.flatMap(({ i, j }) => patches[i * OW + j]));
    const order = (key) => [...new Set(parts.map((part) => part[key]))].sort((a, b) => a - b);
    const rows = order("i");
    const cols = order("j");
    return make(
      "div",
      { class: "wide" },
      make(
        "p",
        { class: "tight" },
        `The patches over pixel (${at.row}, ${at.col}); marked and written: what each puts there`,
      ),
      make(
        "div",
        { class: "patches", id: "patches" },
        ...parts.map(({ i, j, kh, kw, value, added }) => {
          const image = canvas(size, (row, col) => patches[i * OW + j][row * size[1] + col], largest);
          return make(
            "div",
            {
              style: `grid-area:${rows.indexOf(i) + 1}/${cols.indexOf(j) + 1}`,
              class: added ? null : "waiting",
            },
            marked(image, size, [[kh, kw, 1, 1]], {
              class: "map patch",
              style: `aspect-ratio:${size[1]}/${size[0]};width:calc(var(--patch) * ${Math.min(1, size[1] / size[0])})`,
              title: `output pixel (${i}, ${j})`,
            }),
            number(value),
          );
        }),
      ),
    );
  }

  // A weight meets every output pixel once, so its gradient is a sum over all of them.
  function ofWeight(
    step,
    input,
    at,
    set,
    { way = `channel ${at.c} to ${at.o}`, x = "x: what it met at each output pixel", dz = "dz there" } = {},
  ) {
    const { first, channels } = Arithmetic.seen(step, input, at.o);
    if (at.c < first || at.c >= first + channels)
      return [
        make("h3", {}, `There is no weight from channel ${at.c} to ${at.o}`),
        make("p", {}, `They are of different groups; output channel ${at.o} sees input channels from ${first} to ${first + channels - 1}.`),
      ];
    const { parts, sum } = Arithmetic.weightGradient(step, input, at.kh, at.kw, at.c, at.o);
    const [OH, OW] = step.shape;
    const picture = (key, label) => {
      const value = (i, j) => (key === "x" && !parts[i * OW + j].inside ? null : parts[i * OW + j][key]);
      return map({ label, shape: [OH, OW], image: canvas([OH, OW], value, largestOf(parts.map((part) => part[key]))) });
    };
    if (step.kind === "dense")
      return [
        make("h3", {}, `Where the gradient of one weight comes from: w[${at.c}, ${at.o}]`),
        formula("dw", `dw: x * dz = ${number(parts[0].x)} * ${number(parts[0].dz)} = ${number(sum)}`),
      ];
    return [
      make("h3", {}, `Where the gradient of one weight comes from: w[${at.kh}, ${at.kw}], ${way}`),
      weightButtons(step, input, at, set),
      figures(
        picture("x", x),
        picture("dz", dz),
        picture("product", "x * dz"),
      ),
      formula("dw", `dw: the sum of x * dz over ${count(parts.length, "pixel")}, ${number(sum)}`),
    ];
  }

  // In a transposed convolution, picture and gradient are in each other's place.
  function ofTurnedWeight(step, input, at, set) {
    const { conv, picture } = Enlarging.turned(step, input);
    return ofWeight(conv, picture, { ...at, c: at.o, o: at.c }, set, {
      way: `channel ${at.c} to ${at.o}`,
      x: "dz: where it took each input pixel",
      dz: "x: that input pixel",
    });
  }

  // The kernel as buttons: one stop for the tab key, the arrow keys go from weight to weight.
  function weightButtons(step, input, at, set) {
    const { size } = step.window;
    const onkeydown = arrowKeys((down, right) => {
      const [kh, kw] = [clamp(at.kh + down, size[0]), clamp(at.kw + right, size[1])];
      set({ kh, kw });
      document.querySelector(`[data-key="w${kh},${kw}"]`).focus();
    });
    return grid(
      "choose a weight",
      size,
      (kh, kw) => {
        const w = number(Arithmetic.weight(step, input, kh, kw, at.c, at.o));
        const pressed = kh === at.kh && kw === at.kw;
        return make(
          "td",
          {},
          make(
            "button",
            {
              type: "button",
              "data-key": `w${kh},${kw}`,
              "aria-label": `w[${kh}, ${kw}] = ${w}`,
              "aria-pressed": pressed,
              tabindex: pressed ? 0 : -1,
              onclick: () => set({ kh, kw }),
            },
            w,
          ),
        );
      },
      { onkeydown },
    );
  }

  // The elements that show a step; `goal` is what the gradient is of.
  function panel(step, from, at, set, player, goal) {
    const parts = arriving(step, at, set, goal);
    if (Branches.meet(step))
      parts.push(...Branches.backward(step, from, at, set), ...beforeBranches(step.source, step, at, set));
    else if (step.window && !Forward.expert(step)) parts.push(...handedBack(step, from[0], at, set, player));
    else if (from.length) parts.push(...passedBack(step, from[0], at, set, player));
    if (step.kind === "conv_transpose") parts.push(...ofTurnedWeight(step, from[0], at, set));
    else if (step.w) parts.push(...ofWeight(step, from[0], at, set));
    return parts;
  }

  return { panel, patchesOf, share };
})();
