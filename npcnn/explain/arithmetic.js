// The arithmetic of the page: the numbers it shows are computed here from what the network computed, with the formulas
// of npcnn.reference.  No drawing.  A step is {kind, inputs, shape: [H, W, C], y, dy, window, w, b, groups, ...}; y, dy
// and w are Float32Array, laid out as in NumPy.  The tests compare every function with npcnn.functional.
"use strict";

const Arithmetic = {
  // Value of an array of shape (H, W, C) at a position.
  at(values, [, W, C], row, col, c) {
    return values[(row * W + col) * C + c];
  },

  // The input channels that output channel o of a convolution sees, those of its group: the first, and how many.
  seen(step, input, o) {
    const channels = input.shape[2] / step.groups;
    return { first: Math.floor((o * step.groups) / step.shape[2]) * channels, channels };
  },

  // Value of the weights of a step, (KH, KW, C_in / groups, C_out); 0 from a channel to one of another group.
  weight(step, input, kh, kw, c, o) {
    const { first, channels } = this.seen(step, input, o);
    if (c < first || c >= first + channels) return 0;
    return step.w[((kh * step.window.size[1] + kw) * channels + c - first) * step.shape[2] + o];
  },

  // Where tap (kh, kw) of the window of output pixel (i, j) lies on the input; outside it is padding, and in ceil mode
  // there may be something beyond the padding.
  tap(step, input, i, j, kh, kw) {
    const { stride, dilation, padding } = step.window;
    const [H, W] = input.shape;
    const row = i * stride[0] + kh * dilation[0] - padding[0][0];
    const col = j * stride[1] + kw * dilation[1] - padding[1][0];
    const inside = row >= 0 && row < H && col >= 0 && col < W;
    return { kh, kw, row, col, inside, beyond: row >= H + padding[0][1] || col >= W + padding[1][1] };
  },

  // All taps of that window, row by row.
  taps(step, input, i, j) {
    const [KH, KW] = step.window.size;
    const taps = [];
    for (let kh = 0; kh < KH; kh++) for (let kw = 0; kw < KW; kw++) taps.push(this.tap(step, input, i, j, kh, kw));
    return taps;
  },

  // One row of the im2col matrix, one column of the weights, and what becomes of them:
  // z = b + sum of x * w, y = max(z, 0) with a ReLU.
  convolution(step, input, i, j, o) {
    const terms = [];
    const { first, channels } = this.seen(step, input, o);
    let sum = 0;
    for (const tap of this.taps(step, input, i, j))
      for (let c = first; c < first + channels; c++) {
        const x = tap.inside ? this.at(input.y, input.shape, tap.row, tap.col, c) : 0;
        const w = this.weight(step, input, tap.kh, tap.kw, c, o);
        sum += x * w;
        terms.push({ ...tap, c, x, w, product: x * w, sum });
      }
    const bias = step.b ? step.b[o] : 0;
    const z = sum + bias;
    return { terms, sum, bias, z, y: step.relu ? Math.max(z, 0) : z };
  },

  // One number of the im2col matrix: row i * OW + j, column (kh * KW + kw) * C + c; null for padding.  C are the input
  // channels that output channel o sees.
  im2col(step, input, row, column, o = 0) {
    const { first, channels: C } = this.seen(step, input, o);
    const OW = step.shape[1];
    const KW = step.window.size[1];
    const k = Math.floor(column / C);
    const tap = this.tap(step, input, Math.floor(row / OW), row % OW, Math.floor(k / KW), k % KW);
    return tap.inside ? this.at(input.y, input.shape, tap.row, tap.col, first + (column % C)) : null;
  },

  // The window of a pooling: its values (null for padding), which of them won, and the weight of each in the result.
  pooling(step, input, i, j, c) {
    const taps = this.taps(step, input, i, j);
    const values = taps.map((tap) => (tap.inside ? this.at(input.y, input.shape, tap.row, tap.col, c) : null));
    if (step.kind === "max_pool") {
      let winner = -1; // the first of equals
      values.forEach((value, k) => {
        if (value !== null && (winner < 0 || value > values[winner])) winner = k;
      });
      return { taps, values, winner, weights: values.map((_, k) => (k === winner ? 1 : 0)), y: values[winner] };
    }
    const weight = 1 / taps.filter((tap) => (step.count_include_pad ? !tap.beyond : tap.inside)).length;
    return {
      taps,
      values,
      winner: -1,
      weights: values.map((value) => (value === null ? 0 : weight)),
      y: values.reduce((sum, value) => sum + (value === null ? 0 : value * weight), 0),
    };
  },

  // The gradient before the ReLU: dz = dy where the ReLU let something through, else 0.  Every step keeps it as step.dz.
  dz(step) {
    return step.relu ? step.dy.map((dy, k) => (step.y[k] > 0 ? dy : 0)) : step.dy;
  },

  // What output pixel (i, j) hands back to channel c of every pixel under its window, KH x KW numbers: a row of
  // dcols = dz @ w^T, of that channel.
  patch(step, input, i, j, c) {
    const taps = this.taps(step, input, i, j);
    if (!step.w) {
      const weights = this.pooling(step, input, i, j, c).weights;
      const dz = this.at(step.dz, step.shape, i, j, c);
      return taps.map((_, k) => weights[k] * dz);
    }
    return taps.map(({ kh, kw }) => {
      let value = 0;
      for (let o = 0; o < step.shape[2]; o++)
        value += this.at(step.dz, step.shape, i, j, o) * this.weight(step, input, kh, kw, c, o);
      return value;
    });
  },

  // The patches of all output pixels, row by row.
  patches(step, input, c) {
    const [OH, OW] = step.shape;
    const patches = [];
    for (let i = 0; i < OH; i++) for (let j = 0; j < OW; j++) patches.push(this.patch(step, input, i, j, c));
    return patches;
  },

  // col2im: put the first `count` patches where they came from, adding where they overlap; with all of them, dx.
  col2im(step, input, patches, count) {
    const [H, W] = input.shape;
    const OW = step.shape[1];
    const sum = new Float64Array(H * W);
    for (let p = 0; p < count; p++)
      this.taps(step, input, Math.floor(p / OW), p % OW).forEach((tap, k) => {
        if (tap.inside) sum[tap.row * W + tap.col] += patches[p][k];
      });
    return sum;
  },

  // The same for one input pixel: which patches lie over it, whether they are among the first `count`, and what each
  // hands back; the sum is over those that are.
  inputGradient(step, input, patches, row, col, count = patches.length) {
    const {
      size: [KH, KW],
      stride,
      dilation,
      padding,
    } = step.window;
    const [OH, OW] = step.shape;
    const parts = [];
    for (let kh = 0; kh < KH; kh++)
      for (let kw = 0; kw < KW; kw++) {
        const i = (row + padding[0][0] - kh * dilation[0]) / stride[0];
        const j = (col + padding[1][0] - kw * dilation[1]) / stride[1];
        if (!Number.isInteger(i) || !Number.isInteger(j) || i < 0 || j < 0 || i >= OH || j >= OW) continue;
        const p = i * OW + j;
        parts.push({ i, j, kh, kw, value: patches[p][kh * KW + kw], added: p < count });
      }
    return { parts, sum: parts.reduce((sum, part) => sum + (part.added ? part.value : 0), 0) };
  },

  // The gradient of one weight: the sum over all output pixels of the input under it times dz.
  weightGradient(step, input, kh, kw, c, o) {
    const [OH, OW] = step.shape;
    const parts = [];
    let sum = 0;
    for (let i = 0; i < OH; i++)
      for (let j = 0; j < OW; j++) {
        const { row, col, inside } = this.tap(step, input, i, j, kh, kw);
        const x = inside ? this.at(input.y, input.shape, row, col, c) : 0;
        const dz = this.at(step.dz, step.shape, i, j, o);
        sum += x * dz;
        parts.push({ i, j, inside, x, dz, product: x * dz });
      }
    return { parts, sum };
  },
};
