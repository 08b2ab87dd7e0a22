"""The parser of stated recipes, with texts of every kind that recordings hold, beside the same written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from parity.formula import FormulaError, evaluate
from parity.recipe import RecipeError, Recipes
from parity.rule import philox

T = np.arange(50) / 1000
Y, X = np.mgrid[:3, :4]


def draw(stream: int, *shape: int) -> np.ndarray:
    return philox(3, stream).standard_normal(shape)


def walked(noise: np.ndarray) -> np.ndarray:
    place, speed = np.zeros_like(noise), np.zeros_like(noise)
    for k in range(1, len(noise)):
        speed[k] = 0.5 * speed[k - 1] + 0.1 * noise[k]
        place[k] = 0.25 * place[k - 1] + speed[k]
    return place[20:]


def added_up() -> np.ndarray:
    rng, made = philox(5, 7), np.zeros((3, 4, 2))
    for channel in range(2):
        for _ in range(3):
            fx, fy, phase = rng.uniform(1, 2, 3)
            made[..., channel] += np.sin(2 * np.pi * (fx * X / 4 + fy * Y / 3) + phase)
    return np.clip(9 + 5 * (made + 0.5 * rng.standard_normal((3, 4, 2))), 0, 255).astype(np.uint8)


def scaled(rows: np.ndarray) -> np.ndarray:
    rows = rows * np.repeat([2.0, 0.5, 1.0], [2, 1, 1])
    rows[:, 3] = 0.3 + 0.1 * rows[:, 3]
    return rows


def changed(values: np.ndarray, where: object, to: object) -> np.ndarray:
    values[where] = to
    return values


def moving_points() -> list[np.ndarray]:
    rng = philox(3, 60)
    base = changed(np.stack([rng.uniform(6, 20, 4), rng.uniform(6, 22, 4)], 1), slice(1, 3), (95, 110))
    return [base + 2 * rng.standard_normal((4, 2)) + shift for shift in ((0, 0), (3, -1.5))]


def drawn_corners() -> np.ndarray:
    drawn = philox(3, 9).integers(0, 60, (8, 3))
    return changed(drawn, (slice(None), 1), (drawn[:, 0] + 1 + drawn[:, 1] % 20) % 60)


CASES = {
    "numpy Generator(Philox(key=[3, 4])).standard_normal((2, 3)) * 10 -> float32": 10 * draw(4, 2, 3),
    "-6 + 6 * Generator(Philox(key=[3, 4])).standard_normal((2, 3))": 6 * draw(4, 2, 3) - 6,
    "float32 of numpy.random.Generator(numpy.random.Philox(key=[3, 4])).uniform(0.0, 1.0, (2, 3)) * 1.2 + -0.6": (
        philox(3, 4).uniform(0, 1, (2, 3)) * 1.2 - 0.6
    ),
    "2 * numpy Generator(Philox(key=[3, 8])).random((1, 4)) - 1, RGB": 2 * philox(3, 8).random((1, 4)) - 1,
    "tanh of numpy Generator(Philox(key=[3, 7])).standard_normal((2, 5)) -> float32": np.tanh(draw(7, 2, 5)),
    "0.5*g(3,80).standard_normal((1, 3)) laid out (batch, time=3)": 0.5 * draw(80, 1, 3),
    "clip(140 + 30 * g(3,5).standard_normal((1, 9)) , 130, 150)": np.clip(140 + 30 * draw(5, 1, 9), 130, 150),
    "rows of g(3,5).standard_normal((4, 9)) divided by their L2 norm (float64), then float32": (
        draw(5, 4, 9) / np.linalg.norm(draw(5, 4, 9), axis=1, keepdims=True)
    ),
    "s(t) = 0.3 sin(2 pi (200 t + 150 t^2)) + 0.1 cos(2 pi 30 t); t = n/1000, n = 0..49, float64 then float32": (
        0.3 * np.sin(2 * np.pi * (200 * T + 150 * T**2)) + 0.1 * np.cos(2 * np.pi * 30 * T)
    ),
    "n=50, t=arange(n)/1000, x=0.5*sin(2pi(20t+30t^2))*exp(-3t), then x[10:20]=0 (float32)": changed(
        0.5 * np.sin(2 * np.pi * (20 * T + 30 * T**2)) * np.exp(-3 * T), slice(10, 20), 0
    ),
    "n = 50 samples. t = arange(n)/1000; s = 90 sin(2pi 30 t); truncated toward zero to int16": (
        np.trunc(90 * np.sin(2 * np.pi * 30 * T))
    ),
    "f(t) = 15+4 sin(2 pi 9 t); gap where 0.01<=t<0.02 or t > 0.04; t = arange(50)/1000; phase = 2 pi cumsum(f)/1000; "
    "x = (1+t) sum_(h=1..3) sin(h phase)/h + 0.01 t, gap set to 0": changed(
        (1 + T) * sum(np.sin(h * 2 * np.pi * np.cumsum(15 + 4 * np.sin(18 * np.pi * T)) / 1000) / h for h in (1, 2, 3))
        + 0.01 * T,
        ((T >= 0.01) & (T < 0.02)) | (T > 0.04),
        0,
    ),
    "img[y,x,k] = floor(clip(127 + 50 sin(x/4 + 0.3 k) + (x+y)/(1+4k), 0, 150)), RGB k = 0..2, 3x4 (h x w)": np.floor(
        np.clip(
            np.stack([127 + 50 * np.sin(X / 4 + 0.3 * k) + (X + Y) / (1 + 4 * k) for k in range(3)], -1),
            0,
            150,
        )
    ),
    "c = g(3,6).standard_normal((1, 4)) ; then columns 0:2 * 2, 2 * 0.5, 3 -> 0.3 + 0.1 c": scaled(draw(6, 1, 4)),
    "vertex (5 k) mod 7 for k = 0..9": 5 * np.arange(10) % 7,
    "r=g(3,60); base=stack(r.uniform(6,20,4), r.uniform(6,22,4)) as x,y columns; base[1:3]=(95,110); "
    "frame i of 2: base + 2*r.standard_normal((4,2)) + (3i,-1.5i)": moving_points(),
    "3 arrays, sides [2, 2, 2]; array i is 0.1*g(3,11+i).standard_normal((1,side))": [
        0.1 * draw(11 + i, 1, 2) for i in range(3)
    ],
    "u, v = meshgrid(linspace(-1,1,4), linspace(1,0,3)); z = 0.5 exp(-((u/0.4)^2+v^2))": (
        0.5 * np.exp(-((np.linspace(-1, 1, 4) / 0.4) ** 2 + np.linspace(1, 0, 3)[:, None] ** 2))
    ),
    "r = g(3,9); r.standard_normal((5, 6)) * [3,4,...] + [2,-1,0,...]": (
        draw(9, 5, 6) * [3, 4, 4, 4, 4, 4] + [2, -1, 0, 0, 0, 0]
    ),
    "cumsum over rows of 0.2 * r.standard_normal((4, 3)), r = g(3,9)": np.cumsum(0.2 * draw(9, 4, 3), 0),
    "g(3,9).standard_normal((4, 3)) * 0.6; then z -= 8": 0.6 * draw(9, 4, 3) - [0, 0, 8],
    "g(3,9).standard_normal((4, 3)); rows normalised to unit length in float32": (
        draw(9, 4, 3) / np.linalg.norm(draw(9, 4, 3), axis=1, keepdims=True)
    ),
    "g(3,9).standard_normal((4, 3)); rows 0, 1 set to -1, 1": changed(
        draw(9, 4, 3), slice(0, 2), [[-1, -1, -1], [1, 1, 1]]
    ),
    "g(3,9).standard_normal((4, 3)); values <= 0.5 set to 0": draw(9, 4, 3) * (draw(9, 4, 3) > 0.5),
    "g(3,9).integers(0, 60, (8, 3)); col1 = (col0+1+col1%20)%60 (0-based)": drawn_corners(),
}


@pytest.mark.parametrize("text", CASES)
def test_recipes_are_read_to_the_letter(text):
    made, expected = Recipes({"made": text}).value("made"), np.asarray(CASES[text])
    np.testing.assert_allclose(made, expected, rtol=2e-7, atol=1e-7 * np.abs(expected).max())


def test_recipes_go_on_from_one_another():
    made = Recipes(
        {
            "first": "r = g(3,1); r.standard_normal((2, 3))",
            "second": "then abs(r.standard_normal(4))",
            "third": "0.7*first + g(3,2).standard_normal((2, 3))",
            "fourth": "same with g(3,5).standard_normal((2, 3))",
            "picked": "L2-normalised rows of fourth[fourth slots] + 0.5",
        }
    )
    rng = philox(3, 1)
    first, second = rng.standard_normal((2, 3)), np.abs(rng.standard_normal(4))
    np.testing.assert_allclose(made.value("second"), second)  # asked for alone, and still the second draw
    np.testing.assert_allclose(made.value("third"), 0.7 * first + draw(2, 2, 3))
    fourth = 0.7 * first + draw(5, 2, 3)
    np.testing.assert_allclose(made.value("fourth"), fourth)
    rows = fourth[[1, 0, 1]] + 0.5
    picked = made.value("picked", fourth_slots=[1, 0, 1])
    np.testing.assert_allclose(picked, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_functions_are_stated_with_the_recipes_or_in_the_notes():
    walk = "walk(k, n, s): e = Generator(Philox(key=[3, k])).standard_normal((n + 20, 2)); v[0]=p[0]=0; "
    walk += "v[i] = 0.5 v[i-1] + 0.1 e[i]; p[i] = 0.25 p[i-1] + v[i]; result s * p[20:] (float64)"
    made = Recipes({"path": "walk(50+1, N=30, 1.5)", "walk": walk}).value("path")
    np.testing.assert_allclose(made, 1.5 * walked(draw(51, 50, 2)))
    note = "test_image(a,h,w): r=g(a,7); for each channel c in 0..1, three times: fx,fy,p=r.uniform(1,2,3), "
    note += "im[y,x,c]+=sin(2pi(fx*x/w+fy*y/h)+p); then im+=0.5*r.standard_normal((h,w,2)); "
    note += "result clip(9+5*im,0,255) truncated to uint8, channel order as stored"
    recipes = Recipes(
        {"one": "test_image(5,3,4) as BGR uint8", "both": "test_image(5,3,4), test_image(1+4,3,4)"}, [note]
    )
    np.testing.assert_array_equal(recipes.value("one"), added_up())
    np.testing.assert_array_equal(recipes.value("both"), [added_up()] * 2)


def test_recipes_refer_to_other_recordings():
    stated = {
        "image": "same formula as image0 of crop, 5x2",
        "moved": "image rolled cyclically by 1 rows down and 3 columns right",
    }
    made = Recipes(stated, (), lambda *_: "img[y,x,k] = 2x + 3y + k, RGB k = 0..1, 3x4 (h x w)")
    y, x, k = np.mgrid[:5, :2, :2]
    np.testing.assert_array_equal(made.value("image"), 2 * x + 3 * y + k)
    np.testing.assert_array_equal(made.value("moved"), np.roll(2 * x + 3 * y + k, (1, 3), (0, 1)))


def test_lists_and_parts():
    nested = (
        "nested list [[A,B],[C]] with A=g(3,1).standard_normal((2,5)), B=2*g(3,2).standard_normal((2,4)), C=A; only one"
    )
    (a, b), (c,) = Recipes({"p": nested}).value("p")
    np.testing.assert_allclose(b, 2 * draw(2, 2, 4))
    np.testing.assert_allclose(a, c)
    both = (
        "fake[i][j]=g(3,10+10*i+j).standard_normal((2,3+j)), real[i][j]=g(3,50+10*i+j) same shape; i in 0..1, j in 0..2"
    )
    parts = Recipes({"maps": both}).parts("maps")
    np.testing.assert_allclose(parts["real"][1][2], draw(62, 2, 5))
    grid = Recipes({"grid": "W = 4 columns, H = 3 rows; vertex r W + c at x = 1.8 c/(W-1), z = x^2"})
    assert grid.parts("grid").keys() == {"W", "H"}
    np.testing.assert_allclose(grid.parts("grid", c=np.arange(4))["z"], (0.6 * np.arange(4)) ** 2)
    np.testing.assert_array_equal(Recipes({"index": "0,2,...,M-1"}).value("index", M=9), [0, 2, 4, 6, 8])


@pytest.mark.parametrize(
    "text",
    [
        "stored: 68 pixels of three views",
        "g(3,1).standard_normal((2, 3)); then for image k every pixel with x <= 1 set to 255",
        "g(3,1).standard_normal((2, 3)); first M rows, M = number of points",
        "0.5 q + 1",
        "128+100 sin(x/9)",
        "frame i: g(3,i).standard_normal(2)",
    ],
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(RecipeError, match="understood"):
        Recipes({"made": text}).value("made")


@pytest.mark.parametrize(
    "text", ["__import__('os')", "t.tofile('x')", "t.__class__", "[k for k in t]", "t + unknown", "g"]
)
def test_formulas_run_no_code(text):
    with pytest.raises(FormulaError):
        evaluate(text, t=T)
