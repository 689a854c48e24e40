// The arithmetic of the page: the numbers it shows are computed here from what the network computed, with the formulas
// of npcnn.reference.  No drawing.  A step is {kind, inputs, shape: [H, W, C], y, dy, window, w, b, relu, ...}; y, dy
// and w are Float32Array, laid out as in NumPy.  The tests hold every function against npcnn.functional.
"use strict";

const Arithmetic = {
  // Value of an array laid out as shape at a position.
  at(values, shape, ...position) {
    let index = 0;
    for (let axis = 0; axis < shape.length; axis++) index = index * shape[axis] + position[axis];
    return values[index];
  },

  // Where the taps of the window of output pixel (i, j) lie on the input; outside it is padding.
  taps(step, input, i, j) {
    const { size, stride, dilation, padding } = step.window, [H, W] = input.shape, taps = [];
    for (let kh = 0; kh < size[0]; kh++)
      for (let kw = 0; kw < size[1]; kw++) {
        const row = i * stride[0] + kh * dilation[0] - padding[0][0];
        const col = j * stride[1] + kw * dilation[1] - padding[1][0];
        taps.push({ kh, kw, row, col, inside: row >= 0 && row < H && col >= 0 && col < W });
      }
    return taps;
  },

  // One row of the im2col matrix, one column of the weights, and what becomes of them:
  // z = b + sum of x * w, y = max(z, 0) with a ReLU.
  convolution(step, input, i, j, o) {
    const channels = input.shape[2], outputs = step.shape[2], terms = [];
    let sum = 0;
    for (const tap of this.taps(step, input, i, j))
      for (let c = 0; c < channels; c++) {
        const x = tap.inside ? this.at(input.y, input.shape, tap.row, tap.col, c) : 0;
        const w = step.w[((tap.kh * step.window.size[1] + tap.kw) * channels + c) * outputs + o];
        sum += x * w;
        terms.push({ ...tap, c, x, w, product: x * w, sum });
      }
    const bias = step.b ? step.b[o] : 0, z = sum + bias;
    return { terms, sum, bias, z, y: step.relu ? Math.max(z, 0) : z };
  },

  // The window of a pooling: its values, which of them won, and the weight each of them has in the result.
  pooling(step, input, i, j, c) {
    const taps = this.taps(step, input, i, j);
    const values = taps.map((tap) => (tap.inside ? this.at(input.y, input.shape, tap.row, tap.col, c) : null));
    const inside = values.filter((value) => value !== null).length;
    if (step.kind === "max_pool") {
      let winner = -1;  // the first of equals
      values.forEach((value, k) => { if (value !== null && (winner < 0 || value > values[winner])) winner = k; });
      return { taps, values, winner, weights: values.map((_, k) => (k === winner ? 1 : 0)), y: values[winner] };
    }
    const weight = 1 / (step.count_include_pad ? taps.length : inside);
    return {
      taps, values, winner: -1, weights: values.map((value) => (value === null ? 0 : weight)),
      y: values.reduce((sum, value) => sum + (value === null ? 0 : value * weight), 0),
    };
  },

  // The gradient before the ReLU: dz = dy where the ReLU let something through, else 0.
  dz(step, i, j, o) {
    const y = this.at(step.y, step.shape, i, j, o), dy = this.at(step.dy, step.shape, i, j, o);
    return step.relu && !(y > 0) ? 0 : dy;
  },

  // col2im for one input pixel: what each window over it hands back.  dx = the sum of them.
  inputGradient(step, input, row, col, c) {
    const { size, stride, dilation, padding } = step.window, [OH, OW, outputs] = step.shape, parts = [];
    let sum = 0;
    for (let kh = 0; kh < size[0]; kh++)
      for (let kw = 0; kw < size[1]; kw++) {
        const i = (row + padding[0][0] - kh * dilation[0]) / stride[0];
        const j = (col + padding[1][0] - kw * dilation[1]) / stride[1];
        if (!Number.isInteger(i) || !Number.isInteger(j) || i < 0 || j < 0 || i >= OH || j >= OW) continue;
        let value = 0;
        if (step.w) {
          const start = ((kh * size[1] + kw) * input.shape[2] + c) * outputs;
          for (let o = 0; o < outputs; o++) value += this.dz(step, i, j, o) * step.w[start + o];
        } else {
          value = this.pooling(step, input, i, j, c).weights[kh * size[1] + kw] * this.dz(step, i, j, c);
        }
        sum += value;
        parts.push({ i, j, kh, kw, value });
      }
    return { parts, sum };
  },

  // The gradient of one weight: the sum over all output pixels of the input under it times dz.
  weightGradient(step, input, kh, kw, c, o) {
    const [OH, OW] = step.shape, { stride, dilation, padding } = step.window, [H, W] = input.shape, parts = [];
    let sum = 0;
    for (let i = 0; i < OH; i++)
      for (let j = 0; j < OW; j++) {
        const row = i * stride[0] + kh * dilation[0] - padding[0][0];
        const col = j * stride[1] + kw * dilation[1] - padding[1][0];
        const inside = row >= 0 && row < H && col >= 0 && col < W;
        const x = inside ? this.at(input.y, input.shape, row, col, c) : 0, dz = this.dz(step, i, j, o);
        sum += x * dz;
        parts.push({ i, j, row, col, inside, x, dz, product: x * dz });
      }
    return { parts, sum };
  },
};
