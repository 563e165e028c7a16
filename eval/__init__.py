"""Scoring: predictions against labels, as the literature does it."""
