"""2. Learning is walking downhill: a line through noisy points, by gradient descent.

The loss is the mean squared error of y ≈ w·x + b. The engine gives its slope in w and in b; a step goes against it.
"""

import numpy as np

import minivgg as mv

# Fifty points on the line 3x − 1, give or take 0.1.
rng = np.random.default_rng(0)
xs = rng.uniform(-1, 1, 50)
ys = 3 * xs - 1 + 0.1 * rng.standard_normal(50)

w = mv.Tensor(0.0, requires_grad=True, dtype="float64")
b = mv.Tensor(0.0, requires_grad=True, dtype="float64")
rate = 0.3

print("step      loss         w         b")
for step in range(101):
    error = w * xs + b - ys  # (50,)
    loss = (error * error).mean()
    if step % 20 == 0:
        print(f"{step:4}  {loss.item():.6f}  {w.item():+.6f}  {b.item():+.6f}")
    w.grad = b.grad = None  # backward() adds to what is there
    loss.backward()
    w.data = w.data - rate * w.grad
    b.data = b.data - rate * b.grad

# The same loss has a minimum that linear algebra finds at once. Descent has arrived there, to six digits.
exact_w, exact_b = np.polyfit(xs, ys, 1)
print(f"exact           {exact_w:+.6f}  {exact_b:+.6f}   (least squares)")
print(f"distance        {abs(w.item() - exact_w):.1e}   {abs(b.item() - exact_b):.1e}")

# It is not quite the line 3x − 1: fifty noisy points do not know it better than this.
# The second derivative tells how long a step may be: along w the loss is a parabola of curvature 2·mean(x²).
error = w * xs + b - ys
(slope,) = mv.grad((error * error).mean(), [w], create_graph=True)
(curvature,) = mv.grad(slope, [w])
print(f"curvature in w  {curvature.item():.6f} = 2·mean(x²) = {2 * np.mean(xs**2):.6f}; in b it is 2")

# Hint: on a parabola of curvature c a step of rate r multiplies the distance to the minimum by (1 − r·c).
print("\nQuestion: at which rate does the descent stop converging, and is it w or b that runs away first?")
