/* The transforms of Toom-Cook: y = output @ ((kernel @ w) * (input @ x)), see npcnn/reference/toom_cook.py.
 *
 * Four outputs of a 1-D convolution with 3 (5) taps come from 6 (8) values, one per point, and as many
 * products; with 7 taps it is two outputs from 8.  Here are the sums before and after those products.
 * They run over channels, which lie side by side, so each is a handful of vector additions and
 * multiplications by constants.
 *
 * The points come in pairs +-a.  The rows of their tables differ only in the sign of the odd
 * coefficients, so a pair costs one sum over the even and one over the odd.  The compiler knows every
 * coefficient: multiplications by 1 and terms with 0 vanish.
 *
 * variant.c includes this file for REAL = float only; NAME(f) is f_f32.
 */

#define TOOM_COOK_MOST_POINTS 8

/* The transforms carry x, dy and w up to 2^40; these are its bits as a float.  A product of two such numbers is 2^80,
 * the transforms make it at most 2^10 times as large, and a sum of 2^30 of those is still below float's limit of 2^128.
 * Without the sign bit, the bits of floats are ordered as the floats are, with infinity and NaN above all others. */
#define LARGEST_BITS 0x53800000

ALWAYS_INLINE int32_t NAME(is_too_large)(REAL x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7fffffff) > LARGEST_BITS;
}

/* Sets *too_large if one of the numbers is. */
static void NAME(toom_cook_look)(const REAL *x, ptrdiff_t count, int *too_large)
{
    int32_t found = 0;
    for (ptrdiff_t i = 0; i < count; i++)
        found |= NAME(is_too_large)(x[i]);
    *too_large |= found;
}

/* copy_pixels, which also sets *too_large if one of the numbers copied is. */
static void NAME(toom_cook_copy)(const REAL *restrict x, const REAL *restrict relu_output, ptrdiff_t pixels,
                                 ptrdiff_t channels, ptrdiff_t x_pixel, REAL *restrict to, ptrdiff_t to_pixel,
                                 int *too_large)
{
    int32_t found = 0;
    if (x_pixel == channels && to_pixel == channels) {      /* no gaps: one run */
        channels *= pixels;
        pixels = 1;
    }
    for (ptrdiff_t i = 0; i < pixels; i++, x += x_pixel, to += to_pixel)
        if (relu_output) {
            for (ptrdiff_t c = 0; c < channels; c++) {
                to[c] = relu_output[c] > 0 ? x[c] : 0;
                found |= NAME(is_too_large)(to[c]);
            }
            relu_output += x_pixel;
        } else {
            for (ptrdiff_t c = 0; c < channels; c++) {
                to[c] = x[c];
                found |= NAME(is_too_large)(x[c]);
            }
        }
    *too_large |= found;
}

/* Call `function` with the numbers of rows and columns of the table for `taps`, and the table itself. */
#define WITH_TABLE(function, table, ...)                                                              \
    function((int)(sizeof (table) / sizeof (table)[0]), (int)(sizeof (table)[0] / sizeof (table)[0][0]), \
             (table)[0], __VA_ARGS__)
#define BY_TAPS(taps, function, tables, ...)                                                          \
    do {                                                                                              \
        if ((taps) == 3)                                                                              \
            WITH_TABLE(function, tables##_3, __VA_ARGS__);                                            \
        else if ((taps) == 5)                                                                         \
            WITH_TABLE(function, tables##_5, __VA_ARGS__);                                            \
        else                                                                                          \
            WITH_TABLE(function, tables##_7, __VA_ARGS__);                                            \
    } while (0)

/* sum += coefficient * v, for a coefficient the compiler knows. */
#define ADD_TERM(sum, coefficient, v)                                                                 \
    do {                                                                                              \
        if ((coefficient) == 1)                                                                       \
            sum += (v);                                                                               \
        else if ((coefficient) != 0)                                                                  \
            sum += (REAL)(coefficient) * (v);                                                         \
    } while (0)

/* The terms with even (first = 0) or odd (first = 1) powers of one row of a table. */
ALWAYS_INLINE vec NAME(every_second)(const int first, const int terms, const double *row, const vec *term)
{
    vec sum = {0};
    UNROLL for (int k = first; k < terms; k += 2)
        ADD_TERM(sum, row[k], term[k]);
    return sum;
}

/* values = table @ terms: from pixels to points. */
ALWAYS_INLINE void NAME(to_points)(const int points, const int terms, const double *table,
                                   const vec *term, vec *value)
{
    const double *infinity = table + (points - 1) * terms;
    value[0] = NAME(every_second)(0, terms, table, term) + NAME(every_second)(1, terms, table, term);
    UNROLL for (int p = 1; p < points - 1; p += 2) {
        const vec even = NAME(every_second)(0, terms, table + p * terms, term);
        const vec odd = NAME(every_second)(1, terms, table + p * terms, term);
        value[p] = even + odd;
        value[p + 1] = even - odd;
    }
    value[points - 1] = NAME(every_second)(0, terms, infinity, term) + NAME(every_second)(1, terms, infinity, term);
}

/* outputs = table @ values: from points to pixels. */
ALWAYS_INLINE void NAME(from_points)(const int outputs, const int points, const double *table,
                                     const vec *value, vec *output)
{
    vec sum[TOOM_COOK_MOST_POINTS], difference[TOOM_COOK_MOST_POINTS];
    UNROLL for (int p = 1; p < points - 1; p += 2) {
        sum[p] = value[p] + value[p + 1];
        difference[p] = value[p] - value[p + 1];
    }
    UNROLL for (int i = 0; i < outputs; i++) {
        vec total = {0};
        ADD_TERM(total, table[i * points], value[0]);
        UNROLL for (int p = 1; p < points - 1; p += 2) {
            if (i % 2 == 0)
                ADD_TERM(total, table[i * points + p], sum[p]);
            else
                ADD_TERM(total, table[i * points + p], difference[p]);
        }
        ADD_TERM(total, table[i * points + points - 1], value[points - 1]);
        output[i] = total;
    }
}

/* v[p] = table[p] @ x for one vector, of which x has `count` numbers; the others count as zeros. */
ALWAYS_INLINE void NAME(split_vector)(const int points, const int terms, const double *table, const REAL *x,
                                      ptrdiff_t x_step, ptrdiff_t count, REAL *v, ptrdiff_t v_step)
{
    vec term[TOOM_COOK_MOST_POINTS], value[TOOM_COOK_MOST_POINTS];
    UNROLL for (int k = 0; k < terms; k++)
        term[k] = NAME(load)(x + k * x_step, count);
    NAME(to_points)(points, terms, table, term, value);
    UNROLL for (int p = 0; p < points; p++)
        *(vec_unaligned *)(v + p * v_step) = value[p];
}

/* v[p] = table[p] @ x over `length` numbers side by side.  v has room for whole vectors. */
ALWAYS_INLINE void NAME(split)(const int points, const int terms, const double *table, const REAL *x,
                               ptrdiff_t x_step, ptrdiff_t length, REAL *v, ptrdiff_t v_step)
{
    FOR_VECTORS(length, NAME(split_vector)(points, terms, table, x + c, x_step, count, v + c, v_step));
}

/* The inputs of one tile, at their points. */
static void NAME(toom_cook_input)(int taps, const REAL *x, ptrdiff_t x_step, ptrdiff_t count,
                                  REAL *v, ptrdiff_t v_step)
{
    BY_TAPS(taps, NAME(split), toom_cook_input, x, x_step, count, v, v_step);
}

/* The output gradients of one tile, at their points, for the gradient of the weights. */
static void NAME(toom_cook_gradient)(int taps, const REAL *dy, ptrdiff_t dy_step, ptrdiff_t count,
                                     REAL *v, ptrdiff_t v_step)
{
    BY_TAPS(taps, NAME(split), toom_cook_gradient, dy, dy_step, count, v, v_step);
}

/* The weights at the points. */
static void NAME(toom_cook_weights)(int taps, const REAL *w, ptrdiff_t w_step, ptrdiff_t count,
                                    REAL *u, ptrdiff_t u_step)
{
    BY_TAPS(taps, NAME(split), toom_cook_weights, w, w_step, count, u, u_step);
}

/* The first `lines` outputs of one tile from the products at the points, with bias and ReLU, for one vector of
 * channels of one pixel; `count` of these channels exist. */
ALWAYS_INLINE void NAME(join_vector)(const int outputs, const int points, const double *table,
                                     const REAL *m, ptrdiff_t m_step, REAL *y, ptrdiff_t y_step, ptrdiff_t count,
                                     ptrdiff_t lines, vec bias, int relu)
{
    vec value[TOOM_COOK_MOST_POINTS], output[TOOM_COOK_MOST_POINTS];
    UNROLL for (int p = 0; p < points; p++)
        value[p] = *(const vec_unaligned *)(m + p * m_step);
    NAME(from_points)(outputs, points, table, value, output);
    UNROLL for (int i = 0; i < outputs; i++) {
        output[i] += bias;
        if (relu)
            output[i] = NAME(relu_vec)(output[i]);
        if (i < lines)
            NAME(store)(y + i * y_step, output[i], count);
    }
}

ALWAYS_INLINE void NAME(join)(const int outputs, const int points, const double *table,
                              const REAL *m, ptrdiff_t m_step, ptrdiff_t m_pixel, ptrdiff_t pixels, ptrdiff_t channels,
                              REAL *y, ptrdiff_t y_step, ptrdiff_t y_pixel, ptrdiff_t lines,
                              const REAL *bias, int relu)
{
    for (ptrdiff_t c = 0; c < channels; c += VECTOR_LENGTH) {
        const ptrdiff_t count = channels - c < VECTOR_LENGTH ? channels - c : VECTOR_LENGTH;
        vec bias_vec = {0};
        if (bias)
            bias_vec = NAME(load)(bias + c, count);
        for (ptrdiff_t i = 0; i < pixels; i++)
            NAME(join_vector)(outputs, points, table, m + i * m_pixel + c, m_step,
                              y + i * y_pixel + c, y_step, count, lines, bias_vec, relu);
    }
}

/* The outputs of one tile for a line of pixels.  The rows of m are whole vectors, those of y end with the channels. */
static void NAME(toom_cook_output)(int taps, const REAL *m, ptrdiff_t m_step, ptrdiff_t m_pixel,
                                   ptrdiff_t pixels, ptrdiff_t channels, REAL *y, ptrdiff_t y_step, ptrdiff_t y_pixel,
                                   ptrdiff_t lines, const REAL *bias, int relu)
{
    BY_TAPS(taps, NAME(join), toom_cook_output, m, m_step, m_pixel, pixels, channels,
            y, y_step, y_pixel, lines, bias, relu);
}

/* dw[t] = table[t] @ du over `count` numbers side by side, a multiple of the vector length. */
ALWAYS_INLINE void NAME(join_weights)(const int taps, const int points, const double *table, const REAL *du,
                                      ptrdiff_t du_step, ptrdiff_t count, REAL *dw, ptrdiff_t dw_step)
{
    for (ptrdiff_t i = 0; i < count; i += VECTOR_LENGTH) {
        vec value[TOOM_COOK_MOST_POINTS], output[TOOM_COOK_MOST_POINTS];
        UNROLL for (int p = 0; p < points; p++)
            value[p] = *(const vec_unaligned *)(du + p * du_step + i);
        NAME(from_points)(taps, points, table, value, output);
        UNROLL for (int t = 0; t < taps; t++)
            *(vec_unaligned *)(dw + t * dw_step + i) = output[t];
    }
}

/* The gradient of the weights from what was summed at the points. */
static void NAME(toom_cook_weight_gradient)(int taps, const REAL *du, ptrdiff_t du_step, ptrdiff_t count,
                                            REAL *dw, ptrdiff_t dw_step)
{
    BY_TAPS(taps, NAME(join_weights), toom_cook_weight_gradient, du, du_step, count, dw, dw_step);
}
