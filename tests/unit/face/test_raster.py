"""The rasterisers: closed forms, exact coverage, equality of the fast and the plain one, gradients, bad input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from talkingface.face import raster, raster_torch
from talkingface.face.camera import Camera, to_screen

SQUARE = np.array([[0, 1, 2], [2, 1, 3]], np.int32)  # corners in the order of _corners, counter-clockwise


def _corners(x0: float, y0: float, x1: float, y1: float, z: float = 1.0) -> np.ndarray:
    return np.array([[x0, y0, z], [x0, y1, z], [x1, y0, z], [x1, y1, z]], np.float32)


def _mesh(seed: int, size: tuple[int, int], count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Random points over the whole picture and a bit more, with the picture's corners, triangulated."""
    rng = np.random.default_rng(seed)
    frame = _corners(-4, -4, size[0] + 4, size[1] + 4)[:, :2]
    xy = np.concatenate([rng.uniform(-3, np.array(size) + 3, (count, 2)), frame])
    xy[: count // 2] = np.round(xy[: count // 2] * 2) / 2  # vertices and edges that hit pixel centres
    xy = np.unique(xy, axis=0)
    points = np.concatenate([xy, rng.uniform(1, 4, (len(xy), 1))], axis=1).astype(np.float32)
    return points, Delaunay(xy).simplices.astype(np.int32)


def _soup(seed: int, count: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Triangles that overlap, cross, leave the picture and face both ways."""
    rng = np.random.default_rng(seed)
    points = rng.uniform((-8, -8, 0.5), (40, 32, 5), (3 * count, 3)).astype(np.float32)
    return points, np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def _torch_fragments(points, triangles, size, **options) -> raster_torch.Fragments:
    return raster_torch.rasterize(torch.from_numpy(points), torch.from_numpy(triangles), size, **options)


def test_a_square_covers_the_pixels_whose_centres_lie_inside():
    seen = raster.rasterize(_corners(2.5, 1.25, 7.5, 4.75), SQUARE, (10, 6))
    expected = np.zeros((6, 10), bool)
    expected[1:5, 2:7] = True  # a centre at x = 2.5 lies on the left edge (in), at 7.5 on the right one (out)
    np.testing.assert_array_equal(seen.face_id >= 0, expected)
    np.testing.assert_allclose(seen.bary.sum(-1), expected, atol=1e-6)
    assert np.isinf(seen.depth[~expected]).all() and (seen.bary[~expected] == 0).all()


@pytest.mark.parametrize("perspective", [False, True])
def test_a_triangle_covers_what_its_half_planes_say(perspective):
    points = np.array([[3.3, 2.1, 1], [11.2, 9.7, 1], [1.7, 13.4, 1]], np.float32)
    seen = raster.rasterize(points, np.int32([[0, 1, 2]]), (14, 15), perspective=perspective)
    y, x = np.mgrid[:15, :14] + 0.5
    expected = np.ones((15, 14), bool)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        (ax, ay), (bx, by) = points[a, :2], points[b, :2]
        expected &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0
    np.testing.assert_array_equal(seen.face_id == 0, expected)
    where = np.einsum("hwk,kc->hwc", seen.bary, points[:, :2])[expected]
    np.testing.assert_allclose(where, np.stack([x, y], -1)[expected], atol=2e-3)  # the snapping grid is 1/1024


def test_perspective_interpolation_matches_the_ray_through_each_pixel():
    camera = Camera(40.0, (16.0, 12.0), (32, 24))
    model = np.array([[-2.0, -1.0, 4.0], [-1.5, 2.0, 5.0], [6.0, 0.0, 12.0]])
    triangles = np.int32([[0, 1, 2]])
    seen = raster.rasterize(to_screen(camera, model).astype(np.float32), triangles, camera.size, perspective=True)
    found = raster.interpolate(seen, triangles, model.astype(np.float32))
    inside = seen.face_id == 0
    assert inside.sum() > 100
    y, x = np.mgrid[:24, :32] + 0.5
    rays = camera.unproject(np.stack([x, y], -1), np.ones((24, 32)))
    normal = np.cross(model[1] - model[0], model[2] - model[0])
    distance = (normal @ model[0]) / (rays @ normal)  # where the ray meets the triangle's plane
    np.testing.assert_allclose(found[inside], (rays * distance[..., None])[inside], atol=5e-3)
    np.testing.assert_allclose(seen.depth[inside], distance[inside], atol=5e-3)


def test_without_perspective_attributes_are_linear_over_the_picture():
    points, triangles = _mesh(3, (20, 16))
    plane = points[:, :2] @ np.float32([[2.0], [-3.0]]) + 1
    seen = raster.rasterize(points, triangles, (20, 16))
    y, x = np.mgrid[:16, :20] + 0.5
    np.testing.assert_allclose(raster.interpolate(seen, triangles, plane)[..., 0], 2 * x - 3 * y + 1, atol=2e-2)


def test_the_nearest_surface_is_seen_and_the_first_at_equal_depth():
    points = np.concatenate([_corners(0, 0, 6, 6, 2.0), _corners(2, 2, 8, 8, 1.0), _corners(0, 0, 3, 3, 1.0)])
    triangles = np.concatenate([SQUARE, SQUARE + 4, SQUARE + 8])
    for order in (triangles, triangles[::-1]):
        depth = raster.rasterize(points, order, (8, 8)).depth
        assert depth[1, 1] == 1 and depth[4, 4] == 1 and depth[4, 0] == 2 and np.isinf(depth[0, 7])
    assert raster.rasterize(points, triangles, (8, 8)).face_id[2, 2] in (2, 3)


def test_culling_keeps_the_counter_clockwise_side():
    points = _corners(0, 0, 4, 4)
    assert (raster.rasterize(points, SQUARE, (4, 4), cull=True).face_id >= 0).all()
    assert (raster.rasterize(points, SQUARE[:, ::-1], (4, 4), cull=True).face_id < 0).all()
    assert (raster.rasterize(points, SQUARE[:, ::-1], (4, 4)).face_id >= 0).all()


def test_facing_viewer_turns_all_triangles_to_the_front():
    points, triangles = _mesh(8, (16, 16))
    mixed = np.where(np.arange(len(triangles))[:, None] % 2, triangles, triangles[:, ::-1])
    turned = raster.facing_viewer(points, mixed)
    assert turned.dtype == np.int32
    np.testing.assert_array_equal(np.sort(turned, axis=1), np.sort(triangles, axis=1))
    assert (raster.rasterize(points, turned, (16, 16), cull=True).face_id >= 0).all()
    mirrored = points * np.float32([-1, 1, 1]) + np.float32([16, 0, 0])
    assert (raster.rasterize(mirrored, turned, (16, 16), cull=True).face_id < 0).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_meshes_have_no_cracks_and_cover_no_pixel_twice(seed):
    size = (23, 17)
    points, triangles = _mesh(seed, size)
    assert (raster.rasterize(points, triangles, size).face_id >= 0).all()
    alone = [raster.rasterize(points, triangles[i : i + 1], size).face_id == 0 for i in range(len(triangles))]
    np.testing.assert_array_equal(np.sum(alone, axis=0), 1)


@pytest.mark.parametrize("perspective", [False, True])
@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize("make", [_soup, lambda seed: _mesh(seed, (33, 27))])
def test_fast_and_plain_rasterisers_are_equal(make, cull, perspective):
    for seed in range(3):
        points, triangles = make(seed)
        fast = raster.rasterize(points, triangles, (33, 27), cull=cull, perspective=perspective)
        plain = _torch_fragments(points, triangles, (33, 27), cull=cull, perspective=perspective)
        np.testing.assert_array_equal(fast.face_id, plain.face_id.numpy())
        np.testing.assert_allclose(fast.bary, plain.bary.numpy(), atol=1e-4)
        np.testing.assert_allclose(fast.depth, plain.depth.numpy(), rtol=1e-5)
        bary, depth = raster_torch.barycentrics(
            plain.face_id, torch.from_numpy(points), torch.from_numpy(triangles), perspective=perspective
        )
        np.testing.assert_allclose(bary.numpy(), fast.bary, atol=1e-4)
        np.testing.assert_allclose(depth.numpy(), fast.depth, rtol=1e-5)
        values = np.random.default_rng(seed).normal(size=(len(points), 4)).astype(np.float32)
        slow = raster_torch.interpolate(plain.face_id, bary, torch.from_numpy(triangles), torch.from_numpy(values))
        np.testing.assert_allclose(raster.interpolate(fast, triangles, values), slow.numpy(), atol=1e-4)


def test_texture_lookup_is_bilinear_clamped_and_equal_to_the_plain_one():
    rng = np.random.default_rng(0)
    texture = rng.normal(size=(7, 9, 2)).astype(np.float32)
    uv = rng.uniform(-3, 12, (11, 13, 2)).astype(np.float32)
    uv[0, :2] = (2.5, 3.5), (3.0, 4.0)
    found = raster.sample_texture(texture, uv)
    np.testing.assert_allclose(found[0, 0], texture[3, 2], atol=1e-6)
    np.testing.assert_allclose(found[0, 1], texture[3:5, 2:4].mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(
        found, raster_torch.sample_texture(torch.from_numpy(texture), torch.from_numpy(uv)).numpy(), atol=1e-5
    )
    outside = raster.sample_texture(texture, np.float32([[[-50, -50], [50, 50]]]))
    np.testing.assert_array_equal(outside[0], texture[[0, -1], [0, -1]])


def test_gradients_of_interpolation_and_texture():
    points, triangles = _mesh(1, (6, 5), 6)
    plain = _torch_fragments(points, triangles, (6, 5))
    faces = torch.from_numpy(triangles)
    attributes = torch.rand(len(points), 2, dtype=torch.float64, requires_grad=True)
    bary = plain.bary.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda weights, values: raster_torch.interpolate(plain.face_id, weights, faces, values), (bary, attributes)
    )
    texture = torch.rand(4, 5, 2, dtype=torch.float64, requires_grad=True)
    uv = (torch.rand(3, 4, 2, dtype=torch.float64) * 3 + 0.77).requires_grad_()
    assert torch.autograd.gradcheck(raster_torch.sample_texture, (texture, uv))


@pytest.mark.parametrize("perspective", [False, True])
def test_gradients_of_weights_follow_the_vertices(perspective):
    """Against differences over steps of whole grid cells, which snapping leaves exact."""
    points = torch.tensor([[0.5, 0.25, 2.0], [1.0, 7.5, 3.0], [7.25, 3.0, 4.0]], dtype=torch.float64)
    triangles = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    seen = raster_torch.rasterize(points, triangles, (8, 8), perspective=perspective)
    weight = torch.rand(8, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(moved: torch.Tensor) -> torch.Tensor:
        bary, depth = raster_torch.barycentrics(seen.face_id, moved, triangles, perspective=perspective)
        return (bary * weight).sum() + depth[seen.face_id >= 0].sum()

    points.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(points), points)
    step = 4 / raster_torch.SUBPIXELS
    for i in range(3):
        for j in range(3):
            offset = torch.zeros(3, 3, dtype=torch.float64)
            offset[i, j] = step
            with torch.no_grad():
                difference = (loss(points + offset) - loss(points - offset)) / (2 * step)
            assert abs(float(gradient[i, j] - difference)) < 1e-3 * max(1, abs(float(difference)))


def test_vertices_can_be_fitted_through_the_fast_rasteriser():
    """A square's depth is found from an image of it, as a fit to video would do."""
    corners = torch.from_numpy(_corners(1, 1, 15, 15, 3.0))
    faces, shift = torch.from_numpy(SQUARE), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([shift], lr=0.25)
    for _ in range(15):
        points = corners + torch.cat([torch.zeros(2), shift])
        seen = raster.rasterize(points.detach().numpy(), SQUARE, (16, 16), perspective=True)
        face_id = torch.from_numpy(seen.face_id)
        _, depth = raster_torch.barycentrics(face_id, points, faces, perspective=True)
        error = ((depth[face_id >= 0] - 5.0) ** 2).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert abs(shift.item() - 2) < 0.05


def _picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    noise = np.random.default_rng(5).integers(0, 256, (height, width, channels)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.0)


@pytest.mark.parametrize("channels", [3, 4])
def test_warp_onto_itself_returns_the_texture(channels):
    size = (48, 40)
    points, triangles = _mesh(2, size)
    texture = np.random.default_rng(0).integers(0, 256, (40, 48, channels)).astype(np.uint8)
    out = np.zeros_like(texture)
    coverage = raster.Warper(size).warp(texture, points[:, :2], points, triangles, out)
    assert (coverage == 255).all()
    assert np.abs(out.astype(int) - texture).max() <= 1


def test_a_face_that_moves_by_half_a_pixel_stays_sharp_and_one_that_rests_is_copied():
    size, points = (64, 48), _corners(0, 0, 64, 48)
    texture = _picture(48, 64)
    warper, out = raster.Warper(size), np.zeros((48, 64, 3), np.uint8)
    warper.warp(texture, points[:, :2], points, SQUARE, out)
    assert np.array_equal(out, texture)
    warper.warp(texture, points[:, :2] + np.float32([0.5, 0.5]), points, SQUARE, out)
    moved = raster.sample_texture(texture, np.stack(np.meshgrid(np.arange(64), np.arange(48)), -1) + np.float32(1))
    variance = [float(cv2.Laplacian(picture.astype(np.float32), cv2.CV_32F).var()) for picture in (texture, out, moved)]
    assert variance[1] > 1.5 * variance[2] and variance[1] < variance[0]


def test_nothing_rings_at_the_edge_of_a_cut_out():
    """Colours are multiplied by alpha, so none may exceed it, and beside the edge nothing may appear."""
    size, points = (32, 32), _corners(0, 0, 32, 32)
    texture = np.zeros((32, 32, 4), np.uint8)
    texture[:, 16:] = 255
    texture[:, 15] = 128
    for shift in (0.25, 0.5, 0.8):
        out = np.zeros((32, 32, 4), np.uint8)
        raster.Warper(size).warp(texture, points[:, :2] + np.float32([shift, 0]), points, SQUARE, out)
        assert not out[:, :14].any() and (out[:, 17:-1] == 255).all()
        assert (out[..., :3] <= out[..., 3:]).all() and (np.diff(out[5, :, 3].astype(int)) >= 0).all()


@pytest.mark.parametrize("cull", [False, True])
def test_warp_and_flow_equal_rasterise_interpolate_sample(cull):
    size = (33, 27)
    points, triangles = _soup(4)
    source = np.random.default_rng(1).uniform(-5, 45, (len(points), 2)).astype(np.float32)
    texture = _picture(40, 36)
    seen = raster.rasterize(points, triangles, size, cull=cull)
    uv = raster.interpolate(seen, triangles, source)
    expected = raster_torch.sample_cubic(torch.from_numpy(texture), torch.from_numpy(uv)).clamp(0, 255).numpy()
    inside = seen.face_id >= 0
    warper = raster.Warper(size)
    out, flow = np.full((27, 33, 3), 7, np.uint8), np.full((27, 33, 2), -9, np.float32)
    np.testing.assert_array_equal(warper.warp(texture, source, points, triangles, out, cull=cull) == 255, inside)
    assert np.abs(out.astype(float) - expected)[inside].max() <= 2
    assert (out[~inside] == 7).all()
    np.testing.assert_array_equal(warper.flow(source, points, triangles, flow, cull=cull) == 255, inside)
    np.testing.assert_allclose(flow[inside] + 0.5, uv[inside], atol=1e-2)
    assert (flow[~inside] == -9).all()


def test_flow_serves_remap_and_reduced_scale():
    size = (64, 48)
    points = _corners(0, 0, 64, 48)
    source = np.float32([[4, 6], [4, 40], [50, 6], [50, 40]])
    texture, out = _picture(48, 64), np.zeros((48, 64, 3), np.uint8)
    warper = raster.Warper(size)
    full, half = np.zeros((48, 64, 2), np.float32), np.zeros((24, 32, 2), np.float32)
    warper.warp(texture, source, points, SQUARE, out)
    warper.flow(source, points, SQUARE, full)
    assert (warper.flow(source, points, SQUARE, half) == 255).all()
    assert np.abs(cv2.remap(texture, full, None, cv2.INTER_LINEAR).astype(int) - out).mean() < 4, "sharper, same place"
    enlarged = cv2.resize(half, size, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(enlarged[1:-1, 1:-1], full[1:-1, 1:-1], atol=1e-2)


def test_region_limits_what_is_touched():
    warper, points = raster.Warper((16, 12)), _corners(0, 0, 16, 12)
    out, texture = np.zeros((12, 16, 3), np.uint8), np.full((12, 16, 3), 200, np.uint8)
    warper.warp(texture, points[:, :2], points + np.float32([0, 0, 1]), SQUARE, out)
    texture[:] = 100
    coverage = warper.warp(texture, points[:, :2], points, SQUARE, out, region=(3, 2, 30, 5))
    changed = np.zeros((12, 16), bool)
    changed[2:5, 3:16] = True
    np.testing.assert_array_equal(out[..., 0], np.where(changed, 100, 200))
    assert (coverage == 255).all()


def test_warpers_run_in_threads():
    size, (points, triangles) = (64, 64), _mesh(6, (64, 64))
    texture = raster.to_rgba(_picture(64, 64), np.full((64, 64), 128, np.uint8))
    read_only = points[:, :2].copy()
    read_only.flags.writeable = False

    def draw(_: int) -> bytes:
        out = np.zeros((64, 64, 4), np.uint8)
        raster.Warper(size).warp(texture, read_only, points, triangles, out)
        assert (out[..., 3] == 128).all()
        return out.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(16)))) == 1


def test_nothing_is_drawn_without_triangles_area_or_a_place_in_the_picture():
    none = np.zeros((0, 3), np.int32)
    flat = np.float32([[0, 0, 1], [4, 4, 1], [8, 8, 1]])
    away = _corners(-900, -900, -100, -100)
    cases = [
        (flat, none),
        (np.zeros((0, 3), np.float32), none),
        (flat, np.int32([[0, 1, 2], [1, 1, 1]])),
        (away, SQUARE),
        (_corners(-1e9, -1e9, 1e9, 1e9), SQUARE),  # beyond the limit that the module states
    ]
    for points, triangles in cases:
        out = np.zeros((8, 8, 3), np.uint8)
        assert (raster.rasterize(points, triangles, (8, 8)).face_id == -1).all()
        assert (_torch_fragments(points, triangles, (8, 8)).face_id == -1).all()
        assert (raster.Warper((8, 8)).warp(out + 9, points[:, :2], points, triangles, out) == 0).all()
        assert (out == 0).all()


def test_points_far_outside_still_cover_the_picture_and_those_behind_the_camera_do_not():
    points = _corners(-1e5, -1e5, 1e5, 1e5)
    assert (raster.rasterize(points, SQUARE, (9, 9)).face_id >= 0).all()
    points[:, 2] = -1
    assert (raster.rasterize(points, SQUARE, (9, 9)).face_id >= 0).all()
    assert (raster.rasterize(points, SQUARE, (9, 9), perspective=True).face_id == -1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    points, out = _corners(0, 0, 4, 4), np.zeros((4, 4, 3), np.uint8)
    source = points[:, :2].copy()
    points[1, 2] = bad
    with pytest.raises(ValueError, match="points has values that are not finite"):
        raster.rasterize(points, SQUARE, (4, 4))
    with pytest.raises(ValueError, match="points has values that are not finite"):
        _torch_fragments(points, SQUARE, (4, 4))
    source[0, 0] = bad
    with pytest.raises(ValueError, match="source_xy has values that are not finite"):
        raster.Warper((4, 4)).warp(out, source, _corners(0, 0, 4, 4), SQUARE, out)
    with pytest.raises(ValueError, match="uv has values that are not finite"):
        raster.sample_texture(out, source[None])


def test_wrong_shapes_and_indices_are_refused():
    points, out, warper = _corners(0, 0, 4, 4), np.zeros((4, 4, 3), np.uint8), raster.Warper((4, 4))
    with pytest.raises(ValueError, match="triangles must index 4 points"):
        raster.rasterize(points, SQUARE + 1, (4, 4))
    with pytest.raises(ValueError, match="triangles must index 4 points"):
        _torch_fragments(points, SQUARE - 1, (4, 4))
    with pytest.raises(ValueError, match="out must be 4 high and 4 wide"):
        warper.warp(out, points[:, :2], points, SQUARE, np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        warper.warp(out, points[:, :2], points, SQUARE, np.zeros((4, 8, 3), np.uint8)[:, ::2])
    with pytest.raises(ValueError, match="equal lengths"):
        warper.warp(out, points[:3, :2], points, SQUARE, out.copy())
    with pytest.raises(ValueError, match="out exceeds"):
        warper.flow(points[:, :2], points, SQUARE, np.zeros((5, 4, 2), np.float32))
    with pytest.raises(ValueError, match="more triangles"):
        raster.interpolate(raster.rasterize(points, SQUARE, (4, 4)), SQUARE[:1], points)
