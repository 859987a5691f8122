"""Cases of a prediction, dataset folders and their layouts, splits and folds."""
