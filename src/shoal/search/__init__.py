"""Where to look for hyperparameters: ranges, draws, edges, narrowing, importance. The search never owns the loop."""
