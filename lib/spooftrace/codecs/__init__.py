"""Neural codecs and vocoders, and copies of a data directory made with them.

``codec`` is the model, ``quantizers`` its bottleneck, ``losses`` and ``training`` make it, ``vocoders`` are the systems
without a codec, ``resynthesis`` makes the copies. Import what you need from these modules: this one loads nothing.
"""
