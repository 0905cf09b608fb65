"""Early-warning scores out of vital signs: pure formulas, bands as data, and never a guess of what was not said."""

from clinical.scores.inputs import Inputs, inputs_of
from clinical.scores.scoring import ADULT, VERSION, Name, Score, all_scores

__all__ = ["ADULT", "VERSION", "Inputs", "Name", "Score", "all_scores", "inputs_of"]
