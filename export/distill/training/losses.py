"""Computes the losses of a student, which are pure functions of embeddings.

Letters in shapes: B pictures, K sentences, D embedding. Embeddings may have any length; they are
compared by direction.
"""

from torch import Tensor
from torch.nn import functional

__all__ = ["contrastive", "mimicry", "relational"]

# Largest cosine distance at which two captions count as the same.
_SAME = 1e-5


def mimicry(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of ``1 - cos(student, teacher)``, from 0 (all directions agree) to 2.

    On unit vectors it is half the squared distance, the loss that did most in CLIP-KD's comparison
    of losses (Yang et al., CVPR 2024).

    Args:
        student: Embeddings by the student, [B, D].
        teacher: Embeddings by the teacher, [B, D], without gradient.
    """
    return (1 - functional.cosine_similarity(student, teacher, dim=1)).mean()


def relational(student: Tensor, teacher: Tensor, bank: Tensor, scale: float) -> Tensor:
    """Divergence of the choices of student and teacher between pictures and sentences, in nats.

    It is ``KL(P || Q) / 2`` in each direction with ``P = softmax(scale * V T')`` of the teacher and
    ``Q`` of the student: rows choose among the sentences, columns among the batch's pictures. The
    symmetric form is that of COTS (Lu et al., CVPR 2022) with the teacher in the first place.

    Args:
        student: Embeddings by the student, [B, D].
        teacher: Embeddings by the teacher, [B, D], without gradient.
        bank: Embeddings of the sentences in the same space, [K, D].
        scale: Factor on cosines: the teacher's own ``logit_scale`` by default.
    """
    ours = scale * _unit(student) @ _unit(bank).T  # [B, K]
    theirs = scale * _unit(teacher) @ _unit(bank).T
    return (_divergence(theirs, ours) + _divergence(theirs.T, ours.T)) / 2


def contrastive(student: Tensor, captions: Tensor, scale: float) -> Tensor:
    """CLIP's own loss between pictures and their captions, in nats (Radford et al., 2021, 2.3).

    It is the mean of the cross entropies of rows and columns of ``scale * V T'``. A caption that
    several pictures share is right for each of them: its probability is divided among them.

    Args:
        student: Embeddings by the student, [B, D].
        captions: Embedding of each picture's caption, in the same order, [B, D].
        scale: Factor on cosines.
    """
    texts = _unit(captions)
    logits = scale * _unit(student) @ texts.T  # [B, B]
    same = (texts @ texts.T > 1 - _SAME).to(texts.dtype)
    right = same / same.sum(dim=1, keepdim=True)
    return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean KL divergence of rows of logits, in nats."""
    return functional.kl_div(
        student.log_softmax(dim=1),
        teacher.log_softmax(dim=1),
        reduction="batchmean",
        log_target=True,
    )


def _unit(rows: Tensor) -> Tensor:
    return functional.normalize(rows, dim=1)
