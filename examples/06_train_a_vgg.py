"""6. Train a VGG. Everything before was preparation for five lines: forward, loss, backward, rate, update.

A miniature of configuration A (VGG-11 with batch norm, an eighth of its filters) on 600 images of clothes.
"""

import time

import numpy as np

import minivgg as mv
from minivgg import data, models, ops, optim

# 600 of the 5,000 embedded training images and 200 of the 1,000 test images, as many of each class.
train, test = data.load()
train = train.take(np.concatenate([np.flatnonzero(train.labels == k)[:60] for k in range(10)]))
test = test.take(np.concatenate([np.flatnonzero(test.labels == k)[:20] for k in range(10)]))

# 28×28 pixels become the 32×32 that five halvings need; half of the images are mirrored; mean 0, deviation 1.
transform = data.Compose((data.Crop(32, padding=3), data.Mirror(), data.Normalise(*data.statistics(train))))
batches = data.Loader(train, 32, transform, seed=0)
test_batches = data.Loader(test, 100, transform, shuffle=False, training=False)

model = models.vgg11_bn(num_classes=10, in_channels=1, image_size=32, width=1 / 8, head="linear", seed=0)
print(models.drawing(model) + "\n")
print(f"{sum(p.size for p in model.parameters()):,} parameters, {len(train)} images, {len(batches)} steps an epoch")

epochs = 8
sgd = optim.SGD(model.named_parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
schedule = optim.OneCycle(0.05, epochs * len(batches))
step = 0
start = time.perf_counter()
for epoch in range(epochs):
    total = 0.0
    for batch in batches.epoch(epoch):
        logits = model(mv.Tensor(batch.images))  # (32, 1, 32, 32) → (32, 10)
        loss = ops.cross_entropy(logits, batch.labels)
        sgd.zero_grad()
        loss.backward()
        sgd.lr = schedule.lr(step)
        sgd.step()
        step += 1
        total += loss.item() * len(batch.labels)
    # Guessing among ten classes would cost ln 10 = 2.303 on average; from there it falls.
    print(f"epoch {epoch + 1}: mean loss {total / len(train):.3f}")

model.eval()  # running statistics instead of the batch's
with mv.no_grad():
    right = sum(int((model(batch.images).data.argmax(axis=1) == batch.labels).sum()) for batch in test_batches.epoch(0))

# Guessing would give 0.10. With 200 images chance alone moves the result by 0.03.
print(f"test accuracy {right / len(test):.3f} ({right} of {len(test)} images it has never seen), {time.perf_counter() - start:.0f} s")

# Hint: `minivgg train` does the same with all 5,000 images, a validation split, checkpoints and resumption.
print("\nQuestion: the loss on the training images goes on falling with more epochs. Does the test accuracy follow?")
