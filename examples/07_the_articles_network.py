"""7. A network that tutorials build: VGG-16 with batch norm, for 500 classes, on one colour image of 224×224.

Their check is the shape of the output, (1, 500). It is a weak check: three more follow.
"""

import numpy as np

import minivgg as mv
from minivgg import models

model = models.vgg16_bn(num_classes=500).eval()
x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
with mv.no_grad():
    y = model(mv.Tensor(x))
print(y.shape)

# A second check: the number of parameters. VGG-16 with batch norm has 138,365,992 for 1000 classes; 500 classes fewer
# are 500 rows of 4096 weights and a bias fewer: 138,365,992 − 500 · 4097 = 136,317,492.
print(f"{sum(p.size for p in model.parameters()):,} parameters")

# A third: where they are. One layer, the first fully connected one, holds 512 · 7 · 7 · 4096 weights and 4096 biases.
parameters = dict(model.named_parameters())
first = parameters["classifier.0.weight"].size + parameters["classifier.0.bias"].size
print(f"{first:,} of them in classifier.0: {first / sum(p.size for p in model.parameters()):.0%}")

# A fourth: He's initialisation keeps the size of a signal through all 16 layers; images and logits both deviate by a few.
# (In evaluation a fresh batch norm changes nothing.) With init="paper", N(0, 0.01²), it prints 5.1e-08.
print(f"deviation of the logits: {y.data.std():.2g}")

# Hint: which mistakes leave the shape as it is? A missing ReLU, a stride of 1 before adaptive pooling, two layers swapped …
print("\nQuestion: which wrong network would pass all four checks, and what check would find it?")
