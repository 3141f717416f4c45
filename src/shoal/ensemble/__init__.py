"""Ways to combine members into one predictor."""
