/* The update of a parameter by its gradient, over flat arrays; the compiler turns the loop into vectors.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

/* Kingma & Ba, "Adam", 2015, algorithm 1 in the efficient order of section 2: the bias corrections of
 * m and v are folded into step_size by the caller, who also forms new1 = 1 - beta1 and new2 = 1 - beta2, in double:
 * in float, 1 - 0.99999999 is 0.  Likewise decay, the share of p that decoupled weight decay takes away, is
 * subtracted with the step: in float, 1 - 1e-8 is 1.  Without decay, p changes by the step alone, to the bit. */
static void NAME(adam_step)(REAL *restrict p, const REAL *restrict grad, REAL *restrict m, REAL *restrict v,
                            ptrdiff_t count, REAL step_size, REAL new1, REAL new2, REAL eps, REAL decay)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        m[i] += new1 * (grad[i] - m[i]);
        v[i] += new2 * (grad[i] * grad[i] - v[i]);
        REAL step = step_size * m[i] / (sizeof(REAL) == sizeof(float) ? (REAL)sqrtf((float)v[i]) + eps
                                                                      : (REAL)sqrt((double)v[i]) + eps);
        p[i] -= decay != 0 ? step + decay * p[i] : step;
    }
}
