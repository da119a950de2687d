"""Training of a student: a training set goes in, the best student comes out, float and INT8."""
