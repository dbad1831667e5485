"""``spooftrace audit``: can the classes of a corpus be told apart without listening?

A detector learns whatever differs between the classes. Before a corpus is trained or tested on, this measures what has
nothing to do with generation (duration, level, silence, band ...) and reports how far each of these cues gets alone,
and a small classifier with all of them, for every label that the data directories have: pooled, and for each attack or
class. What to do about a telling cue is said beside it.

| module | does |
|---|---|
| ``cues`` | what is measured of a recording, and the remedies |
| ``audit`` | all steps |
| ``measuring`` | all recordings, once |
| ``separation`` | how well numbers tell classes apart |
| ``findings`` | the figures of a label, and which of them count |
| ``page``, ``figure`` | text, ``audit.tsv``, ``audit.json``; ``audit.png`` |

A cue that tells nothing here can still matter, and a clean audit is no proof: only these cues were looked at.
"""
