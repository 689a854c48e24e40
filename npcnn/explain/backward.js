// Backward: the gradient of the class that the network took the picture for, at every layer; how a layer hands it on to
// its input (col2im), and where the gradient of a weight comes from.  The arguments are those of Forward.
"use strict";

const Backward = (() => {
  const { number, whole, count, all, largestOf, make, canvas, marked, map, grid } = Drawing;
  const { oneChannel, sheet, branches, pointing } = Maps;

  // The patches of all output pixels for one input channel; the last ones are kept: pointing asks often.
  let kept = { key: null };
  function patchesOf(step, input, c) {
    const key = `${step.number} ${c}`;
    if (kept.key !== key) kept = { key, patches: Arithmetic.patches(step, input, c) };
    return kept.patches;
  }

  // The gradient that comes in from above, and what the ReLU lets through of it.
  function arriving(step, at, set, className) {
    const dy = Arithmetic.at(step.dy, step.shape, at.i, at.j, at.o);
    const y = Arithmetic.at(step.y, step.shape, at.i, at.j, at.o);
    const dz = (i, j) => Arithmetic.dz(step, i, j, at.o);
    const { hint, choose } = pointing(at, set, "output", ["i", "j"], step.shape);
    const boxes = [[at.i, at.j, 1, 1]];
    return [
      make(
        "div",
        { class: "row maps" },
        oneChannel(step, "dy", at.o, {
          label: `dy, channel ${step.channelName(at.o)}: pixel (${at.i}, ${at.j}) is ${number(dy)}${hint}`,
          key: "output",
          boxes,
          choose,
        }),
        step.relu
          ? map({
              label: "dz: dy, but 0 where the ReLU gave 0",
              shape: step.shape,
              image: canvas(step.shape, dz, step.largest.dy),
              boxes,
            })
          : null,
        sheet(step, "dy", {
          label: `dy, ${all(step.shape[2], "channel")}`,
          chosen: at.o,
          pick: (o) => set({ o, chosen: true }),
          key: "outputs",
        }),
      ),
      make(
        "p",
        { class: "formula", id: "dy" },
        `if this number grew by a little e, the logit of ${className} would grow by dy * e, with dy = ${number(dy)}`,
        step.relu ? `; the ReLU gave ${number(y)}, so dz = ${number(dz(at.i, at.j))}` : "",
      ),
    ];
  }

  // Each output pixel hands back a patch; the patches overlap, and where they do they add up.
  function handedBack(step, input, at, set, player) {
    const c = step.w ? at.c : at.o;
    const patches = patchesOf(step, input, c);
    const added = Math.min(at.patches, patches.length);
    const { parts } = Arithmetic.inputGradient(step, input, patches, at.row, at.col);
    const OW = step.shape[1];
    const there = parts.filter(({ i, j }) => i * OW + j < added);
    const sum = there.reduce((total, part) => total + part.value, 0);
    const heading =
      { dense: "dx = dz @ w.T: every output hands back its share" }[step.kind] ??
      (step.w
        ? "col2im: every output pixel hands back a patch, and where patches overlap they add up"
        : "Every window hands its gradient back");
    const shared = step.feeds > 1;
    const total = number(Arithmetic.at(input.dy, input.shape, at.row, at.col, c));
    return [
      make("h3", {}, heading),
      make(
        "div",
        { class: "row" },
        ...(step.kind === "dense"
          ? []
          : [gradientMap(step, input, patches, added, at, set, c), patchesOver(step, patches, parts, added, at)]),
        step.w
          ? sheet(input, "dy", {
              label: shared
                ? `dx from the ${step.feeds} layers that take this input together, ${all(input.shape[2], "channel")}`
                : `dx, ${all(input.shape[2], "channel")}`,
              chosen: at.c,
              pick: (chosen) => set({ c: chosen }),
              key: "inputs",
            })
          : null,
      ),
      patches.length === 1
        ? null
        : player("patches", patches.length + 1, `patches added: ${whole(added)} of ${whole(patches.length)}`),
      make(
        "p",
        { class: "formula", id: "dx" },
        parts.length
          ? `dx[${at.row}, ${at.col}], channel ${c}: `
          : `dx[${at.row}, ${at.col}], channel ${c} = 0: no window lies over it`,
        !parts.length
          ? ""
          : there.length < parts.length
            ? `so far ${there.length} of ${count(parts.length, "number")}, which add up to ${number(sum)}`
            : `${parts.length === 1 ? "one number" : `the sum of ${count(parts.length, "number")}`}, ${number(sum)}`,
        shared ? `; ${step.feeds} layers take this input, and together they hand back ${total}` : "",
      ),
    ];
  }

  // The sum of the first patches, on the input: pointing chooses the pixel whose patches are shown.
  function gradientMap(step, input, patches, added, at, set, c) {
    const { size, stride, dilation, padding } = step.window;
    const [H, W] = input.shape;
    const OW = step.shape[1];
    const sum = Arithmetic.col2im(step, input, patches, added);
    const largest = largestOf(Arithmetic.col2im(step, input, patches, patches.length));
    const partial = added < patches.length;
    const latest = Math.max(added - 1, 0);
    const [i, j] = partial ? [Math.floor(latest / OW), latest % OW] : [at.i, at.j];
    const span = size.map((taps, axis) => (taps - 1) * dilation[axis] + 1);
    const patch = [i * stride[0] - padding[0][0], j * stride[1] - padding[1][0], ...span, "faint"];
    const { hint, choose } = pointing(at, set, "input", ["row", "col"], input.shape);
    return map({
      label: `dx, channel ${c}${partial ? `, from ${count(added, "output pixel")}` : ""}; large: the patch of output pixel (${i}, ${j}); small: pixel (${at.row}, ${at.col})${hint}`,
      shape: input.shape,
      image: canvas([H, W], (row, col) => sum[row * W + col], largest),
      frame: padding,
      key: "input",
      boxes: [patch, [at.row, at.col, 1, 1]],
      choose,
    });
  }

  // The patches over one input pixel, placed as their output pixels lie, each with what it puts there.
  function patchesOver(step, patches, parts, added, at) {
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
        ...parts.map(({ i, j, kh, kw, value }) => {
          const image = canvas(size, (row, col) => patches[i * OW + j][row * size[1] + col], largest);
          return make(
            "div",
            {
              style: `grid-area:${rows.indexOf(i) + 1}/${cols.indexOf(j) + 1}`,
              class: i * OW + j < added ? null : "waiting",
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
  function ofWeight(step, input, at, set) {
    const { parts, sum } = Arithmetic.weightGradient(step, input, at.kh, at.kw, at.c, at.o);
    const [OH, OW] = step.shape;
    const picture = (key, label) => {
      const value = (i, j) => (key === "x" && !parts[i * OW + j].inside ? null : parts[i * OW + j][key]);
      return map({ label, shape: [OH, OW], image: canvas([OH, OW], value, largestOf(parts.map((part) => part[key]))) });
    };
    if (step.kind === "dense")
      return [
        make("h3", {}, `Where the gradient of one weight comes from: w[${at.c}, ${at.o}]`),
        make(
          "p",
          { class: "formula", id: "dw" },
          `dw: x * dz = ${number(parts[0].x)} * ${number(parts[0].dz)} = ${number(sum)}`,
        ),
      ];
    return [
      make("h3", {}, `Where the gradient of one weight comes from: w[${at.kh}, ${at.kw}], channel ${at.c} to ${at.o}`),
      weightButtons(step, input, at, set),
      make(
        "div",
        { class: "row maps" },
        picture("x", "x: what it met at each output pixel"),
        picture("dz", "dz there"),
        picture("product", "x * dz"),
      ),
      make(
        "p",
        { class: "formula", id: "dw" },
        `dw: the sum of x * dz over ${count(parts.length, "pixel")}, ${number(sum)}`,
      ),
    ];
  }

  // The kernel as buttons: one stop for the tab key, the arrow keys go from weight to weight.
  function weightButtons(step, input, at, set) {
    const { size } = step.window;
    const onkeydown = (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      const [kh, kw] = [at.kh + move[0], at.kw + move[1]].map((place, axis) => Drawing.clamp(place, size[axis]));
      set({ kh, kw });
      document.querySelector(`[data-key="w${kh},${kw}"]`).focus();
    };
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

  // The elements that show a step.
  function panel(step, from, at, set, player, className) {
    const parts = arriving(step, at, set, className);
    if (step.kind === "concat")
      parts.push(
        make("h3", {}, "Every branch gets back the gradient of its own channels"),
        branches(step, from, "dy", at, set),
      );
    if (step.window) parts.push(...handedBack(step, from[0], at, set, player));
    if (step.w) parts.push(...ofWeight(step, from[0], at, set));
    return parts;
  }

  return { panel, patchesOf };
})();
