"""Splats: small soft ellipses with depth order, drawn on a CPU; and the gradients by which they learn.

3D Gaussian splatting (Kerbl et al. 2023) for pictures of one person. A splat falls off as (1 - q / 4.5)^2, where q is
the squared distance in deviations: near its middle that is a Gaussian, and it ends smoothly at 2.1 deviations, so that
it touches half the pixels that a Gaussian would and needs no exponential. Rows are drawn in bands, each by one thread;
every function may run in any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import types

from talkingface.core.kernels import kernel

ENDS = 4.5
REACH = ENDS**0.5
"""Deviations at which a splat ends."""
BLUR = 0.15
"""Variance in square pixels by which every splat is widened, so that none falls between pixels (Yu et al. 2024)."""

_F1, _F2, _F3 = types.float32[::1], types.float32[:, ::1], types.float32[:, :, ::1]
_I1 = types.int32[::1]
_PLAIN, _TWICE = np.float32(1 / ENDS), np.float32(2 / ENDS)
_IN = types.int64


@kernel(types.void(_I1, _F2, _F2, _F1, _F2, _F2, _F2, _F3, _IN, _IN, types.float32), fastmath=True, error_model="numpy")
def draw_band(order, centre, conic, opacity, colour, radius, left, picture, y_first, y_last, hidden):
    """Draw splats front to back into rows `y_first` to `y_last` - 1.

    `order` int32 [M]: the splats, nearest first. `centre` [N, 2] pixels, `conic` [N, 3] (a, b, c of q = a dx^2 + 2 b dx
    dy + c dy^2), `opacity` [N], `colour` [N, C], `radius` [N, 2] (half sides of the box outside which a splat is
    nothing; negative: not drawn), all float32. `left` [H, W]: how much of what lies behind is seen, 1 at first;
    `picture` [C, H, W]: colours are added. Splats are left out before whose middle and corners less than `hidden` is
    left.
    """
    width = left.shape[1]
    channels = colour.shape[1]
    one, half = np.float32(1), np.float32(0.5)
    zero = np.float32(0)
    for k in range(len(order)):
        i = order[k]
        rx, ry, mx, my = radius[i, 0], radius[i, 1], centre[i, 0], centre[i, 1]
        y0, y1 = max(y_first, int(my - ry)), min(y_last, int(my + ry) + 2)
        x0, x1 = max(0, int(mx - rx)), min(width, int(mx + rx) + 2)
        if y1 <= y0 or x1 <= x0 or rx < zero or opacity[i] < hidden:
            continue
        if (
            left[(y0 + y1) // 2, (x0 + x1) // 2] < hidden
            and left[y0, x0] < hidden
            and left[y0, x1 - 1] < hidden
            and left[y1 - 1, x0] < hidden
            and left[y1 - 1, x1 - 1] < hidden
        ):
            continue
        a, b, c = conic[i, 0] * _PLAIN, conic[i, 1] * _TWICE, conic[i, 2] * _PLAIN
        o = opacity[i]
        if channels == 3:
            red, green, blue = colour[i, 0], colour[i, 1], colour[i, 2]
            for y in range(y0, y1):
                dy = np.float32(y) + half - my
                from_y, by = one - c * dy * dy, b * dy
                behind, r_row, g_row, b_row = left[y], picture[0, y], picture[1, y], picture[2, y]
                for x in range(x0, x1):
                    dx = np.float32(x) + half - mx
                    f = max(from_y - dx * (a * dx + by), zero)
                    w = o * f * f * behind[x]
                    r_row[x] += w * red
                    g_row[x] += w * green
                    b_row[x] += w * blue
                    behind[x] -= w
        else:
            value = colour[i, 0]
            for y in range(y0, y1):
                dy = np.float32(y) + half - my
                from_y, by = one - c * dy * dy, b * dy
                behind, row = left[y], picture[0, y]
                for x in range(x0, x1):
                    dx = np.float32(x) + half - mx
                    f = max(from_y - dx * (a * dx + by), zero)
                    w = o * f * f * behind[x]
                    row[x] += w * value
                    behind[x] -= w


@kernel(types.void(_I1, _F2, _F2, _F1, _F2, _F2, _F2, _F3, _F3, _F2, _F2, _F1, _F2), fastmath=True, error_model="numpy")
def draw_backward(
    order, centre, conic, opacity, colour, radius, left, gradient, behind, g_centre, g_conic, g_opacity, g_colour
):
    """Gradients of a scalar by the splats, from `gradient` [3, H, W], that by the finished picture.

    `left` as `draw_band` left it and `behind` [3, H, W], the background; both are overwritten. The last four arrays are
    written for the splats drawn, added to what they hold.
    """
    height, width = left.shape
    one, half, zero = np.float32(1), np.float32(0.5), np.float32(0)
    for k in range(len(order) - 1, -1, -1):
        i = order[k]
        rx, ry, mx, my = radius[i, 0], radius[i, 1], centre[i, 0], centre[i, 1]
        y0, y1 = max(0, int(my - ry)), min(height, int(my + ry) + 2)
        x0, x1 = max(0, int(mx - rx)), min(width, int(mx + rx) + 2)
        if y1 <= y0 or x1 <= x0 or rx < zero:
            continue
        a, b, c = conic[i, 0] * _PLAIN, conic[i, 1] * _TWICE, conic[i, 2] * _PLAIN
        o, red, green, blue = opacity[i], colour[i, 0], colour[i, 1], colour[i, 2]
        s_red, s_green, s_blue, s_o = zero, zero, zero, zero
        s_a, s_b, s_c, s_x, s_y = zero, zero, zero, zero, zero
        for y in range(y0, y1):
            dy = np.float32(y) + half - my
            from_y, by = one - c * dy * dy, b * dy
            seen, p, q, u = left[y], gradient[0, y], gradient[1, y], gradient[2, y]
            b0, b1, b2 = behind[0, y], behind[1, y], behind[2, y]
            for x in range(x0, x1):
                dx = np.float32(x) + half - mx
                f = max(from_y - dx * (a * dx + by), zero)
                f2 = f * f
                alpha = o * f2
                rest = one - alpha
                t = seen[x] / rest
                w = alpha * t
                s_red += w * p[x]
                s_green += w * q[x]
                s_blue += w * u[x]
                g_alpha = t * ((red - b0[x]) * p[x] + (green - b1[x]) * q[x] + (blue - b2[x]) * u[x])
                s_o += g_alpha * f2
                g_f = g_alpha * o * np.float32(2) * f
                s_a -= g_f * dx * dx
                s_b -= g_f * dx * dy
                s_c -= g_f * dy * dy
                s_x += g_f * (np.float32(2) * a * dx + by)
                s_y += g_f * (np.float32(2) * c * dy + b * dx)
                b0[x] = alpha * red + rest * b0[x]
                b1[x] = alpha * green + rest * b1[x]
                b2[x] = alpha * blue + rest * b2[x]
                seen[x] = t
        g_colour[i, 0] += s_red
        g_colour[i, 1] += s_green
        g_colour[i, 2] += s_blue
        g_opacity[i] += s_o
        g_conic[i, 0] += s_a * _PLAIN
        g_conic[i, 1] += s_b * _TWICE
        g_conic[i, 2] += s_c * _PLAIN
        g_centre[i, 0] += s_x
        g_centre[i, 1] += s_y
