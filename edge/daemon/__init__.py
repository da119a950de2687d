"""What the daemon's loop is made of: ``edge.app`` puts it together, ``edge.resources`` opens it.

``crew`` starts the workers and ends everything in order, ``obedience`` carries out the orders of
other threads, ``proof`` tests the model in service, ``reports`` says each second how all is.
"""
