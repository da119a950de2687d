"""Data of a distillation: pictures and a teacher go in, batches of a training set come out."""
