/* The transforms of Toom-Cook along both axes, for 3 x 3 kernels.
 *
 * A tile of 4 x 4 outputs takes 6 x 6 inputs.  The transforms of one axis (npcnn/reference/toom_cook.py) are applied
 * to its columns and then to its rows:
 *
 *     V = input X input'      U = kernel W kernel'      Y = output (V * U) output'
 *
 * That makes 36 products, one a point, where the definition takes 144.  A tile of three lines (or columns) leaves out
 * the first of the six points, and has 5.  So the point (p, q) of every tile is number 6*p + q of V, and sizes mix.
 *
 * As in toom_cook.inc.c, channels lie side by side, and the compiler knows every coefficient.
 *
 * variant.c includes this file for REAL = float only; NAME(f) is f_f32.
 */

#define POINTS 6

/* values = table @ terms. */
ALWAYS_INLINE void NAME(times_table)(const int rows, const int terms, const double *table, const vec *term, vec *value)
{
    UNROLL for (int i = 0; i < rows; i++) {
        vec sum = {0};
        int begun = 0;                      /* 0 + x is an addition, too */
        UNROLL for (int k = 0; k < terms; k++) {
            const REAL factor = (REAL)table[i * terms + k];
            if (factor == 0)
                continue;
            sum = begun ? sum + factor * term[k] : factor * term[k];
            begun = 1;
        }
        value[i] = sum;
    }
}

/* table_down @ x @ table_across', over `count` numbers side by side, a multiple of the vector length. */
ALWAYS_INLINE void NAME(both_axes)(
    const int rows, const int lines, const double *table_down,
    const int cols, const int columns, const double *table_across,
    const REAL *x, ptrdiff_t x_line, ptrdiff_t x_column, ptrdiff_t count, REAL *v, ptrdiff_t v_row, ptrdiff_t v_col)
{
    for (ptrdiff_t c = 0; c < count; c += VECTOR_LENGTH) {
        vec half[POINTS][POINTS];
        const REAL *column = x + c;
        UNROLL for (int j = 0; j < columns; j++) {
            vec term[POINTS], value[POINTS];
            const REAL *at = column;
            UNROLL for (int i = 0; i < lines; i++) {
                term[i] = *(const vec_unaligned *)at;
                MOVE_ON(at, x_line);
            }
            MOVE_ON(column, x_column);
            NAME(times_table)(rows, lines, table_down, term, value);
            UNROLL for (int i = 0; i < rows; i++)
                half[i][j] = value[i];
        }
        REAL *row = v + c;
        UNROLL for (int i = 0; i < rows; i++) {
            vec value[POINTS];
            REAL *at = row;
            NAME(times_table)(cols, columns, table_across, half[i], value);
            UNROLL for (int j = 0; j < cols; j++) {
                *(vec_unaligned *)at = value[j];
                MOVE_ON(at, v_col);
            }
            MOVE_ON(row, v_row);
        }
    }
}

/* The same from points to pixels, with bias and ReLU: the first `height` lines and `width` columns of a tile. */
ALWAYS_INLINE void NAME(to_pixels)(
    const int lines, const int rows, const double *table_down,
    const int columns, const int cols, const double *table_across,
    const REAL *m, ptrdiff_t m_row, ptrdiff_t m_col, ptrdiff_t channels,
    REAL *y, ptrdiff_t y_line, ptrdiff_t y_column, ptrdiff_t height, ptrdiff_t width, const REAL *bias, int relu)
{
    for (ptrdiff_t c = 0; c < channels; c += VECTOR_LENGTH) {
        const ptrdiff_t count = channels - c < VECTOR_LENGTH ? channels - c : VECTOR_LENGTH;
        const vec bias_vec = bias ? NAME(load)(bias + c, count) : (vec){0};
        vec half[POINTS][POINTS];
        const REAL *col = m + c;
        UNROLL for (int j = 0; j < cols; j++) {
            vec term[POINTS], value[POINTS];
            const REAL *at = col;
            UNROLL for (int i = 0; i < rows; i++) {
                term[i] = *(const vec_unaligned *)at;
                MOVE_ON(at, m_row);
            }
            MOVE_ON(col, m_col);
            NAME(times_table)(lines, rows, table_down, term, value);
            UNROLL for (int i = 0; i < lines; i++)
                half[i][j] = value[i];
        }
        REAL *line = y + c;
        UNROLL for (int i = 0; i < lines; i++) {
            vec value[POINTS];
            REAL *at = line;
            NAME(times_table)(columns, cols, table_across, half[i], value);
            UNROLL for (int j = 0; j < columns; j++) {
                const vec sum = value[j] + bias_vec;
                PREFETCH(at + columns * y_column);                      /* for the next tile */
                if (i < height && j < width)
                    NAME(store)(at, relu ? NAME(relu_vec)(sum) : sum, count);
                MOVE_ON(at, y_column);
            }
            MOVE_ON(line, y_line);
        }
    }
}

/* The numbers of rows and columns of a table, and the table itself. */
#define TABLE(table) (int)(sizeof (table) / sizeof (table)[0]), (int)(sizeof (table)[0] / sizeof (table)[0][0]), (table)[0]
#define BY_TILE(lines, columns, function, tables, ...)                                                \
    do {                                                                                              \
        if ((lines) == 4 && (columns) == 4)                                                           \
            function(TABLE(tables##_4), TABLE(tables##_4), __VA_ARGS__);                              \
        else if ((lines) == 4)                                                                        \
            function(TABLE(tables##_4), TABLE(tables##_3), __VA_ARGS__);                              \
        else if ((columns) == 4)                                                                      \
            function(TABLE(tables##_3), TABLE(tables##_4), __VA_ARGS__);                              \
        else                                                                                          \
            function(TABLE(tables##_3), TABLE(tables##_3), __VA_ARGS__);                              \
    } while (0)

/* The number of the first point of a tile. */
ALWAYS_INLINE ptrdiff_t NAME(first_point)(int lines, int columns)
{
    return (lines == 3) * POINTS + (columns == 3);
}

/* The inputs of a tile with so many lines and columns of outputs, at their points. */
static void NAME(toom_cook_2d_input)(int lines, int columns, const REAL *x, ptrdiff_t x_line, ptrdiff_t x_pixel,
                                     ptrdiff_t count, REAL *v, ptrdiff_t v_point)
{
    v += NAME(first_point)(lines, columns) * v_point;
    BY_TILE(lines, columns, NAME(both_axes), toom_cook_2d_input, x, x_line, x_pixel, count,
            v, POINTS * v_point, v_point);
}

/* The output gradients of a tile, at their points, for the gradient of the weights. */
static void NAME(toom_cook_2d_gradient)(int lines, int columns, const REAL *dy, ptrdiff_t dy_line,
                                        ptrdiff_t dy_pixel, ptrdiff_t count, REAL *g, ptrdiff_t g_point)
{
    g += NAME(first_point)(lines, columns) * g_point;
    BY_TILE(lines, columns, NAME(both_axes), toom_cook_2d_gradient, dy, dy_line, dy_pixel, count,
            g, POINTS * g_point, g_point);
}

/* The outputs of a tile from the products at its points.  The rows of m are whole vectors, those of y end with the
 * channels. */
static void NAME(toom_cook_2d_output)(int lines, int columns, const REAL *m, ptrdiff_t m_point, ptrdiff_t channels,
                                      REAL *y, ptrdiff_t y_line, ptrdiff_t y_pixel, ptrdiff_t height, ptrdiff_t width,
                                      const REAL *bias, int relu)
{
    m += NAME(first_point)(lines, columns) * m_point;
    BY_TILE(lines, columns, NAME(to_pixels), toom_cook_2d_output, m, POINTS * m_point, m_point, channels,
            y, y_line, y_pixel, height, width, bias, relu);
}

/* Weights at the points, over `count` numbers side by side. */
static void NAME(toom_cook_2d_weights)(const REAL *w, ptrdiff_t w_tap, ptrdiff_t count, REAL *u, ptrdiff_t u_point)
{
    NAME(both_axes)(TABLE(toom_cook_2d_weights), TABLE(toom_cook_2d_weights), w, 3 * w_tap, w_tap, count,
                    u, POINTS * u_point, u_point);
}

/* The gradient of the weights from what was summed at the points. */
static void NAME(toom_cook_2d_weight_gradient)(const REAL *du, ptrdiff_t du_point, ptrdiff_t count,
                                               REAL *dw, ptrdiff_t dw_tap)
{
    NAME(both_axes)(TABLE(toom_cook_2d_weight_gradient), TABLE(toom_cook_2d_weight_gradient),
                    du, POINTS * du_point, du_point, count, dw, 3 * dw_tap, dw_tap);
}
