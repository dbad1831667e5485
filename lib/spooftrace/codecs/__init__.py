"""Neural codecs and vocoders. This package imports nothing; import its modules.

| module | does |
|---|---|
| ``table`` | reads ``conf/codecs.yaml``: the known codecs, their taxonomy and settings |
| ``providers`` | loads a codec of the table, or of ``spooftrace codec train``, as a ``coder.Coder`` |
| ``published`` | runs the codecs of transformers, and EnCodec of Meta's package |
| ``codec``, ``weights`` | our own small codecs and their files |
| ``quantizers``, ``factorised``, ``scalar``, ``single_codebook``, ``semantic`` | their quantizers |
| ``decoders``, ``blocks``, ``disentanglement`` | their other parts |
| ``training``, ``crops``, ``losses``, ``settings`` | their training |
| ``vocoders`` | WORLD and Griffin-Lim |
"""
