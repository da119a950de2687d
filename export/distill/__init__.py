"""Small students in a teacher's space: data, targets, losses, training, quantization-aware phase."""
