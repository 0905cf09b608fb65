"""Monitors of sources: is what came today like what usually comes? `watch` reads and stores, `judgement` judges."""
