"""The HTML report of a cohort or a training."""
