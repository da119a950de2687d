"""Small students in a teacher's space: data, losses, training, quantization-aware phase."""
