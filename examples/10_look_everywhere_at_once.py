"""10. Look everywhere at once: a fully connected layer is a convolution, so a VGG can read images of any size.

The paper tests its networks so: the whole image in, a map of scores out, and the map's mean is the answer.
"""

import numpy as np

import minivgg as mv
from minivgg import models

# A small VGG with the paper's three fully connected layers, for images of 64×64. Five halvings leave 2×2 cells.
model = models.vgg11(num_classes=5, image_size=64, width=1 / 16, seed=0).eval()
network = models.dense(model)
rng = np.random.default_rng(0)
image = rng.standard_normal((1, 3, 64, 64), dtype=np.float32)

# The first fully connected layer takes 32 channels of 2×2 cells, 128 numbers. As filters of 2×2 its weights are the same numbers.
print("as a layer:      ", model.classifier[0].weight.shape)  # (256, 128)
print("as a convolution:", network.classifier[0].weight.shape)  # (256, 32, 2, 2)
with mv.no_grad():
    logits = model(mv.Tensor(image)).data  # (1, 5)
    scores = network(mv.Tensor(image)).data  # (1, 5, 1, 1): on 2×2 cells a 2×2 filter has one place
error = np.abs(scores[..., 0, 0] - logits).max()
print(f"on 64×64 a map of {scores.shape[2]}×{scores.shape[3]}, {error:.0e} from the plain network's logits")

# A larger image, and not a square: 5×4 cells. The filter has 4×3 places, each with scores of its own.
large = rng.standard_normal((1, 3, 160, 128), dtype=np.float32)
with mv.no_grad():
    scores = network(mv.Tensor(large)).data  # (1, 5, 4, 3)
    features = model.features(mv.Tensor(large)).data  # (1, 32, 5, 4)
    windows = [features[:, :, i : i + 2, j : j + 2] for i in range(4) for j in range(3)]  # each (1, 32, 2, 2)
    by_hand = [model.classifier(mv.Tensor(np.ascontiguousarray(w).reshape(1, -1))).data for w in windows]  # each (1, 5)
by_hand = np.stack(by_hand, axis=-1).reshape(scores.shape)
print(f"on 160×128 a map of {scores.shape[2]}×{scores.shape[3]}, {np.abs(scores - by_hand).max():.0e} from the layers at each place")
print("the image's scores are the map's mean:", scores.mean(axis=(2, 3))[0].round(4))

# Twelve crops of 64×64 would give twelve answers, too, but not the same: around a crop are zeros, where the map sees neighbours.
with mv.no_grad():
    crops = np.concatenate([large[:, :, 32 * i : 32 * i + 64, 32 * j : 32 * j + 64] for i in range(4) for j in range(3)])
    answers = model(mv.Tensor(crops)).data  # (12, 5)
apart = np.abs(answers.T.reshape(scores.shape) - scores).max() / np.abs(scores).max()
print(f"crops differ from the map by up to {apart:.0%} of the largest score: they see zeros where the map sees the image")

# What overlaps is computed twice with crops, and once with the map.
print(f"cells that the convolutions compute: {12 * 2 * 2} with crops, {5 * 4} with the map")

# Hint: the paper averages both, and finds that better than either. See minivgg/evaluation/views.py.
print("\nQuestion: what could two ways of looking that make different mistakes gain by being averaged?")
