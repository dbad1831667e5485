"""Stage 6: scores and a key -> metrics. Starts without torch and without scikit-learn.

A score file (``score_files``) and the key of its test set (``keys``) are joined by utterance id to ScoredTrials
(``trials``), which ``detection`` and ``breakdown`` turn into figures and tables; ``asv`` brings what the t-DCF needs,
``uncertainty`` says how sure the figures are. ``attribution`` and ``parsing`` are the other two tasks.
"""

from spooftrace.evaluation.conventions import COST_CONVENTION, EER_CONVENTION
from spooftrace.evaluation.evaluate import read_trials
from spooftrace.evaluation.score_files import read_scores

__all__ = ["COST_CONVENTION", "EER_CONVENTION", "read_scores", "read_trials"]
