"""Convert MediaPipe's face models into the weights `face_tracker.v1`.

    pip download --no-deps mediapipe==0.10.21
    pip install tflite
    python scripts/take_face_models.py mediapipe-0.10.21-*.whl -o src/talkingface/weights/face_tracker.v1

The models lie in the wheel as TensorFlow Lite files, in half precision; nothing is lost. Each becomes a list of layers
(see `talkingface.nn.onnx_graph.write_graph`) and arrays in ONNX's order of dimensions. The mesh is cut at its three
operations of its own, which `talkingface.face.mesh` does: points to a transform, a crop by it, points through it.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tflite
from flatbuffers import flexbuffers

from talkingface.core.weights import save_weights

FOLDER = "mediapipe/modules"
FILES = {
    "short_range": f"{FOLDER}/face_detection/face_detection_short_range.tflite",
    "full_range": f"{FOLDER}/face_detection/face_detection_full_range_sparse.tflite",
    "mesh": f"{FOLDER}/face_landmark/face_landmark_with_attention.tflite",
    "matte": f"{FOLDER}/selfie_segmentation/selfie_segmentation.tflite",
}
CONNECTIONS = "mediapipe/python/solutions/face_mesh_connections.py"
CUSTOM = 32
ACTIVATIONS = {0: None, 1: "relu", 3: "relu6"}
TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}
OPERATORS = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}


class Source:
    """One TensorFlow Lite file: its constants, sparse ones unpacked, and its operations."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAs(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.constants: dict[int, np.ndarray] = {}
        for number in range(self.graph.TensorsLength()):
            tensor = self.graph.Tensors(number)
            buffer = self.model.Buffers(tensor.Buffer())
            if buffer.DataLength():
                values = buffer.DataAsNumpy().view(TYPES[tensor.Type()])
                self.constants[number] = (
                    dense(tensor, values) if tensor.Sparsity() else values.reshape(self.shape(number))
                )

    def shape(self, number: int) -> list[int]:
        tensor = self.graph.Tensors(number)
        return [int(side) for side in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []

    def operations(self) -> list[tuple[str, Any, list[int], list[int]]]:
        """(name, operation, inputs, outputs) in their order."""
        found = []
        for index in range(self.graph.OperatorsLength()):
            operation = self.graph.Operators(index)
            code = self.model.OperatorCodes(operation.OpcodeIndex())
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            name = code.CustomCode().decode() if builtin == CUSTOM else OPERATORS[builtin]
            found.append((name, operation, operation.InputsAsNumpy().tolist(), operation.OutputsAsNumpy().tolist()))
        return found


def dense(tensor: Any, values: np.ndarray) -> np.ndarray:
    """Unpack a tensor in TensorFlow Lite's sparse format: a tree of dense and compressed levels over blocks."""
    sparsity, shape = tensor.Sparsity(), [int(side) for side in tensor.ShapeAsNumpy()]
    order = sparsity.TraversalOrderAsNumpy().tolist()
    blocks = sparsity.BlockMapAsNumpy().tolist() if sparsity.BlockMapLength() else []
    levels = [sparsity.DimMetadata(k) for k in range(sparsity.DimMetadataLength())]
    block_sides = {dimension: levels[len(shape) + k].DenseSize() for k, dimension in enumerate(blocks)}
    out = np.zeros(shape, values.dtype)

    def fill(level: int, position: int, at: list[int]) -> None:
        if level == len(levels):
            place = [0] * len(shape)
            for dimension, index in zip(order, at, strict=True):
                if dimension < len(shape):
                    place[dimension] += index * block_sides.get(dimension, 1)
                else:
                    place[blocks[dimension - len(shape)]] += index
            out[tuple(place)] = values[position]
            return
        facts = levels[level]
        if facts.Format() == tflite.DimensionType.DENSE:
            for index in range(facts.DenseSize()):
                fill(level + 1, position * facts.DenseSize() + index, [*at, index])
            return
        segments, indices = (_vector(facts, which) for which in ("ArraySegments", "ArrayIndices"))
        for entry in range(segments[position], segments[position + 1]):
            fill(level + 1, entry, [*at, int(indices[entry])])

    fill(0, 0, [])
    return out


def _vector(facts: Any, which: str) -> np.ndarray:
    kinds = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}
    table = getattr(facts, which)()
    vector = kinds[getattr(facts, f"{which}Type")()]()
    vector.Init(table.Bytes, table.Pos)
    return vector.ValuesAsNumpy()


class Taken:
    """The layers from tensor `start` to the tensors `ends` of a source, as a list, with their arrays by name."""

    def __init__(self, source: Source, name: str, start: int, ends: list[int]) -> None:
        self.source, self.name = source, name
        self.layers: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.values = {start: 0}  # tensor -> value: 0 is the input, k what layer k - 1 gives
        self.borders: dict[int, list[int]] = {}  # tensor -> zeros around it, which the next convolution adds
        constants, needed, kept = dict(source.constants), set(ends), []
        for operation in reversed(source.operations()):
            if set(operation[3]) & needed and start not in operation[3]:
                kept.append(operation)
                needed |= {number for number in operation[2] if number != start}
        for kind, operation, inputs, outputs in reversed(kept):
            if kind in ("DEQUANTIZE", "DENSIFY"):
                constants[outputs[0]] = constants[inputs[0]]
                continue
            getattr(self, f"_{kind.lower()}")(operation, inputs, outputs[0], constants)
        self.ends = [self.values[number] for number in ends]

    def _add_layer(self, kind: str, inputs: list[int], out: int, activation: int = 0, **facts: Any) -> None:
        self.layers.append({"kind": kind, "inputs": inputs, **facts})
        if ACTIVATIONS[activation]:
            self.layers.append({"kind": ACTIVATIONS[activation], "inputs": [len(self.layers)]})
        self.values[out] = len(self.layers)

    def _array(self, role: str, values: np.ndarray) -> str:
        name = f"{self.name}.{len(self.layers)}.{role}"
        half = np.asarray(values, np.float16)
        if not np.array_equal(half.astype(np.float64), np.asarray(values, np.float64)):
            raise SystemExit(f"{name} loses in half precision")
        self.arrays[name] = np.ascontiguousarray(half)
        return name

    def _convolve(
        self, options: Any, inputs: list[int], out: int, weight: np.ndarray, bias: np.ndarray, **facts: Any
    ) -> None:
        sides, strides = weight.shape[2:], (options.StrideH(), options.StrideW())
        pads = [0, 0, 0, 0]
        if options.Padding() == tflite.Padding.SAME:
            around = [_same(*facts_) for facts_ in zip(self.source.shape(inputs[0])[1:3], sides, strides, strict=True)]
            pads = [around[0][0], around[1][0], around[0][1], around[1][1]]
        pads = [a + b for a, b in zip(pads, self.borders.get(inputs[0], [0, 0, 0, 0]), strict=True)]
        facts |= {"weight": self._array("weight", weight), "bias": self._array("bias", bias)}
        facts |= {"strides": list(strides), "pads": pads}
        self._add_layer("conv", [self.values[inputs[0]]], out, options.FusedActivationFunction(), **facts)

    def _conv_2d(self, operation: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        weight = constants[inputs[1]].transpose(0, 3, 1, 2)
        self._convolve(_options(operation, tflite.Conv2DOptions), inputs, out, weight, constants[inputs[2]], group=1)

    def _depthwise_conv_2d(self, operation: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        weight = constants[inputs[1]].transpose(3, 0, 1, 2)
        options = _options(operation, tflite.DepthwiseConv2DOptions)
        self._convolve(options, inputs, out, weight, constants[inputs[2]], group=len(weight))

    def _convolution2dtransposebias(
        self, _: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]
    ) -> None:
        weight, bias = constants[inputs[1]].transpose(3, 0, 1, 2), constants[inputs[2]]
        facts = {"weight": self._array("weight", weight), "bias": self._array("bias", bias), "stride": 2}
        self._add_layer("conv_transpose", [self.values[inputs[0]]], out, **facts)

    def _pad(self, _: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        (_, _), (top, bottom), (left, right), (before, after) = constants[inputs[1]].tolist()
        if before or after:
            self._add_layer("pad_channels", [self.values[inputs[0]]], out, channels=after)
        else:
            self.values[out] = self.values[inputs[0]]
            self.borders[out] = [top, left, bottom, right]

    def _prelu(self, _: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        slope = self._array("slope", constants[inputs[1]].reshape(-1, 1, 1))
        self._add_layer("prelu", [self.values[inputs[0]]], out, slope=slope)

    def _relu(self, _: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        self._add_layer("relu", [self.values[inputs[0]]], out)

    def _logistic(self, _: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        self._add_layer("sigmoid", [self.values[inputs[0]]], out)

    def _hard_swish(self, _: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        self._add_layer("hard_swish", [self.values[inputs[0]]], out)

    def _two(self, kind: str, options: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        facts = {}
        for number in inputs:
            if number in constants:
                facts["constant"] = self._array("constant", constants[number].transpose(0, 3, 1, 2))
        values = [self.values[number] for number in inputs if number not in constants]
        self._add_layer(kind, values, out, options.FusedActivationFunction(), **facts)

    def _add(self, operation: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        self._two("add", _options(operation, tflite.AddOptions), inputs, out, constants)

    def _mul(self, operation: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        self._two("mul", _options(operation, tflite.MulOptions), inputs, out, constants)

    def _pool(self, kind: str, operation: Any, inputs: list[int], out: int) -> None:
        options = _options(operation, tflite.Pool2DOptions)
        facts = {
            "sides": [options.FilterHeight(), options.FilterWidth()],
            "strides": [options.StrideH(), options.StrideW()],
        }
        self._add_layer(kind, [self.values[inputs[0]]], out, **facts)

    def _max_pool_2d(self, operation: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        self._pool("max_pool", operation, inputs, out)

    def _average_pool_2d(self, operation: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        self._pool("average_pool", operation, inputs, out)

    def _resize_bilinear(self, operation: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        options = _options(operation, tflite.ResizeBilinearOptions)
        places = (
            "align_corners" if options.AlignCorners() else "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        )
        scale = self.source.shape(out)[1] / self.source.shape(inputs[0])[1]
        self._add_layer("resize", [self.values[inputs[0]]], out, scale=scale, places=places)

    def _depth_to_space(self, operation: Any, inputs: list[int], out: int, constants: dict[int, np.ndarray]) -> None:
        block = _options(operation, tflite.DepthToSpaceOptions).BlockSize()
        self._add_layer("depth_to_space", [self.values[inputs[0]]], out, block=block)


def _options(operation: Any, cls: type) -> Any:
    options, table = cls(), operation.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def _same(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, as TensorFlow's "same" puts them: the odd one goes behind."""
    missing = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    return missing // 2, missing - missing // 2


def before_reshapes(source: Source, numbers: list[int]) -> list[int]:
    """The tensors that reshapes and concatenations join into `numbers`: what networks give before mere bookkeeping."""
    made = {outputs[0]: (kind, inputs) for kind, _, inputs, outputs in source.operations()}
    found = []
    for number in numbers:
        kind, inputs = made.get(number, ("", []))
        if kind in ("RESHAPE", "STRIDED_SLICE"):
            found += before_reshapes(source, inputs[:1])
        elif kind == "CONCATENATION":
            found += before_reshapes(source, inputs)
        else:
            found.append(number)
    return found


def take_all(wheel: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Graphs by name, and arrays by name."""
    graphs, arrays = {}, {}

    def take(source: Source, name: str, start: int, ends: list[int]) -> None:
        taken = Taken(source, name, start, ends)
        shape = source.shape(start)
        graphs[name] = {"input": [shape[3], shape[1], shape[2]], "layers": taken.layers, "outputs": taken.ends}
        arrays.update(taken.arrays)

    for name in ("short_range", "full_range", "matte"):
        source = Source(wheel.read(FILES[name]))
        ends = before_reshapes(source, source.graph.OutputsAsNumpy().tolist())
        take(source, name, int(source.graph.Inputs(0)), ends)
    source = Source(wheel.read(FILES["mesh"]))
    crops = [step for step in source.operations() if step[0] == "TransformTensorBilinear"]
    transforms = [step for step in source.operations() if step[0] == "Landmarks2TransformMatrix"]
    through = [step for step in source.operations() if step[0] == "TransformLandmarks"]
    flag = next(n for n in source.graph.OutputsAsNumpy().tolist() if source.shape(n) == [1, 1, 1, 1])
    points = before_reshapes(source, [source.graph.OutputsAsNumpy().tolist()[0]])
    take(source, "mesh", int(source.graph.Inputs(0)), [*points, flag, crops[0][2][0]])
    for number, part in enumerate(("lips", "left_eye", "right_eye")):
        chosen = through[:1] if number == 0 else through[2 * number - 1 : 2 * number + 1]
        take(source, part, crops[number][3][0], before_reshapes(source, [step[2][0] for step in chosen]))
        points = flexbuffers.Loads(bytes(transforms[number][1].CustomOptionsAsNumpy()))["subset_idxs"]
        arrays[f"{part}.points"] = np.array(points, np.int16)
    return graphs, arrays


def mesh_edges(wheel: zipfile.ZipFile) -> np.ndarray:
    """The tesselation's edges, int16 [E, 2]."""
    for statement in ast.parse(wheel.read(CONNECTIONS)).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "FACEMESH_TESSELATION":
            pairs = ast.literal_eval(ast.unparse(statement.value).removeprefix("frozenset(").removesuffix(")"))
            return np.array(sorted({tuple(sorted(pair)) for pair in pairs}), np.int16)
    raise SystemExit(f"{CONNECTIONS} lists no FACEMESH_TESSELATION")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    choice = parser.parse_args()
    with zipfile.ZipFile(choice.wheel) as wheel:
        graphs, arrays = take_all(wheel)
        edges = mesh_edges(wheel)
        hashes = {name: hashlib.sha256(wheel.read(path)).hexdigest() for name, path in FILES.items()}
    text = json.dumps(graphs, separators=(",", ":")).encode()
    arrays |= {"graphs": np.frombuffer(text, np.uint8), "mesh_edges": edges}
    card = {
        "name": "face_tracker.v1",
        "licence": "Apache-2.0",
        "allows": "any use",
        "origin": "Google's MediaPipe 0.10.21 (github.com/google-ai-edge/mediapipe), the models in its wheel",
        "paper": "Bazarevsky et al. 2019 (BlazeFace); Grishchenko et al. 2020 (Attention Mesh)",
        "command": "python scripts/take_face_models.py mediapipe-0.10.21-*.whl -o FOLDER",
        "files": {FILES[name].rpartition("/")[2]: digest for name, digest in hashes.items()},
    }
    ref = save_weights(choice.output, arrays, card)
    print(f"{ref.folder}: {sum(values.nbytes for values in arrays.values()) / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
