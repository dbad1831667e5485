"""Miniatures of the official releases: a few dozen real utterances laid out as each corpus lies on disk.

One module per corpus, named like its module in ``spooftrace.corpora``, with ``lay_out(speech, root)``: folder names,
protocol files and their quirks as in the release, the audio from the mini corpus (``miniature.speech``).
"""
