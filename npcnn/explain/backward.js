// Backward: the gradient of the class that the network took the picture for, at every layer; how a layer hands it on to
// its input (col2im), and where the gradient of a weight comes from.  The arguments are those of Forward.
"use strict";

const Backward = (() => {
  const { number, whole, count, clamp, largestOf, make, beside, figures, formula } = Drawing;
  const { canvas, marked, arrowKeys, map, grid } = Drawing;
  const { oneChannel, output, outputs, inputs, branches, pointing } = Maps;

  // The patches of all output pixels for one input channel, and dx, their sum; the last ones are kept for pointing.
  let kept = { key: null };
  function patchesOf(step, input, c) {
    const key = `${step.number} ${c}`;
    if (kept.key !== key) {
      const patches = Arithmetic.patches(step, input, c);
      kept = { key, patches, dx: Arithmetic.col2im(step, input, patches, patches.length) };
    }
    return kept;
  }

  // The gradient that comes in from above, and what the ReLU lets through of it.
  function arriving(step, at, set, className) {
    const [y, dy, dz] = ["y", "dy", "dz"].map((what) =>
      number(Arithmetic.at(step[what], step.shape, at.i, at.j, at.o)),
    );
    const passed = { label: "dz: dy, but 0 where the ReLU gave 0", boxes: [[at.i, at.j, 1, 1]] };
    return [
      figures(
        output(step, at, set, "dy"),
        step.relu ? oneChannel(step, "dz", at.o, passed) : null,
        outputs(step, at, set, "dy"),
      ),
      formula(
        "dy",
        `if this number grew by a little e, the logit of ${className} would grow by dy * e, with dy = ${dy}`,
        step.relu ? `; the ReLU gave ${y}, so dz = ${dz}` : "",
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
    const shared = step.feeds > 1;
    const total = number(Arithmetic.at(input.dy, input.shape, at.row, at.col, c));
    const dxName = shared ? `dx from the ${step.feeds} layers that take this input together` : "dx";
    const pixel =
      step.kind === "dense"
        ? []
        : [gradientMap(step, input, patches, dx, added, at, set, c), patchesOver(step, patches, parts, at)];
    return [
      make("h3", {}, heading),
      beside(...pixel, step.w ? inputs(input, at, set, "dy", dxName) : null),
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
        shared ? `; ${step.feeds} layers take this input, and together they hand back ${total}` : "",
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
  function ofWeight(step, input, at, set) {
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
      make("h3", {}, `Where the gradient of one weight comes from: w[${at.kh}, ${at.kw}], channel ${at.c} to ${at.o}`),
      weightButtons(step, input, at, set),
      figures(
        picture("x", "x: what it met at each output pixel"),
        picture("dz", "dz there"),
        picture("product", "x * dz"),
      ),
      formula("dw", `dw: the sum of x * dz over ${count(parts.length, "pixel")}, ${number(sum)}`),
    ];
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
