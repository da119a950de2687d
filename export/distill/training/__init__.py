"""Training of a student: lessons go in, the best student in float and in INT8 comes out."""
