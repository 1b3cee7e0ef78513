"""What is compared: like with like, PyTorch's memory formats both, and the better one counts."""

from __future__ import annotations

from dataclasses import dataclass

from measuring.job import Job

__all__ = ["ROWS", "Row"]


@dataclass(frozen=True)
class Row:
    """A network and a batch in one or more precisions: "fp32" (strict), "tf32", "fp16", "bf16"; PyTorch's halves are its autocast."""

    title: str
    job: Job
    precisions: tuple[str, ...]
    training: bool = True

    def miniature(self) -> Row:
        """The same at a size for the pretend card."""
        job = Job(self.job.model, 32, 2, 1 / 64, self.job.head, 3, 5)
        return Row(self.title, job, self.precisions, self.training)


_VGG16 = Job("vgg16", 224, 64, 1.0, "paper", 3, 1000)
_VGG11 = Job("vgg11_bn", 32, 512, 1.0, "linear", 3, 10)

ROWS = {
    "vgg16-fp32": Row("VGG-16, 224×224, batch 64, training, strict float32", _VGG16, ("fp32",)),
    "vgg16-tf32": Row("VGG-16, 224×224, batch 64, training, TF32", _VGG16, ("tf32",)),
    "vgg16-half": Row("VGG-16, 224×224, batch 64, training, half precision", _VGG16, ("fp16", "bf16")),
    "vgg11-best": Row("VGG-11-BN, 32×32, batch 512, training, everybody's best", _VGG11, ("tf32", "fp16", "bf16")),
    "vgg16-inference": Row("VGG-16, 224×224, batch 64, inference, TF32", _VGG16, ("tf32",), training=False),
}
