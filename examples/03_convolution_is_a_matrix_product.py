"""3. A convolution is a matrix product, once every window of the image is written as a column.

image x (1, 1, 4, 4), filter w (1, 1, 3, 3)  →  4 windows of 9 pixels  →  a matrix (9, 4)  →  w as a row (1, 9) times it
"""

import numpy as np

import minivgg as mv
from minivgg import ops

x = np.arange(16.0).reshape(1, 1, 4, 4)
w = np.array([[[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]]])  # Sobel's: how fast brightness grows to the right

columns = ops.im2col(x, 3)  # (1, 9, 4)
print("the image\n", x[0, 0])
print("its windows as columns: the first is the upper left 3×3, read row by row\n", columns[0])

product = (w.reshape(1, 9) @ columns[0]).reshape(1, 1, 2, 2)
print("filter as a row, times the columns:", product.ravel())

# Each pixel is 1 more than its left neighbour, two apart make 2, and the weights 1 + 2 + 1 make it 8: everywhere 8.
print("ops.conv2d:                        ", ops.conv2d(x, w).ravel())

# The same with all that VGG has: 3 channels, 8 filters, padding. Only the reshaping changes.
rng = np.random.default_rng(0)
x, w = rng.standard_normal((2, 3, 8, 8)), rng.standard_normal((8, 3, 3, 3))
product = (w.reshape(8, 27) @ ops.im2col(x, 3, padding=1)).reshape(2, 8, 8, 8)
print(f"3 channels, 8 filters: largest difference {np.abs(product - ops.conv2d(x, w, padding=1)).max():.0e}, rounding only")

# A pixel lies in up to nine windows, so its gradient is a sum over up to nine columns: col2im, im2col's transpose.
# Ones in all columns, added back, count the windows of each pixel.
counts = ops.col2im(np.ones((1, 9, 16)), (1, 1, 4, 4), 3, padding=1)
print("windows that see each pixel of a 4×4 image with padding 1\n", counts[0, 0])

# The gradient of the convolution by the image is therefore col2im of (wᵀ times gy).
images = mv.Tensor(x, requires_grad=True)
gy = rng.standard_normal((2, 8, 8, 8))
(gx,) = mv.grad(ops.conv2d(images, w, padding=1), [images], gy)
by_hand = ops.col2im(w.reshape(8, 27).T @ gy.reshape(2, 8, 64), x.shape, 3, padding=1)
print(f"image gradient by col2im: largest difference {np.abs(gx - by_hand).max():.0e}")

# The price is memory: nine copies of the image. For VGG's second convolution, one image of 64×224×224 in float32:
print(f"columns of conv1_2 for one image: {64 * 9 * 224 * 224 * 4 / 1e6:.1f} MB, against {64 * 224 * 224 * 4 / 1e6:.1f} MB for the image")

# Hint: how much of the columns does one block of rows of the product need? See minivgg/ops/columns.py.
print("\nQuestion: how can conv2d use the matrix product without ever holding all of the columns?")
