"""Data of a distillation: pictures and a teacher go in, batches of lessons come out."""
