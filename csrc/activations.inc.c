/* Activations and their gradients over flat arrays.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64, and MATH(exp) is
 * expf or exp.  The compiler turns the loops of relu and leaky_relu into vectors; the others call the C library once
 * for each number.
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

static void NAME(leaky_relu)(const REAL *x, REAL slope, REAL *y, ptrdiff_t count)
{
    if (slope == 0) {                           /* 0 times -infinity would be NaN */
        NAME(relu)(x, y, count);
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? slope * x[i] : x[i];
}

static void NAME(leaky_relu_backward)(const REAL *dy, const REAL *y, REAL slope, REAL *dx, ptrdiff_t count)
{
    if (slope == 0) {
        NAME(relu_backward)(dy, y, dx, count);
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 ? dy[i] : slope * dy[i];
}

/* a * b, but 0 where b has vanished, however large a is: what the products below tend to far from 0. */
ALWAYS_INLINE REAL NAME(vanishing)(REAL a, REAL b)
{
    return b == 0 ? 0 : a * b;
}

/* The logistic function 1 / (1 + exp(-x)) and its derivative, from one exponential: that of -|x|, which never
 * overflows. */
ALWAYS_INLINE REAL NAME(logistic)(REAL x, REAL *derivative)
{
    const REAL e = MATH(exp)(-MATH(fabs)(x)), whole = 1 + e;
    *derivative = e / (whole * whole);
    return (x < 0 ? e : 1) / whole;
}

static void NAME(sigmoid)(const REAL *x, REAL *y, ptrdiff_t count)
{
    REAL derivative;
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = NAME(logistic)(x[i], &derivative);
}

static void NAME(sigmoid_backward)(const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        dx[i] = dy[i] * (y[i] * (1 - y[i]));
}

static void NAME(tanh)(const REAL *x, REAL *y, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = MATH(tanh)(x[i]);
}

static void NAME(tanh_backward)(const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        dx[i] = dy[i] * ((1 - y[i]) * (1 + y[i]));
}

static void NAME(silu)(const REAL *x, REAL *y, ptrdiff_t count)
{
    REAL derivative;
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = NAME(vanishing)(x[i], NAME(logistic)(x[i], &derivative));
}

static void NAME(silu_backward)(const REAL *dy, const REAL *x, REAL *dx, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        REAL derivative;
        const REAL share = NAME(logistic)(x[i], &derivative);
        dx[i] = dy[i] * (share + NAME(vanishing)(x[i], derivative));
    }
}

/* The share of its input that GELU lets through, and the derivative of that share times x.
 *
 * Exactly, it is the normal distribution function (1 + erf(x / sqrt(2))) / 2 = erfc(-x / sqrt(2)) / 2; erfc keeps the
 * digits that 1 + erf loses where both almost cancel.  Its tanh form is (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)) with
 * u = sqrt(2 / pi) (x + 0.044715 x^3), so the logistic function computes it. */
ALWAYS_INLINE REAL NAME(gelu_share)(REAL x, int tanh_form, REAL *derivative_times_x)
{
    const REAL half_sqrt_2 = (REAL)0.70710678118654752440, density_at_0 = (REAL)0.39894228040143267794;
    const REAL twice_sqrt_2_over_pi = (REAL)1.59576912160573071176, cubic = (REAL)0.044715;
    if (!tanh_form) {
        *derivative_times_x = NAME(vanishing)(x, density_at_0 * MATH(exp)((REAL)-0.5 * x * x));
        return MATH(erfc)(-half_sqrt_2 * x) / 2;
    }
    REAL derivative;
    const REAL share = NAME(logistic)(x * (twice_sqrt_2_over_pi * (1 + cubic * x * x)), &derivative);
    *derivative_times_x = NAME(vanishing)(x * (twice_sqrt_2_over_pi * (1 + 3 * cubic * x * x)), derivative);
    return share;
}

static void NAME(gelu)(const REAL *x, int tanh_form, REAL *y, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        REAL unused;
        y[i] = NAME(vanishing)(x[i], NAME(gelu_share)(x[i], tanh_form, &unused));
    }
}

static void NAME(gelu_backward)(const REAL *dy, const REAL *x, int tanh_form, REAL *dx, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        REAL derivative_times_x;
        const REAL share = NAME(gelu_share)(x[i], tanh_form, &derivative_times_x);
        dx[i] = dy[i] * (share + derivative_times_x);
    }
}
