"""Learning from feedback: what people said of alerts goes in, better settings come out."""
