"""Neural codecs and vocoders, and copies of data directories made with them.

``table`` knows the codecs of conf/codecs.yaml, ``coder`` loads one of them: our own (``codec`` is the model,
``quantizers`` its bottleneck, ``training`` makes it) or a ``published`` one. ``recoding`` sends a directory through
codecs, or through the channels of ``classical``; ``resynthesis`` makes the copies that data directories list, by codecs
or ``vocoders``. Import what you need from these modules: this one loads nothing.
"""
