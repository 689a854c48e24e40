/* ReLU and its gradient over flat arrays; the compiler turns each loop into vectors.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

static void NAME(relu)(const REAL *x, REAL *y, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i];             /* this way round NaN stays NaN */
}

/* dx = dy where the ReLU let its input through.  y > 0 says where, so the input itself need not be kept. */
static void NAME(relu_backward)(const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}
