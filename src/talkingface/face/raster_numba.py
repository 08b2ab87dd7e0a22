"""Compiled kernels of `face/raster.py`: triangle set-up, coverage, interpolation, texture look-up and the warp.

Nothing here checks its arguments; `face/raster.py` does, and is what other modules import. All kernels release the GIL
and use one thread; `core.kernels` says when they are compiled.

Coverage is decided in integers: vertices are snapped to 1/1024 pixel, so an edge shared by two triangles has one exact
equation, and the top-left rule gives every pixel on it to exactly one of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit, types

from talkingface.core.kernels import kernel

SUBPIXEL_BITS = 10
SUBPIXELS = 1 << SUBPIXEL_BITS
LIMIT_PX = 1 << 19  # keeps edge products below 2**63

# Columns of the set-up table, one row per triangle that may cover a pixel.
FACE, X0, X1, Y0, Y1, AREA = 0, 1, 2, 3, 4, 5
EDGE, STEP_X, STEP_Y, BIAS = 6, 9, 12, 15  # three columns each
COLUMNS = 18

_LANES = np.uint64(0x00FF00FF00FF00FF)
_HALF = np.uint64(0x0080008000800080)
_EVEN = np.uint64(0x00FF00FF)
_ODD = np.uint64(0xFF00FF00)
_OPAQUE = np.uint32(0xFF000000)
_WEIGHT_BITS = 7


def _catmull_rom() -> np.ndarray:
    """Weights of four neighbours for 256 places between the middle two: uint64 [256, 4], sums 128, modulo 2**64."""
    t = np.arange(256) / 256
    exact = (
        np.stack([((2 - t) * t - 1) * t, (3 * t - 5) * t * t + 2, ((4 - 3 * t) * t + 1) * t, (t - 1) * t * t], 1) / 2
    )
    whole = np.rint(exact * (1 << _WEIGHT_BITS)).astype(np.int64)
    whole[np.arange(256), exact.argmax(1)] += (1 << _WEIGHT_BITS) - whole.sum(1)
    return whole.astype(np.uint64)


# Lanes must not become negative: 64 is added to what a row gives, 32 to what a column gives, and half for rounding.
_CUBIC = _catmull_rom()
_BITS = np.uint64(_WEIGHT_BITS)
_ROW_ROUND, _COLUMN_ROUND = np.uint64(0x2040204020402040), np.uint64(0x1040104010401040)
_WIDER_LANES = np.uint64(0x01FF01FF01FF01FF)
_ADDED = 96


def _input(dtype: types.Type, ndim: int) -> types.Array:
    """The type of an argument that is only read (so that read-only arrays need no second compilation)."""
    return types.Array(dtype, ndim, "C", readonly=True)


def _kernel(*arguments: types.Type, returns: types.Type = types.void) -> Callable[[Callable], Callable]:
    """See `core.kernels`; division as NumPy has it, without a check of each divisor."""
    return kernel(returns(*arguments), error_model="numpy")


_POINTS = _input(types.float32, 2)
_TRIANGLES = _input(types.int32, 2)
_TABLE = _input(types.int64, 2)
_BOX = types.UniTuple(types.int64, 4)
_SCALE = types.UniTuple(types.float64, 2)
_F32_2, _F32_3 = types.float32[:, ::1], types.float32[:, :, ::1]
_U8_2, _U8_3 = types.uint8[:, ::1], types.uint8[:, :, ::1]


@_kernel(_POINTS, _TRIANGLES, _SCALE, _BOX, types.boolean, types.boolean, types.int64[:, ::1], returns=types.int64)
def setup(points, triangles, scale, box, cull, needs_depth, table):
    """Fill `table` int64 [F, COLUMNS] with the triangles that can cover pixels of `box` (x0, y0, x1, y1); their number.

    Left out: no area, farther than LIMIT_PX from the origin, outside the box, seen from behind (`cull`), and with
    `needs_depth` a vertex at or behind the camera. `scale` multiplies x and y.
    """
    count = 0
    x = np.empty(3, np.int64)
    y = np.empty(3, np.int64)
    for face in range(triangles.shape[0]):
        usable = True
        for k in range(3):
            vertex = triangles[face, k]
            px = points[vertex, 0] * scale[0]
            py = points[vertex, 1] * scale[1]
            if abs(px) > LIMIT_PX or abs(py) > LIMIT_PX or (needs_depth and points[vertex, 2] <= 0):
                usable = False
                break
            x[k] = np.int64(np.rint(px * SUBPIXELS))
            y[k] = np.int64(np.rint(py * SUBPIXELS))
        if not usable:
            continue
        area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
        if area == 0 or (cull and area > 0):
            continue
        sign = 1 if area > 0 else -1
        half = SUBPIXELS // 2
        x0 = max(box[0], (min(x[0], x[1], x[2]) + half - 1) >> SUBPIXEL_BITS)
        y0 = max(box[1], (min(y[0], y[1], y[2]) + half - 1) >> SUBPIXEL_BITS)
        x1 = min(box[2] - 1, (max(x[0], x[1], x[2]) - half) >> SUBPIXEL_BITS)
        y1 = min(box[3] - 1, (max(y[0], y[1], y[2]) - half) >> SUBPIXEL_BITS)
        if x0 > x1 or y0 > y1:
            continue
        row = table[count]
        row[FACE], row[X0], row[X1], row[Y0], row[Y1], row[AREA] = face, x0, x1, y0, y1, sign * area
        for k in range(3):
            a, b = (k + 1) % 3, (k + 2) % 3
            ex, ey = sign * (x[b] - x[a]), sign * (y[b] - y[a])
            row[EDGE + k] = ex * ((y0 << SUBPIXEL_BITS) + half - y[a]) - ey * ((x0 << SUBPIXEL_BITS) + half - x[a])
            row[STEP_X + k] = -ey << SUBPIXEL_BITS
            row[STEP_Y + k] = ex << SUBPIXEL_BITS
            row[BIAS + k] = 0 if ey < 0 or (ey == 0 and ex > 0) else -1
        count += 1
    return count


@njit(nogil=True, error_model="numpy")
def _span(row, y):
    """First and last column offset from X0 that the triangle covers in line `y` (first > last: none)."""
    first, last = np.int64(0), row[X1] - row[X0]
    for k in range(3):
        edge = row[EDGE + k] + (y - row[Y0]) * row[STEP_Y + k] + row[BIAS + k]
        step = row[STEP_X + k]
        if step > 0:
            if edge < 0:
                first = max(first, (step - 1 - edge) // step)
        elif edge < 0:
            return np.int64(1), np.int64(0)
        elif step < 0:
            last = min(last, edge // -step)
    return first, last


@njit(nogil=True, error_model="numpy")
def _plane(row, y, column, a0, a1, a2):
    """Value at (X0 + column, y) and step per column of the attribute that is a0, a1, a2 at the corners."""
    inverse = 1.0 / row[AREA]
    value, step = 0.0, 0.0
    corners = (a0, a1, a2)
    for k in range(3):
        edge = row[EDGE + k] + (y - row[Y0]) * row[STEP_Y + k] + column * row[STEP_X + k]
        value += edge * inverse * corners[k]
        step += row[STEP_X + k] * inverse * corners[k]
    return value, step


@_kernel(_POINTS, _TRIANGLES, _TABLE, types.int64, types.boolean, types.int32[:, ::1], _F32_3, _F32_2)
def fill(points, triangles, table, count, perspective, face_id, bary, depth):
    """The visible triangle, its weights and its depth at every pixel; the buffers hold -1, 0 and infinity before."""
    for i in range(count):
        row = table[i]
        face = row[FACE]
        z0 = np.float64(points[triangles[face, 0], 2])
        z1 = np.float64(points[triangles[face, 1], 2])
        z2 = np.float64(points[triangles[face, 2], 2])
        inverse = 1.0 / np.float64(row[AREA])
        for y in range(row[Y0], row[Y1] + 1):
            first, last = _span(row, y)
            for column in range(first, last + 1):
                down = y - row[Y0]
                b0 = np.float64(row[EDGE] + down * row[STEP_Y] + column * row[STEP_X]) * inverse
                b1 = np.float64(row[EDGE + 1] + down * row[STEP_Y + 1] + column * row[STEP_X + 1]) * inverse
                b2 = np.float64(row[EDGE + 2] + down * row[STEP_Y + 2] + column * row[STEP_X + 2]) * inverse
                if perspective:
                    b0, b1, b2 = b0 / z0, b1 / z1, b2 / z2
                    z = 1.0 / (b0 + b1 + b2)
                    b0, b1, b2 = b0 * z, b1 * z, b2 * z
                else:
                    z = b0 * z0 + b1 * z1 + b2 * z2
                x = row[X0] + column
                if np.float32(z) < depth[y, x]:
                    depth[y, x] = z
                    face_id[y, x] = face
                    bary[y, x, 0], bary[y, x, 1], bary[y, x, 2] = b0, b1, b2


@_kernel(_input(types.int32, 2), _input(types.float32, 3), _TRIANGLES, _POINTS, _F32_3)
def interpolate(face_id, bary, triangles, attributes, out):
    """Weighted sum of the corners' attributes; pixels without a triangle are left alone."""
    for y in range(face_id.shape[0]):
        for x in range(face_id.shape[1]):
            face = face_id[y, x]
            if face >= 0:
                a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
                w0, w1, w2 = bary[y, x, 0], bary[y, x, 1], bary[y, x, 2]
                for k in range(attributes.shape[1]):
                    out[y, x, k] = w0 * attributes[a, k] + w1 * attributes[b, k] + w2 * attributes[c, k]


@_kernel(_input(types.float32, 3), _input(types.float32, 3), _F32_3)
def sample(texture, uv, out):
    """Bilinear look-up at positions whose texel centres are at one half; clamped at the border."""
    height, width = texture.shape[0], texture.shape[1]
    for y in range(uv.shape[0]):
        for x in range(uv.shape[1]):
            u = min(max(uv[y, x, 0] - np.float32(0.5), np.float32(0)), np.float32(width - 1))
            v = min(max(uv[y, x, 1] - np.float32(0.5), np.float32(0)), np.float32(height - 1))
            u0, v0 = np.int64(u), np.int64(v)
            u1, v1 = min(u0 + 1, width - 1), min(v0 + 1, height - 1)
            fu, fv = u - np.float32(u0), v - np.float32(v0)
            for k in range(texture.shape[2]):
                top = texture[v0, u0, k] + fu * (texture[v0, u1, k] - texture[v0, u0, k])
                bottom = texture[v1, u0, k] + fu * (texture[v1, u1, k] - texture[v1, u0, k])
                out[y, x, k] = top + fv * (bottom - top)


@njit(nogil=True, error_model="numpy")
def _texel(pixel):
    """The four bytes of an RGBA pixel spread over four 16-bit lanes, in the order R, B, G, A from below."""
    value = np.uint64(pixel)
    return (value & _EVEN) | ((value & _ODD) << np.uint64(24))


@njit(nogil=True, error_model="numpy")
def _bilinear(texture, u, v):
    """All four channels at once, weights of 8 bits; u and v have 8 fraction bits and lie inside the texture."""
    x0, y0 = np.int64(u >> 8), np.int64(v >> 8)
    x1, y1 = min(x0 + 1, texture.shape[1] - 1), min(y0 + 1, texture.shape[0] - 1)
    # Unsigned indices spare numba's test for counting from the end.
    x0, x1, y0, y1 = np.uint64(x0), np.uint64(x1), np.uint64(y0), np.uint64(y1)
    fx, fy = np.uint64(u & 255), np.uint64(v & 255)
    # a * 256 + (b - a) * f: differences may borrow across lanes, but the sum is exact again in every lane.
    eight = np.uint64(8)
    a, b = _texel(texture[y0, x0]), _texel(texture[y0, x1])
    c, d = _texel(texture[y1, x0]), _texel(texture[y1, x1])
    top = (((a << eight) + (b - a) * fx + _HALF) >> eight) & _LANES
    bottom = (((c << eight) + (d - c) * fx + _HALF) >> eight) & _LANES
    return (((top << eight) + (bottom - top) * fy + _HALF) >> eight) & _LANES


@njit(nogil=True, error_model="numpy")
def _cubic_row(row, x0, x1, x2, x3, fx):
    """All four channels between columns `x1` and `x2`, with 64 added."""
    total = _texel(row[x0]) * _CUBIC[fx, 0] + _texel(row[x1]) * _CUBIC[fx, 1]
    total += _texel(row[x2]) * _CUBIC[fx, 2] + _texel(row[x3]) * _CUBIC[fx, 3]
    return ((total + _ROW_ROUND) >> _BITS) & _WIDER_LANES


@njit(nogil=True, error_model="numpy")
def _cubic(texture, u, v):
    """As `_bilinear`, by Catmull-Rom's spline through 4 x 4 texels; bilinear where one of these is not opaque."""
    x, y = np.int64(u >> 8), np.int64(v >> 8)
    right, bottom = texture.shape[1] - 1, texture.shape[0] - 1
    x0, x1 = np.uint64(max(x - 1, 0)), np.uint64(x)
    x2, x3 = np.uint64(min(x + 1, right)), np.uint64(min(x + 2, right))
    a, b = texture[np.uint64(max(y - 1, 0))], texture[np.uint64(y)]
    c, d = texture[np.uint64(min(y + 1, bottom))], texture[np.uint64(min(y + 2, bottom))]
    common = a[x0] & a[x1] & a[x2] & a[x3] & b[x0] & b[x1] & b[x2] & b[x3]
    common &= c[x0] & c[x1] & c[x2] & c[x3] & d[x0] & d[x1] & d[x2] & d[x3]
    if common < _OPAQUE:
        return _bilinear(texture, u, v)
    fx, fy = np.uint64(u & 255), np.uint64(v & 255)
    total = _cubic_row(a, x0, x1, x2, x3, fx) * _CUBIC[fy, 0] + _cubic_row(b, x0, x1, x2, x3, fx) * _CUBIC[fy, 1]
    total += _cubic_row(c, x0, x1, x2, x3, fx) * _CUBIC[fy, 2] + _cubic_row(d, x0, x1, x2, x3, fx) * _CUBIC[fy, 3]
    lanes = ((total + _COLUMN_ROUND) >> _BITS) & _WIDER_LANES
    value = np.uint64(0)
    for lane in range(4):
        shift = np.uint64(16 * lane)
        channel = np.int64((lanes >> shift) & np.uint64(511)) - _ADDED
        value |= np.uint64(min(max(channel, 0), 255)) << shift
    return value


@_kernel(_input(types.uint8, 3), _U8_3)
def add_alpha(rgb, rgba):
    """Copy the colours and set alpha to 255."""
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            rgba[y, x, 0], rgba[y, x, 1], rgba[y, x, 2] = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            rgba[y, x, 3] = 255


@njit(nogil=True, error_model="numpy")
def _gradient(row, a0, a1, a2):
    """Value at (X0, Y0) and steps per column and line of the attribute that is a0, a1, a2 at the corners."""
    inverse = 1.0 / row[AREA]
    w0, w1, w2 = inverse * a0, inverse * a1, inverse * a2
    value = row[EDGE] * w0 + row[EDGE + 1] * w1 + row[EDGE + 2] * w2
    across = row[STEP_X] * w0 + row[STEP_X + 1] * w1 + row[STEP_X + 2] * w2
    return value, across, row[STEP_Y] * w0 + row[STEP_Y + 1] * w1 + row[STEP_Y + 2] * w2


@_kernel(_POINTS, _POINTS, _TRIANGLES, _TABLE, types.int64, _F32_2, _U8_2, types.int32[:, :, ::1])
def locate(source_xy, points, triangles, table, count, depth, coverage, places):
    """Write which place of the texture each pixel shows into `places` [H, W, 2]: x and y from the first texel's centre,
    with 8 fraction bits."""
    for i in range(count):
        row = table[i]
        a, b, c = triangles[row[FACE], 0], triangles[row[FACE], 1], triangles[row[FACE], 2]
        z, z_x, z_y = _gradient(row, points[a, 2], points[b, 2], points[c, 2])
        u, u_x, u_y = _gradient(row, source_xy[a, 0], source_xy[b, 0], source_xy[c, 0])
        v, v_x, v_y = _gradient(row, source_xy[a, 1], source_xy[b, 1], source_xy[c, 1])
        for y in range(row[Y0], row[Y1] + 1):
            first, last = _span(row, y)
            down = y - row[Y0]
            depth_row, cover_row, place_row = depth[y], coverage[y], places[y]
            for k in range(first, last + 1):
                x = np.uint64(row[X0] + k)
                near = np.float32(z + down * z_y + k * z_x)
                if near < depth_row[x]:
                    depth_row[x] = near
                    cover_row[x] = 255
                    # half a texel back to the texel's centre; cutting to 8 bits then rounds to the nearest
                    place_row[x, 0] = np.int32(np.floor((u + down * u_y + k * u_x - 0.5) * 256 + 0.5))
                    place_row[x, 1] = np.int32(np.floor((v + down * v_y + k * v_x - 0.5) * 256 + 0.5))


@_kernel(_input(types.uint32, 2), _input(types.int32, 3), _input(types.uint8, 2), _BOX, _U8_3)
def look_up(texture, places, coverage, box, out):
    """Fill the covered pixels of `box` in `out` [H, W, 3 or 4] from the texture (RGBA as one word per pixel)."""
    u_limit, v_limit = np.int32((texture.shape[1] - 1) << 8), np.int32((texture.shape[0] - 1) << 8)
    zero, channels = np.int32(0), out.shape[2]
    for y in range(box[1], box[3]):
        place_row, cover_row, out_row = places[y], coverage[y], out[y]
        for column in range(box[0], box[2]):
            x = np.uint64(column)
            if cover_row[x] == 0:
                continue
            u, v = min(max(place_row[x, 0], zero), u_limit), min(max(place_row[x, 1], zero), v_limit)
            # where nothing moved by a fraction of a pixel, pixels are copied
            is_whole = (u | v) & 255 == 0
            value = _texel(texture[np.uint64(v >> 8), np.uint64(u >> 8)]) if is_whole else _cubic(texture, u, v)
            out_row[x, 0] = value & np.uint64(255)
            out_row[x, 1] = (value >> np.uint64(32)) & np.uint64(255)
            out_row[x, 2] = (value >> np.uint64(16)) & np.uint64(255)
            if channels == 4:
                out_row[x, 3] = value >> np.uint64(48)


@_kernel(_POINTS, _POINTS, _TRIANGLES, _TABLE, types.int64, _F32_2, _U8_2, _F32_3)
def flow(source_xy, points, triangles, table, count, depth, coverage, out):
    """Like `warp`, but writes where each pixel comes from, texel centres at whole numbers, into `out` [H, W, 2]."""
    for i in range(count):
        row = table[i]
        a, b, c = triangles[row[FACE], 0], triangles[row[FACE], 1], triangles[row[FACE], 2]
        for y in range(row[Y0], row[Y1] + 1):
            first, last = _span(row, y)
            if first > last:
                continue
            z, z_step = _plane(row, y, first, points[a, 2], points[b, 2], points[c, 2])
            s, s_step = _plane(row, y, first, source_xy[a, 0], source_xy[b, 0], source_xy[c, 0])
            t, t_step = _plane(row, y, first, source_xy[a, 1], source_xy[b, 1], source_xy[c, 1])
            left = row[X0] + first
            for k in range(last - first + 1):
                x = np.uint64(left + k)
                near = np.float32(z + k * z_step)
                if near < depth[y, x]:
                    depth[y, x] = near
                    coverage[y, x] = 255
                    out[y, x, 0] = s - 0.5 + k * s_step
                    out[y, x, 1] = t - 0.5 + k * t_step
